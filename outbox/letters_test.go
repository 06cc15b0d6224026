package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
)

// TestDeadLetters: what is kept, and as what.
func TestDeadLetters(t *testing.T) {
	get := func(h *house) {
		r := httptest.NewRequest(http.MethodGet, "https://p.example/v1/x", nil)
		r.RequestURI = "https://p.example/v1/x"
		h.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	post := func(h *house) { h.post("/v1/x", "a=1") }
	fails := func(status int) func(int, *http.Request, string) (*http.Response, error) {
		return func(int, *http.Request, string) (*http.Response, error) { return answered(status, "no") }
	}
	breaks := func(err error) func(int, *http.Request, string) (*http.Response, error) {
		return func(int, *http.Request, string) (*http.Response, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		src      string
		provider func(int, *http.Request, string) (*http.Response, error)
		do       func(*house)
		want     outbox.State // "" for nothing
		outcome  policy.Outcome
		doubt    bool
	}{
		"a server error, with a key":    {keyed, fails(503), post, outbox.Failed, policy.ServerError, true},
		"a server error, without":       {unkeyed, fails(503), post, outbox.Unknown, policy.ServerError, true},
		"no connection":                 {unkeyed, breaks(errRefused), post, outbox.Failed, policy.Unreachable, false},
		"a reset, without a key":        {unkeyed, breaks(errReset), post, outbox.Unknown, policy.Unreachable, true},
		"a reset, with one":             {keyed, breaks(errReset), post, outbox.Failed, policy.Unreachable, true},
		"a limit":                       {keyed, fails(429), post, outbox.Failed, policy.RateLimited, false},
		"a refusal":                     {keyed, fails(400), post, "", "", false},
		"success":                       {keyed, fails(200), post, "", "", false},
		"a question":                    {keyed, fails(503), get, "", "", false},
		"no block":                      {"retry { attempts = 1 }", breaks(errReset), post, "", "", false},
		"not one of outcomes":           {strings.Replace(keyed, "deadletter {}", `deadletter { outcomes = ["timeout"] }`, 1), fails(503), post, "", "", false},
		"not one of outcomes, in doubt": {strings.Replace(unkeyed, "deadletter {}", `deadletter { outcomes = ["timeout"] }`, 1), breaks(errReset), post, outbox.Unknown, policy.Unreachable, true},
		"the body is longer":            {strings.Replace(keyed, "attempts = 1", "attempts = 1\n buffer = \"1KiB\"\n", 1), fails(503), func(h *house) { h.post("/v1/x", strings.Repeat("x", 2000)) }, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, memory(), strings.Replace(c.src, "retry { attempts = 1\n buffer", "retry {\n attempts = 1\n buffer", 1))
			h.provider = c.provider
			c.do(h)
			if c.want == "" {
				if n, _ := h.Count(t.Context(), outbox.Filter{}); n != 0 {
					t.Errorf("%d calls are kept", n)
				}
				if long := name == "the body is longer"; long != (len(h.trouble) == 1) {
					t.Errorf("told: %q", h.trouble)
				}
				return
			}
			k := h.only()
			if k.State != c.want || k.Outcome != c.outcome || k.Doubt.IsZero() == c.doubt || k.Kind != outbox.DeadLetter || k.Provider != "p" || h.letters != 1 {
				t.Errorf("kept %+v; %d letters", k, h.letters)
			}
			_, v, err := h.box.Show(t.Context(), k.ID)
			if err != nil || v.Request.URL != "https://p.example/v1/x" || v.Request.Size != 3 || v.Answer.Attempts != 1 || v.Answer.Evidence.Connected == (c.outcome == policy.Unreachable && !c.doubt) {
				t.Errorf("shown %+v %+v, %v", v.Request, v.Answer, err)
			}
		})
	}
}

// TestTheCallHasFailedAlready: that it cannot be kept changes nothing for the
// application, and is told.
func TestTheCallHasFailedAlready(t *testing.T) {
	h := build(t, broken{memory()}, keyed)
	h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(503, "sorry") }
	if w := h.post("/v1/x", "a=1"); w.Code != 503 || w.Body.String() != "sorry" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(h.trouble) != 1 || !strings.Contains(h.trouble[0], "disk full") {
		t.Errorf("told %q", h.trouble)
	}
}

