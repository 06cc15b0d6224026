package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/seal"
)

// TestP31OneKey: the key of a call is settled when it is accepted. Every sending
// bears it, also one made at random, and is signed afresh.
func TestP31OneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		h.provider = func(n int, _ *http.Request, _ string) (*http.Response, error) {
			if n < 4 {
				return nil, errReset
			}
			return answered(200, "done")
		}
		defer h.run()()
		id := h.later("/v1/charges?expand=1", "amount=1", "X-Order", "7", "Authorization", "Bearer canary-of-the-application", "Traceparent", "00-x", "Proxy-Foo", "1")
		time.Sleep(time.Hour)
		r := h.is(id, outbox.Done)
		if h.count() != 4 || r.Attempt != 4 {
			t.Fatalf("sent %d times, %d attempts; want 4", h.count(), r.Attempt)
		}
		first := h.sent[0].header.Get("Idempotency-Key")
		for _, s := range h.sent {
			if s.header.Get("Idempotency-Key") != first || first == "" || s.url != "https://p.example/v1/charges?expand=1" || s.body != "amount=1" ||
				s.header.Get("Authorization") != "Bearer "+secret || s.header.Get("X-Order") != "7" || s.header.Get("Traceparent") != "" || s.header.Get("Postern-Async") != "" {
				t.Errorf("sent %+v", s)
			}
		}
		_, v, err := h.box.Show(t.Context(), id)
		if err != nil || v.Answer == nil || v.Answer.Body != "done" || v.Answer.Status != 200 || v.Answer.Header.Get("Set-Cookie") != "" || v.Request.Key != first {
			t.Errorf("shown %+v, %v", v, err)
		}
	})
}

// TestC3NothingReadable: neither the credential of the policy nor that of the
// application is kept, and nothing else can be read without the key.
func TestC3NothingReadable(t *testing.T) {
	for name, src := range map[string]string{"header": keyed, "query": unkeyed} {
		t.Run(name, func(t *testing.T) {
			h := build(t, memory(), src)
			id := h.later("/v1/charges?api_key=canary-of-the-application&q=canary-question", "amount=canary-body", "Authorization", "Bearer canary-of-the-application", "Idempotency-Key", "canary-key")
			r := h.is(id, outbox.Accepted)
			if text := fmt.Sprintf("%+v %s %s", r, r.Request, r.Result); strings.Contains(text, "canary") {
				t.Errorf("in the store: %s", text)
			}
			ring, _ := h.ring()
			plain, err := ring.Open(r.Request, "outbox", r.ID, string(r.Kind), r.Provider, r.Client, r.Account, "request")
			var kept outbox.Request
			if err == nil {
				err = json.Unmarshal(plain, &kept)
			}
			plain = fmt.Appendf(plain, " %s %v %s", kept.URL, kept.Header, kept.Body)
			if err != nil || !bytes.Contains(plain, []byte("canary-question")) {
				t.Fatalf("%s, %v", plain, err)
			}
			slot := map[string]string{"header": "Authorization", "query": "api_key"}[name]
			if bytes.Contains(plain, []byte(slot)) || bytes.Contains(plain, []byte(secret)) {
				t.Errorf("kept: %s", plain)
			}
			if _, err := ring.Open(r.Request, "outbox", r.ID, string(r.Kind), r.Provider, r.Client, "another account", "request"); !errors.Is(err, seal.ErrForged) {
				t.Errorf("opened for another account: %v", err)
			}
		})
	}
}

