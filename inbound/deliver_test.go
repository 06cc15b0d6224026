package inbound_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// hookTo is a webhook that is delivered to a URL, with more lines in deliver.
func hookTo(url, more string) string {
	return fmt.Sprintf(`
webhook "hook" {
  path    = "/hook"
  headers = ["X-Kind", "Idempotency-Key"]
  verify "none" {}
  event {
    id      = body.id
    type    = body.type
    account = body.account
  }
  deliver {
    to = %q
    %s
  }
  retry {
    attempts = 3
    backoff {
      first  = "5ms"
      max    = "1s"
      jitter = "none"
    }
  }
}
`, url, more)
}

// status waits until the only event has this status.
func (b *box) status(want inbound.State) inbound.Record {
	b.t.Helper()
	eventually(b.t, "status "+string(want), func() bool { return b.stored()[0].Status == want })
	r, err := b.Show(context.Background(), b.stored()[0].ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return *r
}

// TestDeliveredAsReceived: the same bytes and content headers, our headers, and
// a signature that a Standard Webhooks library would accept.
func TestDeliveredAsReceived(t *testing.T) {
	const key = "a signing key of 24 bytes, or more"
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, hookTo(a.URL+"/in?x=1", `sign = env("SIGN")`), "SIGN=whsec_"+base64.StdEncoding.EncodeToString([]byte(key))))
	b.run()
	body := "{\"id\":\"evt\\u00e4\",\"type\":\"thing.made\",\"account\":\"acct\\r\\nX: y\"}\n\x00\xff"
	body = strings.TrimSuffix(body, "\x00\xff")
	b.post("/hook", body, set("Content-Type", "application/json; charset=utf-8", "X-Kind", "k", "Authorization", "Bearer x", "Cookie", "a=b",
		"X-Slack-Signature", "s", "Webhook-Signature", "theirs", "Idempotency-Key", "theirs"))
	got := a.nth(t, 1)
	e := b.status(inbound.Applied)
	if string(got.body) != body {
		t.Errorf("C34: delivered %q", got.body)
	}
	want := map[string]string{
		"Content-Type": "application/json; charset=utf-8", "X-Kind": "k", "Idempotency-Key": "theirs",
		"Postern-Event-Id": e.ID, "Postern-Id": e.ID, "Postern-Provider-Event-Id": "evt%C3%A4", "Postern-Webhook": "hook",
		"Postern-Account": "acct%0D%0AX: y", "Postern-Type": "thing.made", "Postern-Attempt": "1", "Postern-Origin": "push", "Postern-Verified": "no",
		"Webhook-Id": e.ID, "Content-Length": strconv.Itoa(len(body)), "User-Agent": "Postern",
	}
	for name, v := range want {
		if got.header.Get(name) != v {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), v)
		}
	}
	for name := range got.header {
		if _, ok := want[name]; !ok && !slices.Contains([]string{"Webhook-Timestamp", "Webhook-Signature"}, name) {
			t.Errorf("also delivered: %s", name)
		}
	}
	stamp := got.header.Get("Webhook-Timestamp")
	if n, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(n, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q", stamp)
	}
	if sig := "v1," + base64.StdEncoding.EncodeToString(sum([]byte(key), e.ID+"."+stamp+"."+body)); got.header.Get("Webhook-Signature") != sig {
		t.Errorf("signature %q, want %q", got.header.Get("Webhook-Signature"), sig)
	}
}