// TestSuperseded: the application's later call that is the same one, and succeeds,
// makes the dead letter superfluous. Then it cannot be replayed by accident.
func TestSuperseded(t *testing.T) {
	type call struct {
		path, body string
		header     []string
	}
	key := func(k string, more ...string) []string { return append([]string{"Idempotency-Key", k}, more...) }
	for name, c := range map[string]struct {
		first, then call
		after       time.Duration
		status      int // of the second
		superseded  bool
	}{
		"the same key":                  {call{"/v1/x", "a=1", key("k")}, call{"/v1/x", "a=1", key("k")}, 48 * time.Hour, 200, true},
		"the same again, without a key": {call{"/v1/x?b=2&a=1", "a=1", nil}, call{"/v1/x?a=1&b=2", "a=1", nil}, time.Hour, 200, true},
		"the same, with another key":    {call{"/v1/x", "a=1", key("k")}, call{"/v1/x", "a=1", key("l")}, time.Hour, 200, true},
		"after the window":              {call{"/v1/x", "a=1", nil}, call{"/v1/x", "a=1", nil}, 25 * time.Hour, 200, false},
		"it fails again":                {call{"/v1/x", "a=1", key("k")}, call{"/v1/x", "a=1", key("k")}, time.Hour, 400, false},
		"another body":                  {call{"/v1/x", "a=1", nil}, call{"/v1/x", "a=2", nil}, time.Hour, 200, false},
		"another path":                  {call{"/v1/x", "a=1", nil}, call{"/v1/y", "a=1", nil}, time.Hour, 200, false},
		"another query":                 {call{"/v1/x?a=1", "", nil}, call{"/v1/x?a=2", "", nil}, time.Hour, 200, false},
		"another account":               {call{"/v1/x", "a=1", key("k")}, call{"/v1/x", "a=1", key("k", "Postern-Account", "other")}, time.Hour, 200, false},
		"another connected account":     {call{"/v1/x", "a=1", key("k", "Stripe-Account", "a")}, call{"/v1/x", "a=1", key("k", "Stripe-Account", "b")}, time.Hour, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := build(t, memory(), keyed)
				status := 503
				h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(status, "") }
				h.post(c.first.path, c.first.body, c.first.header...)
				k := h.only()
				time.Sleep(c.after)
				status = c.status
				h.post(c.then.path, c.then.body, c.then.header...)
				want := outbox.Failed
				if c.superseded {
					want = outbox.Superseded
				}
				h.is(k.ID, want)
				if !c.superseded {
					return
				}
				done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me")
				if err != nil || len(done.Moved) != 0 || done.Skipped+done.Held != 1 {
					t.Errorf("replayed by accident: %+v, %v", done, err)
				}
				if done, err = h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, true, "me"); err != nil || len(done.Moved) != 1 {
					t.Errorf("not replayed on purpose: %+v, %v", done, err)
				}
			})
		})
	}
}

// TestSupersededWhileRetrying: a dead letter that is being replayed, and waits for
// its next attempt, is not sent after the application's own call.
func TestSupersededWhileRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), unkeyed)
		down := true
		h.provider = func(int, *http.Request, string) (*http.Response, error) {
			if down {
				return nil, errRefused
			}
			return answered(200, "made")
		}
		h.post("/v1/x", "a=1")
		k := h.only()
		defer h.run()()
		if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me"); err != nil || len(done.Moved) != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		time.Sleep(10 * time.Second)
		h.is(k.ID, outbox.Retrying)
		down = false
		before := h.count()
		h.post("/v1/x", "a=1")
		time.Sleep(time.Hour)
		if h.is(k.ID, outbox.Superseded); h.count() != before+1 {
			t.Errorf("made %d times", h.count()-before)
		}
	})
}