// TestAcceptance: what cannot be accepted is refused with a reason, and nothing is
// stored.
func TestAcceptance(t *testing.T) {
	const strict = `
allow { requests = ["POST /v1/**"] }
idempotency {
  header   = "Idempotency-Key"
  required = true
}
retry { buffer = "1KiB" }
async {}
`
	for name, c := range map[string]struct {
		src, path, body string
		header          []string
		status          int
		code            string
	}{
		"no async block":     {"deadletter {}", "/v1/x", "", nil, 403, "not_allowed"},
		"outside allow":      {strict, "/v2/x", "", []string{"Idempotency-Key", "k"}, 403, "not_allowed"},
		"a key is required":  {strict, "/v1/x", "", nil, 400, "idempotency_required"},
		"the body is longer": {strict, "/v1/x", strings.Repeat("x", 1025), []string{"Idempotency-Key", "k"}, 413, "body_too_large"},
		"neither yes nor no": {strict, "/v1/x", "", []string{"Postern-Async", "perhaps"}, 400, "bad_request"},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, memory(), c.src)
			header := c.header
			if !slices.Contains(header, "Postern-Async") {
				header = append(header, "Postern-Async", "true")
			}
			w := h.post(c.path, c.body, header...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if n, _ := h.Count(t.Context(), outbox.Filter{}); n != 0 || h.count() != 0 {
				t.Errorf("%d stored, %d sent", n, h.count())
			}
		})
	}
	t.Run("no key to seal with", func(t *testing.T) {
		h := build(t, memory(), keyed)
		h.seals(func() (*seal.Ring, error) { return nil, errors.New("there is no key") })
		if w := h.post("/v1/x", "", "Postern-Async", "true"); w.Code != 503 || !strings.Contains(w.Body.String(), "there is no key") || w.Header().Get("Postern-Executed") != "no" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("the store does not answer", func(t *testing.T) {
		h := build(t, broken{memory()}, keyed)
		if w := h.post("/v1/x", "", "Postern-Async", "true"); w.Code != 503 || w.Header().Get("Postern-Executed") != "maybe" || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	})
	t.Run("false is made at once", func(t *testing.T) {
		h := build(t, memory(), keyed)
		if w := h.post("/v1/x", "", "Postern-Async", "false"); w.Code != 200 || w.Body.String() != "ok" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// broken is a store that stores nothing.
type broken struct{ outbox.Store }

func (broken) Add(context.Context, *outbox.Call) (*outbox.Call, error) {
	return nil, errors.New("disk full")
}

// TestAcceptedOnce: the application's key accepts a call once, in its scope.
func TestAcceptedOnce(t *testing.T) {
	h := build(t, memory(), keyed)
	first := h.later("/v1/x", "a=1", "Idempotency-Key", "k")
	w := h.post("/v1/x", "a=1", "Idempotency-Key", "k", "Postern-Async", "true")
	if w.Code != 202 || w.Header().Get("Postern-Id") != first || w.Header().Get("Location") != "http://admin/"+first {
		t.Errorf("repeat: %d %v", w.Code, w.Header())
	}
	if w := h.post("/v1/x", "a=2", "Idempotency-Key", "k", "Postern-Async", "true"); w.Code != 422 || !strings.Contains(w.Body.String(), "idempotency_mismatch") {
		t.Errorf("another payload: %d %s", w.Code, w.Body)
	}
	for _, other := range [][]string{{"Idempotency-Key", "k", "Postern-Account", "other"}, {"Idempotency-Key", "k", "Stripe-Account", "acct_2"}, {"Idempotency-Key", "K"}, nil, nil} {
		if id := h.later("/v1/x", "a=1", other...); id == first {
			t.Errorf("%v is the same call", other)
		}
	}
}

// TestOutage: a provider is down for six hours. Then everything is sent, in order,
// once, and without a stampede. Until then it is asked now and then.
func TestOutage(t *testing.T) {
	t.Run("in order", func(t *testing.T) { outage(t, 600, 50, 2*time.Second) })
	// All fall due at the same instant: there is no jitter that spreads them.
	t.Run("all at once", func(t *testing.T) { outage(t, 200, 200, 0) })
}

func outage(t *testing.T, calls, orders int, apart time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		start := time.Now()
		var mu sync.Mutex
		inflight, peak, asked := 0, 0, 0
		went := map[string][]string{}
		perSecond := map[int]int{}
		h.provider = func(_ int, r *http.Request, body string) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if since := time.Since(start); since < 6*time.Hour {
				asked++
				return nil, errRefused
			}
			inflight++
			peak = max(peak, inflight)
			perSecond[int(time.Since(start)/time.Second)]++
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			inflight--
			went[r.Header.Get("X-Order")] = append(went[r.Header.Get("X-Order")], body)
			return answered(200, "ok")
		}
		stop := h.run()
		want := map[string][]string{}
		for i := range calls {
			order := fmt.Sprint("order-", i%orders)
			h.later("/v1/x", fmt.Sprint(i), "X-Order", order)
			want[order] = append(want[order], fmt.Sprint(i))
			time.Sleep(apart)
		}
		time.Sleep(6*time.Hour - time.Since(start) - time.Second)
		mu.Lock()
		before := asked
		mu.Unlock()
		time.Sleep(30 * time.Minute)
		stop()
		stats, _ := h.Stats(t.Context())
		if len(stats) != 1 || stats[0].State != outbox.Done || stats[0].Count != calls {
			t.Fatalf("after half an hour: %+v", stats)
		}
		if !maps.EqualFunc(went, want, slices.Equal) {
			t.Error("calls of one order went out of order, or not once")
		}
		first := slices.Min(slices.Collect(maps.Keys(perSecond)))
		last := slices.Max(slices.Collect(maps.Keys(perSecond)))
		busiest := slices.Max(slices.Collect(maps.Values(perSecond)))
		t.Logf("asked %d times while it was down, for %d calls; afterwards %d in the first second, at most %d in any, at most %d at once, all done after %v",
			before, calls, perSecond[first], busiest, peak, time.Duration(last-int(6*time.Hour/time.Second))*time.Second)
		if peak > 8 || busiest > 81 || perSecond[first] > 70 || apart == 0 && (peak < 4 || perSecond[first] >= busiest) {
			t.Error("that is a stampede")
		}
		if before > 40*orders*6 {
			t.Error("a provider that is down is asked too often")
		}
	})
}

// TestOrder: a call that waits for its next attempt keeps those behind it
// waiting, those of other orders not; one that is given up does not.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		h.provider = func(_ int, _ *http.Request, body string) (*http.Response, error) {
			switch {
			case body == "a1" && h.count() < 6:
				return answered(503, "")
			case body == "b1":
				return answered(400, "no")
			}
			return answered(200, "ok")
		}
		defer h.run()()
		var ids []string
		for _, c := range []string{"a1", "a2", "b1", "b2", "c1"} {
			ids = append(ids, h.later("/v1/x", c, "X-Order", c[:1]))
		}
		time.Sleep(time.Hour)
		for i, want := range []outbox.State{outbox.Done, outbox.Done, outbox.Failed, outbox.Done, outbox.Done} {
			h.is(ids[i], want)
		}
		var went []string
		for _, s := range h.sent {
			went = append(went, s.body)
		}
		if a1 := slices.Index(went, "a2"); slices.Contains(went[a1:], "a1") {
			t.Errorf("sent in the order %v", went)
		}
	})
}

