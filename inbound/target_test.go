package inbound_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// TestSeveralTargets is one event for several targets: each with a state, a filter, a
// contract and a road of its own.
func TestSeveralTargets(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	socket := &app{}
	socket.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		socket.mu.Lock()
		socket.got = append(socket.got, delivered{header: r.Header.Clone(), body: body})
		socket.mu.Unlock()
	}))
	socket.Listener.Close()
	socket.Listener = l
	socket.Start()
	t.Cleanup(socket.Close)
	refuses := newApp(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) })
	src := fmt.Sprintf(`
webhook "hook" {
  path = "/hook"
  headers = ["X-Kind"]
  verify "none" {}
  event {
    id   = body.id
    type = body.type
  }
  deliver "mapped" {
    to     = "unix:%s:/in"
    when   = event.type == "order.paid" && header["X-Kind"] == "k"
    body   = jsonencode({ id = event.id, cents = body.amount, rate = body.rate, big = body.big })
    sign   = [env("NEW"), env("OLD")]
    header = { Authorization = env("TOKEN"), X-From = "postern" }
  }
  deliver "refuses" { to = %q }
  deliver "never" {
    to   = "http://127.0.0.1:1/"
    when = event.type == "order.made"
  }
  deliver "unclear" {
    to   = "http://127.0.0.1:1/"
    when = body.nothing.there
  }
  deliver "broken" {
    to   = "http://127.0.0.1:1/"
    when = regex("^a", event.type) == ""
  }
}
`, name, refuses.URL)
	key := func(b byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b}, 24)) }
	b := serve(t, mustLoad(t, src, "NEW="+key(1), "OLD="+key(2), "TOKEN=Bearer app-token-1"))
	b.run()
	body := `{"id":"1","type":"order.paid","amount":9007199254740993,"rate":0.1,"big":123456789012345678901234567890.5}`
	b.post("/hook", body, set("Content-Type", "application/json; charset=utf-8", "Content-Language", "de", "X-Kind", "k"))
	got := socket.nth(t, 1)
	if want := `{"big":123456789012345678901234567890.5,"cents":9007199254740993,"id":"1","rate":0.1}`; string(got.body) != want {
		t.Errorf("the application got %s, want %s", got.body, want)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Content-Language": "", "X-Kind": "k", "X-From": "postern", "Authorization": "Bearer app-token-1"} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	signatures := strings.Fields(got.header.Get("Webhook-Signature"))
	if len(signatures) != 2 {
		t.Fatalf("signatures %q", signatures)
	}
	for i, signature := range signatures {
		text := got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + string(got.body)
		if want := "v1," + base64.StdEncoding.EncodeToString(sum(slices.Repeat([]byte{byte(i + 1)}, 24), text)); signature != want {
			t.Errorf("signature %d is %s, want %s", i, signature, want)
		}
	}
	r := b.status(inbound.Failed)
	for _, d := range r.Deliveries {
		want := map[string]struct {
			state  inbound.State
			reason string
		}{
			"hook/mapped": {inbound.Applied, "200 OK"}, "hook/refuses": {inbound.Failed, "422 Unprocessable Entity"},
			"hook/never":   {inbound.Ignored, "not for this target: when is false"},
			"hook/unclear": {inbound.Ignored, "not for this target: when is neither true nor false"},
			"hook/broken":  {inbound.Ignored, "not for this target: when cannot be told: "},
		}[d.Target]
		if d.State != want.state || !strings.HasPrefix(d.Reason, want.reason) {
			t.Errorf("%s is %s: %q, want %s: %q", d.Target, d.State, d.Reason, want.state, want.reason)
		}
	}
	b.mu.Lock()
	if len(b.troubles) != 1 || !strings.Contains(b.troubles[0], "not delivered to target hook/broken: not for this target: when cannot be told: ") {
		t.Errorf("of the condition that fails an operator is told %q", b.troubles)
	}
	b.mu.Unlock()
	if e, err := b.Body(t.Context(), r.ID); err != nil || string(e.Body) != body {
		t.Errorf("kept are %s, %v", e.Body, err)
	}
	if got := refuses.nth(t, 1); string(got.body) != body {
		t.Errorf("the other target got %s", got.body)
	}
}

// TestBodyThatCannotBeMade: no half message is sent, and the reason is known.
func TestBodyThatCannotBeMade(t *testing.T) {
	for _, tt := range []struct{ expr, event, reason string }{
		{`jsonencode({ n = body.items[0].n + 1 })`, `{"id":"1","items":[{"n":"x"}]}`, "evaluate expression"},
		{`body.nothing`, `{"id":"1"}`, "it is null"},
		{`"${body.id}, ${body.name}"`, `{"id":"1"}`, "null"},
		{`"hello ${body.id}"`, `{"id":"1"}`, "it is not JSON"},
		{`jsonencode(body)`, `[`, ""}, // null is JSON
	} {
		a := newApp(t, nil)
		b := serve(t, mustLoad(t, hookTo(a.URL, "body = "+tt.expr)))
		b.run()
		b.post("/hook", tt.event, nil)
		if tt.reason == "" {
			if got := a.nth(t, 1); string(got.body) != "null" {
				t.Errorf("%s: %s", tt.expr, got.body)
			}
			continue
		}
		if r := b.status(inbound.Failed); !strings.HasPrefix(r.Deliveries[0].Reason, "body cannot be made of this event: ") || !strings.Contains(r.Deliveries[0].Reason, tt.reason) || len(a.deliveries()) != 0 {
			t.Errorf("%s: %q and %d deliveries", tt.expr, r.Deliveries[0].Reason, len(a.deliveries()))
		}
	}
}

// TestPlainBody: a text of another type.
func TestPlainBody(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, hookTo(a.URL, "body = \"hello ${body.id}\"\ncontent_type = \"text/plain\"")))
	b.run()
	b.post("/hook", `{"id":"1"}`, nil)
	if got := a.nth(t, 1); string(got.body) != "hello 1" || got.header.Get("Content-Type") != "text/plain" {
		t.Errorf("%v %s", got.header, got.body)
	}
}

// TestPausedIsShown: a target that cannot be reached is listed, until it is back.
func TestPausedIsShown(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, hookTo(a.URL, "")), func(o *inbound.Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if down.Load() {
				return nil, errors.New("connection refused")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	b.run()
	for i := range 8 {
		b.post("/hook", fmt.Sprintf(`{"id":"%d"}`, i), nil)
	}
	eventually(t, "a pause", func() bool { return len(b.Paused()) == 1 })
	if p := b.Paused()[0]; p.Webhook != "hook" || p.Target != "hook" || p.Until.Before(p.Since) {
		t.Errorf("paused: %+v", p)
	}
	down.Store(false)
	eventually(t, "the end of the pause", func() bool { return len(b.Paused()) == 0 })
	eventually(t, "all are applied", func() bool {
		n, _ := b.Count(context.Background(), inbound.Filter{State: inbound.Applied})
		return n.N == 8
	})
}