// TestRetriesThenApplied also shows what the trail and the observer are told.
func TestRetriesThenApplied(t *testing.T) {
	a := newApp(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < 3 {
			w.WriteHeader(503)
			fmt.Fprint(w, "come back later")
		}
	})
	b := serve(t, mustLoad(t, hookTo(a.URL, "")))
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	r := b.status(inbound.Applied)
	var trail []string
	for _, m := range r.Trail {
		trail = append(trail, fmt.Sprintf("%s>%s %d %d", m.From, m.To, m.Attempt, m.Status))
	}
	want := "received>processing 1 0, processing>retrying 1 503, retrying>processing 2 0, processing>retrying 2 503, retrying>processing 3 0, processing>applied 3 200"
	if got := strings.Join(trail, ", "); got != want {
		t.Errorf("trail\n%s, want\n%s", got, want)
	}
	if r.Trail[1].Detail != "come back later" || r.Trail[1].Reason != "503 Service Unavailable" {
		t.Errorf("first answer recorded as %+v", r.Trail[1])
	}
	for i, d := range a.deliveries() {
		if d.header.Get("Postern-Attempt") != strconv.Itoa(i+1) || d.header.Get("Postern-Event-Id") != r.ID {
			t.Errorf("attempt %d had %v", i+1, d.header)
		}
	}
	eventually(t, "six moves are told", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.moved) == 6 })
	for _, m := range b.moved {
		if m.Detail != "" {
			t.Errorf("the application's words went to the log: %q", m.Detail)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		plan       func(int, http.ResponseWriter, *http.Request)
		deliveries int
		reason     string
	}{
		{"no more after a 422", "", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) }, 1, "422 Unprocessable Entity"},
		{"attempts are spent", "", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 3, "given up after 3 attempts: 404 Not Found"},
		{"redirects are not followed", "", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 3, "given up after 3 attempts: 307 Temporary Redirect"},
		{"P7 a broken connection is not hidden", `poison = 0`, func(_ int, w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, 3, "given up after 3 attempts: no answer: "},
		{"an answer that breaks off", `poison = 0`, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 3, "given up after 3 attempts: no answer: unexpected EOF"},
		{"too slow", "timeout = \"20ms\"\npoison = 4", func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 3, "given up after 3 attempts: no answer: the application did not answer within 20ms"},
		{"failed list", `failed = [404]`, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1, "404 Not Found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(t, tt.plan)
			b := serve(t, mustLoad(t, hookTo(a.URL, tt.more)))
			b.run()
			b.post("/hook", `{"id":"1"}`, nil)
			r := b.status(inbound.Failed)
			if got := r.Deliveries[0].Reason; !strings.HasPrefix(got, tt.reason) || len(a.deliveries()) != tt.deliveries {
				t.Errorf("%d deliveries, %q, want %d, %q", len(a.deliveries()), got, tt.deliveries, tt.reason)
			}
		})
	}
}

// TestReplay: a person sends a failed event again, and a conflict on its way.
func TestReplay(t *testing.T) {
	var well atomic.Bool
	a := newApp(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if !well.Load() {
			w.WriteHeader(400)
		}
	})
	b := serve(t, mustLoad(t, hookTo(a.URL, "")))
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	first := b.status(inbound.Failed)
	well.Store(true)
	done, err := b.Act(context.Background(), inbound.ActReplay, inbound.Filter{State: inbound.Failed}, "ann")
	if err != nil || len(done.Moved) != 1 || done.Moved[0].By != "ann" {
		t.Fatalf("%+v, %v", done, err)
	}
	b.status(inbound.Applied)
	again := a.nth(t, 2)
	if again.header.Get("Postern-Event-Id") != first.ID || again.header.Get("Postern-Origin") != "replay" || again.header.Get("Postern-Attempt") != "1" {
		t.Errorf("replayed with %v", again.header)
	}
	b.post("/hook", `{"id":"1","other":true}`, nil)
	if b.stored()[0].Status != inbound.Conflict {
		t.Fatalf("the other body is %s", b.stored()[0].Status)
	}
	if _, err := b.Act(context.Background(), inbound.ActRelease, inbound.Filter{IDs: []string{b.stored()[0].ID}}, "ann"); err != nil {
		t.Fatal(err)
	}
	if got := a.nth(t, 3); got.header.Get("Postern-Provider-Event-Id") != "1" || string(got.body) != `{"id":"1","other":true}` {
		t.Errorf("released as %v %q", got.header, got.body)
	}
	if _, err := b.Act(context.Background(), "explode", inbound.Filter{}, "ann"); err == nil {
		t.Error("an unknown action was done")
	}
}

// TestGuardedDial: every connection goes through the dial function.
func TestGuardedDial(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, hookTo(a.URL, "")), func(o *inbound.Options) {
		o.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
			return nil, fmt.Errorf("dialling %s is not allowed", address)
		}
	})
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	if r := b.status(inbound.Retrying); !strings.HasPrefix(r.Deliveries[0].Reason, "not reached: ") || !strings.Contains(r.Deliveries[0].Reason, "is not allowed") || r.Deliveries[0].Attempt != 0 || len(a.deliveries()) != 0 {
		t.Errorf("%d deliveries, %+v", len(a.deliveries()), r.Deliveries[0])
	}
}