// TestNotSupersededByAnother: calls that the policy tells apart by its key are
// different calls, however much they look alike otherwise.
func TestNotSupersededByAnother(t *testing.T) {
	for name, c := range map[string]struct{ key, first, then, order, other string }{
		"the key is a header":         {`request.header["X-Order"]`, "a=1", "a=1", "7", "8"},
		"the key is in the body, too": {`request.header["X-Order"]`, "order=7&a=1", "order=8&a=1", "7", "8"},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, memory(), strings.Replace(keyed, "header =", "key = "+c.key+"\nheader =", 1))
			status := 503
			h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(status, "") }
			h.post("/v1/x", c.first, "X-Order", c.order)
			k := h.only()
			status = 200
			h.post("/v1/x", c.then, "X-Order", c.other)
			h.is(k.ID, outbox.Failed)
			h.post("/v1/x", c.first, "X-Order", c.order)
			h.is(k.ID, outbox.Superseded)
		})
	}
}

// TestResolvedIsSent: where answers are kept, a person's word goes, too: what is
// resolved as not executed, or forced, is sent.
func TestResolvedIsSent(t *testing.T) {
	src := strings.Replace(unkeyed, "retry {", "idempotency {\n key = request.header[\"X-Order\"]\n keep = \"24h\"\n}\nretry {", 1)
	for name, force := range map[string]bool{"resolved": false, "forced": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := build(t, memory(), src)
				h.provider = func(n int, _ *http.Request, _ string) (*http.Response, error) {
					if n == 1 {
						return nil, errReset
					}
					return answered(200, "made")
				}
				h.post("/v1/x", "a=1", "X-Order", "7")
				k := h.only()
				h.is(k.ID, outbox.Unknown)
				defer h.run()()
				if !force {
					if done, err := h.box.Act(t.Context(), outbox.NotExecuted, outbox.Filter{}, false, "me"); err != nil || len(done.Moved) != 1 {
						t.Fatalf("%+v, %v", done, err)
					}
				}
				if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, force, "me"); err != nil || len(done.Moved) != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				time.Sleep(time.Minute)
				if h.is(k.ID, outbox.Done); h.count() != 2 {
					t.Errorf("sent %d times", h.count())
				}
				if w := h.post("/v1/x", "a=1", "X-Order", "7"); w.Body.String() != "made" || h.count() != 2 {
					t.Errorf("the application's repeat: %d %s, sent %d times", w.Code, w.Body, h.count())
				}
			})
		})
	}
}