// TestP21Crash: a process dies under a sending. With a key the call is sent again,
// under the same one; without, and where the provider has forgotten the key,
// nobody can know, and it is not.
func TestP21Crash(t *testing.T) {
	for name, c := range map[string]struct {
		src   string
		after time.Duration // of the crash
		want  outbox.State
		sent  int
	}{
		"with a key":               {keyed, time.Minute, outbox.Done, 1},
		"without":                  {unkeyed, time.Minute, outbox.Unknown, 0},
		"the key's time is over":   {strings.Replace(keyed, "async {", "async {\n lifetime = \"72h\"\n", 1), 25 * time.Hour, outbox.Unknown, 0},
		"the key lives for longer": {strings.Replace(strings.Replace(keyed, "async {", "async {\n lifetime = \"72h\"\n", 1), "idempotency {", "idempotency {\n lifetime = \"48h\"\n", 1), 25 * time.Hour, outbox.Done, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := build(t, memory(), c.src)
				id := h.later("/v1/x", "a=1")
				if items, _, err := h.Claim(t.Context(), map[string]int{"p": 1}, time.Second); err != nil || len(items) != 1 {
					t.Fatal(items, err)
				}
				time.Sleep(c.after)
				stop := h.run()
				time.Sleep(time.Minute)
				stop()
				if h.is(id, c.want); h.count() != c.sent {
					t.Errorf("sent %d times, want %d", h.count(), c.sent)
				}
			})
		})
	}
}