// TestUnreadableSigningSecret fails closed: nothing goes out unsigned.
func TestUnreadableSigningSecret(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, hookTo(a.URL, `sign = env("NOWHERE")`)))
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	if r := b.status(inbound.Failed); !strings.Contains(r.Deliveries[0].Reason, "[secret env:NOWHERE]") || len(a.deliveries()) != 0 {
		t.Errorf("%d deliveries, %q", len(a.deliveries()), r.Deliveries[0].Reason)
	}
}

// TestSwapWhileDelivering: a webhook that is gone is not delivered, its events
// wait, and all goes on when it is back.
func TestSwapWhileDelivering(t *testing.T) {
	a := newApp(t, nil)
	set := mustLoad(t, hookTo(a.URL, ""))
	b := serve(t, set)
	b.post("/hook", `{"id":"1"}`, nil)
	b.Swap(mustLoad(t, ""))
	b.run()
	if got := b.post("/hook", `{"id":"2"}`, nil); got.status != 404 {
		t.Errorf("status %d without the webhook", got.status)
	}
	if n := len(a.deliveries()); n != 0 || b.stored()[0].Status != inbound.Received {
		t.Errorf("%d deliveries without the webhook", n)
	}
	b.Swap(set)
	b.status(inbound.Applied)
}

// TestRetentionAndSchedule runs days in virtual time, without a listener.
func TestRetentionAndSchedule(t *testing.T) {
	set := mustLoad(t, strings.Replace(hookTo("http://app.test/", ""), `max    = "1s"`, `max    = "6h"`, 1))
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory().Inbox()
		calls := 0
		in := inbound.New(inbound.Options{Store: m, Retain: 24 * time.Hour, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			client, server := net.Pipe()
			calls++
			status := "503 Service Unavailable\r\nRetry-After: 7200"
			if calls == 3 {
				status = "200 OK"
			}
			go func() {
				defer server.Close()
				buf := make([]byte, 4096)
				for n := 0; !strings.HasSuffix(string(buf[:n]), `{"id":"1"}`); {
					k, err := server.Read(buf[n:])
					if n += k; err != nil {
						return
					}
				}
				fmt.Fprintf(server, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
			}()
			return client, nil
		}})
		in.Swap(set)
		e := &inbound.Event{ID: "1", Webhook: "hook", EventID: "1", Received: time.Now(), Body: []byte(`{"id":"1"}`), Size: 10}
		if _, _, err := storetest.Insert(t.Context(), m, e, "hook"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); in.Run(ctx) }()
		time.Sleep(5 * time.Hour)
		r, err := in.Show(t.Context(), "1")
		if err != nil || r.Status != inbound.Applied {
			t.Fatalf("%+v, %v", r, err)
		}
		var at []time.Duration
		for _, m := range r.Trail {
			if m.To == inbound.Processing {
				at = append(at, m.At.Sub(start).Round(time.Minute))
			}
		}
		if want := []time.Duration{0, 2 * time.Hour, 4 * time.Hour}; !slices.Equal(at, want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		time.Sleep(22 * time.Hour)
		if n, _ := in.Count(t.Context(), inbound.Filter{}); n.N != 1 {
			t.Error("deleted before its time")
		}
		time.Sleep(2 * time.Hour)
		if n, _ := in.Count(t.Context(), inbound.Filter{}); n.N != 0 {
			t.Error("not deleted after its time")
		}
		cancel()
		<-done
	})
}

// TestF40DrainGivesBack: what is cut off by a shutdown is due again at once and
// does not count.
func TestF40DrainGivesBack(t *testing.T) {
	inside := make(chan struct{})
	a := newApp(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			close(inside)
			<-r.Context().Done()
		}
	})
	b := serve(t, mustLoad(t, hookTo(a.URL, "")), func(o *inbound.Options) { o.Grace = 10 * time.Millisecond })
	stop := b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	<-inside
	stop()
	r := b.status(inbound.Retrying)
	if d := r.Deliveries[0]; d.Attempt != 0 || d.Due.After(time.Now()) || d.Reason != "interrupted by shutdown" {
		t.Errorf("given back as %+v", d)
	}
	second := serve(t, b.Set(), func(o *inbound.Options) { o.Store = b.store })
	second.run()
	if got := a.nth(t, 2); got.header.Get("Postern-Attempt") != "1" {
		t.Errorf("attempt %s after the restart, want 1", got.header.Get("Postern-Attempt"))
	}
}