// TestReplayIsTheSameCall: a call that is kept without what the application sent in
// the place of a credential is the same call where answers are kept.
func TestReplayIsTheSameCall(t *testing.T) {
	const rest = "\nidempotency {\n header = \"Idempotency-Key\"\n keep = \"24h\"\n}\nretry { attempts = 1 }\ndeadletter {}\n"
	for name, c := range map[string]struct{ credential, path, kind, body string }{
		"path": {`credential "path" { token = env("TOKEN") }`, "/botSTUB/send", "text/plain", "a=1"},
		"form": {"credential \"body\" {\n fields = { token = env(\"TOKEN\") }\n}", "/send", "application/x-www-form-urlencoded", "token=STUB&a=1"},
		"JSON": {"credential \"body\" {\n fields = { token = env(\"TOKEN\") }\n}", "/send", "application/json", `{"token":"STUB","a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := build(t, memory(), c.credential+rest)
				h.provider = func(n int, _ *http.Request, _ string) (*http.Response, error) {
					if n == 1 {
						return answered(503, "")
					}
					return answered(200, "made")
				}
				h.post(c.path, c.body, "Content-Type", c.kind, "Idempotency-Key", "k")
				k := h.only()
				defer h.run()()
				if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me"); err != nil || len(done.Moved) != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				time.Sleep(time.Second)
				if h.is(k.ID, outbox.Done); h.count() != 2 {
					t.Errorf("sent %d times", h.count())
				}
			})
		})
	}
}

// TestInFlightIsNoEnd: a repeat that is refused while the first call is under way is
// no final failure. If the first one fails, that one is kept.
func TestInFlightIsNoEnd(t *testing.T) {
	for _, outcomes := range []string{"", `outcomes = ["server_error", "conflict"]`} {
		synctest.Test(t, func(t *testing.T) {
			src := strings.Replace(keyed, `"Idempotency-Key"`, "\"Idempotency-Key\"\nkeep = \"24h\"", 1)
			h := build(t, memory(), strings.Replace(src, "deadletter {}", "deadletter { "+outcomes+" }", 1))
			h.provider = func(int, *http.Request, string) (*http.Response, error) {
				time.Sleep(10 * time.Second)
				return answered(503, "no")
			}
			go h.post("/v1/x", "a=1", "Idempotency-Key", "k")
			time.Sleep(time.Second)
			if w := h.post("/v1/x", "a=1", "Idempotency-Key", "k"); w.Code != http.StatusConflict {
				t.Errorf("the repeat: %d %s", w.Code, w.Body)
			}
			if n, _ := h.Count(t.Context(), outbox.Filter{}); n != 0 {
				t.Errorf("%d calls are kept while one is under way", n)
			}
			time.Sleep(time.Minute)
			if k := h.only(); k.State != outbox.Failed || k.Outcome != policy.ServerError {
				t.Errorf("kept %+v", k)
			}
		})
	}
}

// TestSupersededElsewhere: the dead letters of another process are known after a
// few seconds.
func TestSupersededElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory()
		a, b := build(t, s, keyed), build(t, s, keyed)
		a.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(503, "") }
		stop := b.run()
		a.post("/v1/x", "a=1", "Idempotency-Key", "k")
		k := a.only()
		time.Sleep(6 * time.Second)
		if !b.box.Waiting("p") || b.box.Waiting("q") {
			t.Error("it is not known")
		}
		b.post("/v1/x", "a=1", "Idempotency-Key", "k")
		a.is(k.ID, outbox.Superseded)
		time.Sleep(6 * time.Second)
		stop()
		if b.box.Waiting("p") {
			t.Error("it is still waited for")
		}
	})
}

// TestReplay runs the policy of the time, and signs afresh; the provider knows it
// by its key. What may have a second effect is held back.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		h.provider = func(n int, _ *http.Request, _ string) (*http.Response, error) {
			if n == 1 {
				return answered(503, "")
			}
			return answered(201, "made")
		}
		h.post("/v1/x", "a=1", "X-Order", "7")
		k := h.only()
		h.use(strings.Replace(keyed, "Idempotency-Key", "Idempotency-Key", 1) + "\nallow { requests = [\"POST /v1/**\"] }\n")
		defer h.run()()
		done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{State: outbox.Failed}, false, "me")
		if err != nil || len(done.Moved) != 1 || done.Moved[0].By != "me" {
			t.Fatalf("%+v, %v", done, err)
		}
		time.Sleep(time.Second)
		r := h.is(k.ID, outbox.Done)
		first, second := h.sent[0], h.sent[1]
		if r.Status != 201 || len(h.sent) != 2 || second.header.Get("Idempotency-Key") != first.header.Get("Idempotency-Key") || second.header.Get("Authorization") != "Bearer "+secret || second.body != "a=1" {
			t.Errorf("sent %+v, then %+v", first, second)
		}
	})
}

// TestP32KeyWindow: a day later the provider does not know the key any more.
func TestP32KeyWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), keyed)
		status := 503
		h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(status, "") }
		h.post("/v1/x", "a=1")
		k := h.only()
		time.Sleep(25 * time.Hour)
		status = 200
		defer h.run()()
		done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me")
		if err != nil || done.Held != 1 || len(done.Why) != 1 || !strings.Contains(done.Why[0], "knows its key for 24h0m0s only") {
			t.Errorf("%+v, %v", done, err)
		}
		h.is(k.ID, outbox.Failed)
		if _, err = h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, true, "me"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if h.is(k.ID, outbox.Done); h.count() != 2 {
			t.Errorf("sent %d times", h.count())
		}
	})
}

// TestLooksFirst: where the route looks at the provider first, nothing is held
// back for a doubt, and it is looked.
func TestLooksFirst(t *testing.T) {
	for name, src := range map[string]string{"unknown": unkeyed, "after the key's time": keyed} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := build(t, memory(), src)
				h.provider = func(n int, _ *http.Request, _ string) (*http.Response, error) {
					if n == 1 {
						return nil, errReset
					}
					return answered(200, "ok")
				}
				h.post("/v1/x", "a=1")
				k := h.only()
				time.Sleep(48 * time.Hour)
				if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me"); err != nil || done.Held != 1 {
					t.Errorf("without a look: %+v, %v", done, err)
				}
				h.use(src + looking)
				if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, false, "me"); err != nil || len(done.Moved) != 1 {
					t.Fatalf("with a look: %+v, %v", done, err)
				}
				defer h.run()()
				time.Sleep(time.Minute)
				if h.is(k.ID, outbox.Done); h.looked != 1 || h.count() != 2 {
					t.Errorf("looked %d times, sent %d times", h.looked, h.count())
				}
			})
		})
	}
}

// TestForcedOnce: what is forced is sent once in doubt, not again and again.
func TestForcedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, memory(), unkeyed)
		h.provider = func(int, *http.Request, string) (*http.Response, error) { return nil, errReset }
		h.post("/v1/x", "a=1")
		k := h.only()
		defer h.run()()
		if done, err := h.box.Act(t.Context(), outbox.Replay, outbox.Filter{}, true, "me"); err != nil || len(done.Moved) != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		time.Sleep(24 * time.Hour)
		if h.is(k.ID, outbox.Unknown); h.count() != 2 {
			t.Errorf("sent %d times, want the call and one replay", h.count())
		}
		for d, want := range map[outbox.Doing]outbox.State{outbox.Executed: outbox.Done} {
			if done, err := h.box.Act(t.Context(), d, outbox.Filter{}, false, "me"); err != nil || len(done.Moved) != 1 {
				t.Errorf("%+v, %v", done, err)
			}
			h.is(k.ID, want)
		}
		if _, err := h.box.Act(t.Context(), "nonsense", outbox.Filter{}, false, "me"); err == nil {
			t.Error("nonsense was done")
		}
	})
}

// TestCallback: what came of a call is posted to the application, signed, with the
// same id until it answers 2xx.
func TestCallback(t *testing.T) {
	type told struct {
		id, signature string
		data          struct {
			Type string
			Data outbox.View
		}
	}
	got := make(chan told, 10)
	n := 0
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := told{id: r.Header.Get("Webhook-Id"), signature: r.Header.Get("Webhook-Signature")}
		if err := json.Unmarshal(body, &m.data); err != nil {
			t.Error(err)
		}
		if n++; n < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		got <- m
	}))
	defer app.Close()
	src := fmt.Sprintf("credential \"bearer\" { token = env(\"TOKEN\") }\nasync {\n callback = %q\n sign = env(\"SIGN\")\n backoff {\n first = \"10ms\"\n max = \"10ms\"\n }\n}\n", app.URL+"/told")
	h := build(t, memory(), src, func(o *outbox.Options) { o.Poll = 20 * time.Millisecond })
	h.provider = func(int, *http.Request, string) (*http.Response, error) { return answered(402, "card declined") }
	defer h.run()()
	id := h.later("/v1/x", "a=1", "Authorization", "Bearer canary")
	var first told
	for i := range 3 {
		select {
		case m := <-got:
			if i == 0 {
				first = m
			}
			if m.id != first.id || m.id == id || !strings.HasPrefix(m.signature, "v1,") {
				t.Errorf("told %+v", m)
			}
			if d := m.data; d.Type != "call.failed" || d.Data.ID != id || d.Data.Answer.Status != 402 || d.Data.Answer.Body != "card declined" || d.Data.Status != outbox.Failed {
				t.Errorf("told %+v", d)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not told")
		}
	}
	for range 200 {
		p, err := h.List(context.Background(), outbox.Filter{Kind: outbox.Callback, Of: id})
		if err != nil || len(p.Calls) != 1 {
			t.Fatal(p, err)
		}
		if p.Calls[0].State == outbox.Done {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the callback is not done")
}

// TestForged: a call that was changed in the database is not sent.
func TestForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory()
		h := build(t, forging{s}, keyed)
		defer h.run()()
		id := h.later("/v1/x", "a=1")
		time.Sleep(time.Minute)
		if h.is(id, outbox.Failed); h.count() != 0 {
			t.Errorf("sent %d times", h.count())
		}
	})
}

// forging is a store in which somebody has changed the account.
type forging struct{ outbox.Store }

func (f forging) Add(ctx context.Context, c *outbox.Call) (*outbox.Call, error) {
	changed := *c
	changed.Account = "mallory"
	return f.Store.Add(ctx, &changed)
}