// TestF40Shutdown: what is cut off at the end and is safe to repeat is due again
// at once, and does not count; what is not is unknown.
func TestF40Shutdown(t *testing.T) {
	for name, want := range map[string]outbox.State{keyed: outbox.Retrying, unkeyed: outbox.Unknown} {
		synctest.Test(t, func(t *testing.T) {
			h := build(t, memory(), name)
			h.provider = func(_ int, r *http.Request, _ string) (*http.Response, error) {
				<-r.Context().Done()
				return nil, fmt.Errorf("%w: %w", errReset, context.Cause(r.Context()))
			}
			stop := h.run()
			id := h.later("/v1/x", "a=1")
			time.Sleep(time.Second)
			began := time.Now()
			stop()
			if d := time.Since(began); d != 20*time.Second {
				t.Errorf("the end took %v", d)
			}
			if r := h.is(id, want); want == outbox.Retrying && (r.Attempt != 0 || r.Due.After(time.Now())) {
				t.Errorf("%d attempts, due %v", r.Attempt, r.Due)
			}
		})
	}
}

// TestLostLease: whoever lost its lease makes no move.
func TestLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, deaf{memory()}, keyed)
		h.provider = func(n int, r *http.Request, _ string) (*http.Response, error) {
			if n == 1 {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return answered(200, "ok")
		}
		defer h.run()()
		id := h.later("/v1/x", "a=1")
		time.Sleep(2 * time.Minute)
		if r := h.is(id, outbox.Done); r.Attempt != 2 || h.count() != 2 {
			t.Errorf("%d attempts, sent %d times", r.Attempt, h.count())
		}
	})
}

// deaf is a store that renews nothing.
type deaf struct{ outbox.Store }

func (deaf) Renew(context.Context, []queue.Lease, time.Duration) ([]queue.Lease, error) {
	return nil, errors.New("no answer")
}

// TestLifetime: a call is given up at the end of its lifetime, with the last
// answer.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), strings.Replace(keyed, "async {", "async {\n lifetime = \"2h\"\n", 1))
		h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(503, "later") }
		defer h.run()()
		id := h.later("/v1/x", "a=1")
		time.Sleep(3 * time.Hour)
		r := h.is(id, outbox.Failed)
		if r.Status != 503 || r.Outcome != policy.ServerError || !strings.HasPrefix(r.Reason, "given up at the end of its lifetime: 503") {
			t.Errorf("%+v", r.Call)
		}
		if last := h.sent[len(h.sent)-1].at; last.After(r.Created.Add(2 * time.Hour)) {
			t.Errorf("sent %v after it was accepted", last.Sub(r.Created))
		}
	})
}

// TestNothingIsGivenUp for what a person can mend: a key that is away.
func TestNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		id := h.later("/v1/x", "a=1")
		there := h.ring
		h.seals(func() (*seal.Ring, error) { return nil, errors.New("there is no key") })
		defer h.run()()
		time.Sleep(10 * time.Minute)
		synctest.Wait() // a sending may begin at this instant
		h.is(id, outbox.Retrying)
		other, err := seal.Parse(seal.Generate())
		if err != nil {
			t.Fatal(err)
		}
		h.seals(func() (*seal.Ring, error) { return seal.NewRing(other) })
		time.Sleep(10 * time.Minute)
		synctest.Wait() // a sending may begin at this instant
		h.is(id, outbox.Retrying)
		h.seals(there)
		time.Sleep(10 * time.Minute)
		synctest.Wait() // a sending may begin at this instant
		if h.is(id, outbox.Done); h.count() != 1 {
			t.Errorf("sent %d times", h.count())
		}
	})
}

