package admin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

const pulledHooks = `
webhook "github" {
  path     = "/github"
  provider = "github"
  verify "none" {}
  event { id = body.id }
  reconcile {
    list   = "/events?since=${since}"
    events = response.body
  }
  deliver { to = "http://127.0.0.1:1/github" }
}
webhook "queue" {
  path = "/queue"
  verify "none" {}
  deliver { pull = true }
  deliver "worker" { pull = true }
}`

// pulls has a worker claim three events, and returns their leases.
func pulls(l *listener) (leases []string) {
	l.t.Helper()
	l.opt.Inbox.Swap(webhooksOf(l.t, pulledHooks))
	for _, id := range []string{"p1", "p2", "p3"} {
		l.insert(inbound.Event{ID: id, Webhook: "queue", EventID: id, Body: []byte("{}")}, "queue")
	}
	got, err := l.opt.Inbox.Claim(l.t.Context(), inbound.Pull{Webhook: "queue", Max: 3, Lease: time.Minute})
	if err != nil || len(got) != 3 {
		l.t.Fatalf("%+v, %v", got, err)
	}
	for _, e := range got {
		leases = append(leases, e.Lease)
	}
	return leases
}

// TestPull is a worker's way through the API, and what it is refused.
func TestPull(t *testing.T) {
	l := serve(t, `admin {}`)
	l.opt.Inbox.Swap(webhooksOf(t, pulledHooks))
	l.insert(inbound.Event{ID: "p1", Webhook: "queue", EventID: "1", Body: []byte("\xff\x00"), Header: http.Header{"Content-Type": {"x/y"}}}, "queue/worker")
	claim := func(method string) ClaimedEvents {
		return read[ClaimedEvents](t, l.ask(method, api+"/inbox/claim?webhook=queue&target=worker&wait=1s&lease=30s&max=5", ""))
	}
	got := claim(http.MethodPost)
	if len(got.Events) != 1 {
		t.Fatalf("claimed %+v", got)
	}
	e := got.Events[0]
	if body, err := base64.StdEncoding.DecodeString(e.Body); err != nil || string(body) != "\xff\x00" || e.Header.Get("Postern-Event-Id") != "p1" || e.Header.Get("Content-Type") != "x/y" || time.Until(e.Deadline) > 30*time.Second {
		t.Errorf("claimed %+v", e)
	}
	say := func(what string, v any) answer {
		text, _ := json.Marshal(v)
		return l.ask(http.MethodPost, api+"/inbox/"+what, string(text))
	}
	if s := read[Settled](t, say("extend", Extend{e.Lease, "1m"})); s.Status != "processing" || time.Until(s.Deadline) < 50*time.Second {
		t.Errorf("extended: %+v", s)
	}
	if s := read[Settled](t, say("nack", Nack{Lease: e.Lease, Reason: "locked", Delay: "1s"})); s.Status != "retrying" {
		t.Errorf("nack: %+v", s)
	}
	if a := say("ack", Ack{e.Lease}); a.StatusCode != http.StatusConflict {
		t.Errorf("ack after nack: %d %s", a.StatusCode, a.body)
	}
	if got := claim(http.MethodGet); len(got.Events) != 1 || got.Events[0].Header.Get("Postern-Attempt") != "2" {
		t.Errorf("claimed again %+v", got)
	} else if s := read[Settled](t, say("ack", Ack{got.Events[0].Lease})); s.Status != "applied" {
		t.Errorf("ack: %+v", s)
	}
	if got := read[ClaimedEvents](t, l.ask("POST", api+"/inbox/claim?webhook=queue&target=worker", "")); got.Events == nil || len(got.Events) != 0 {
		t.Errorf("nothing is %+v", got)
	}
	for path, status := range map[string]int{
		"?webhook=queue&target=x": 404, "?webhook=github": 404, "": 404, "?webhook=queue&target=worker&max=0": 400, "?webhook=queue&target=worker&max=101": 400, "?webhook=queue&target=worker&wait=2m": 400,
		"?webhook=queue&target=worker&lease=13h": 400, "?webhook=queue&target=worker&lease=x": 400, "?webhook=queue&webhook=queue": 400, "?hook=queue": 400,
	} {
		if a := l.ask(http.MethodPost, api+"/inbox/claim"+path, ""); a.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", path, a.StatusCode, a.body, status)
		}
	}
	for body, status := range map[string]int{`{"lease":"x"}`: 400, `{}`: 400, `{"lease":"x","more":1}`: 400, `[]`: 400} {
		if a := l.ask(http.MethodPost, api+"/inbox/ack", body); a.StatusCode != status {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	// A page of another origin makes browsers ask by GET without a preflight.
	if a := l.ask(http.MethodGet, api+"/inbox/claim?webhook=queue&target=worker", "", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); a.StatusCode != http.StatusForbidden {
		t.Errorf("a claim by another origin: %d", a.StatusCode)
	}
}

// TestC64PullNeedsTheToken: as everything else does.
func TestC64PullNeedsTheToken(t *testing.T) {
	l := serve(t, `admin { token = env("T") }`, "T="+token)
	for _, what := range []string{"claim?webhook=queue&target=worker", "ack", "nack", "extend"} {
		if a := l.ask(http.MethodPost, api+"/inbox/"+what, ""); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", what, a.StatusCode)
		}
	}
}