// TestAccountOfItsOwnHost: a call that came by a base URL is sent to where its
// account is then.
func TestAccountOfItsOwnHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed+placing)
		r := httptest.NewRequest(http.MethodPost, "/p/p/v1/x?a=1", strings.NewReader("a=1"))
		r.Host = "localhost"
		r.Header.Set("Postern-Async", "true")
		w := httptest.NewRecorder()
		if h.handler.ServeHTTP(w, r); w.Code != http.StatusAccepted {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		defer h.run()()
		time.Sleep(time.Minute)
		if h.is(w.Header().Get("Postern-Id"), outbox.Done); h.count() != 1 || h.sent[0].url != "https://acme.p.example/v1/x?a=1" {
			t.Errorf("sent %+v", h.sent)
		}
	})
}

// TestHeaderBytes: header values and URLs are bytes, not text.
func TestHeaderBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		h.provider = func(int, *http.Request, string) (*http.Response, error) {
			resp, err := answered(200, "ok")
			resp.Header["X-Name"] = []string{"M\xfcller"}
			return resp, err
		}
		id := h.later("/v1/x?q=M\xfcller", "a=1", "X-Name", "M\xfcller")
		defer h.run()()
		time.Sleep(time.Minute)
		if h.is(id, outbox.Done); h.count() != 1 || h.sent[0].header.Get("X-Name") != "M\xfcller" || !strings.HasSuffix(h.sent[0].url, "?q=M\xfcller") {
			t.Errorf("sent %+v", h.sent)
		}
		_, v, err := h.box.Show(t.Context(), id)
		if err != nil || v.Answer == nil || v.Answer.Header.Get("X-Name") != "M\xfcller" {
			t.Errorf("%+v, %v", v.Answer, err)
		}
	})
}

// TestRedirects: an answer that asks for the same request at another place is no
// effect (RFC 9110 sections 15.4.8 and 15.4.9).
func TestRedirects(t *testing.T) {
	for status, want := range map[int]outbox.State{303: outbox.Done, 307: outbox.Failed, 308: outbox.Failed} {
		synctest.Test(t, func(t *testing.T) {
			h := build(t, memory(), keyed)
			h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(status, "") }
			id := h.later("/v1/x", "a=1")
			defer h.run()()
			time.Sleep(time.Minute)
			h.is(id, want)
		})
	}
}

// TestNothingLikeACredentialIsShown: what the application sent by a name that says
// it is a credential is kept, since the provider needs it, and shown to nobody.
func TestNothingLikeACredentialIsShown(t *testing.T) {
	h := build(t, memory(), strings.Replace(keyed, `credential "bearer" { token = env("TOKEN") }`, "", 1))
	id := h.later("/v1/x?access_token=canary&api_key=canary&plain=seen", "a=1", "Private-Token", "canary", "X-Shopify-Access-Token", "canary", "X-Amz-Security-Token", "canary", "Dd-Application-Key", "canary",
		"X-Session-Id", "canary", "Cookie", "canary", "Authorization", "Bearer canary", "X-Order", "seen", "Idempotency-Key", "seen")
	_, v, err := h.box.Show(t.Context(), id)
	if err != nil || v.Request == nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", *v.Request); strings.Contains(text, "canary") || strings.Count(text, "seen") != 4 {
		t.Errorf("shown: %s", text)
	}
}

// TestC45TokenInTheQuery: who calls with another token in the query is another.
func TestC45TokenInTheQuery(t *testing.T) {
	h := build(t, memory(), keyed)
	one, two := h.later("/v1/x?access_token=one", "a=1", "Idempotency-Key", "k"), h.later("/v1/x?access_token=two", "a=1", "Idempotency-Key", "k")
	if again := h.later("/v1/x?access_token=one", "a=1", "Idempotency-Key", "k"); one == two || again != one {
		t.Errorf("%s, %s, %s", one, two, again)
	}
}
