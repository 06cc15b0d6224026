package inbound_test

import (
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// TestAccept: what is not accepted is kept and says why; where accept says neither
// yes nor no, a person is asked.
func TestAccept(t *testing.T) {
	for name, tt := range map[string]struct {
		accept, body string
		want         inbound.State
		reason       string
	}{
		"true":             {`body.livemode == true`, `{"livemode":true}`, inbound.Received, ""},
		"false":            {`body.livemode == true`, `{"livemode":false}`, inbound.Ignored, "not accepted: body.livemode == true (policy.hcl:5)"},
		"of the event":     {`event.type != "ping"`, `{"type":"ping"}`, inbound.Ignored, `not accepted: event.type != "ping"`},
		"environment":      {`environment == "prod"`, `{}`, inbound.Ignored, "not accepted"},
		"null":             {`body.livemode`, `{"type":"x"}`, inbound.Quarantined, "accept is neither true nor false: body.livemode (policy.hcl:5)"},
		"a text":           {`body.livemode`, `{"livemode":"true"}`, inbound.Quarantined, "neither"},
		"failed":           {`length(body.livemode) > 0`, `{"livemode":5}`, inbound.Quarantined, "accept failed: length(body.livemode) > 0"},
		"no JSON":          {`body.livemode && true`, `{"livemode":`, inbound.Quarantined, "accept failed"},
		"compared to null": {`body.livemode != null`, `nonsense`, inbound.Ignored, "not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			var held []string // before the answer is
			b := serve(t, webhook(t, unsigned, "accept = "+tt.accept+"\nevent { type = body.type }"), func(o *inbound.Options) {
				o.Observer.Held = func(hook string) { held = append(held, hook) }
			})
			if r := b.post("/h", tt.body, jsonBody); r.status != 200 || b.last(1).Result != "accepted" {
				t.Fatalf("answered %d, %s", r.status, b.last(1).Result)
			}
			e := b.stored()[0]
			if e.Status != tt.want || !strings.Contains(e.Deliveries[0].Reason, tt.reason) {
				t.Errorf("%s: %q", e.Status, e.Deliveries[0].Reason)
			}
			if alarmed := len(b.troubles) > 0; alarmed != (tt.want == inbound.Quarantined) {
				t.Errorf("alarms %q", b.troubles)
			}
			if (len(held) == 1) != (tt.want == inbound.Quarantined) {
				t.Errorf("told %q of what is held", held)
			}
			if tt.want == inbound.Received {
				return
			}
			done, err := b.Act(t.Context(), inbound.ActRelease, inbound.Filter{IDs: []string{e.ID}}, "ann")
			if err != nil || len(done.Moved) != 1 {
				t.Errorf("released %+v, %v", done, err)
			}
		})
	}
}

// TestAcceptItems judges each item by itself, with the whole body in sight.
func TestAcceptItems(t *testing.T) {
	b := serve(t, webhook(t, unsigned, "accept = body.live && item.kind != \"test\"\nevent { split = body.all }"))
	b.post("/h", `{"live":true,"all":[{"kind":"test"},{"kind":"real"}]}`, jsonBody)
	b.last(1)
	all := b.stored()
	if len(all) != 2 || all[0].Status != inbound.Received || all[1].Status != inbound.Ignored {
		t.Errorf("%+v", all)
	}
}

// TestHeldBackForItsTargets: an event that is held back is so for the targets that it
// is meant for, and comes to no other when it is released.
func TestHeldBackForItsTargets(t *testing.T) {
	b := serve(t, mustLoad(t, `
webhook "h" {
  path = "/h"
  verify "none" {}
  event { id = body.id }
  accept = body.live
  deliver "no" {
    to   = "http://127.0.0.1:1/"
    when = body.other == true
  }
  deliver "yes" { to = "http://127.0.0.1:1/" }
}
`))
	for i, step := range []struct {
		body string
		want string // no, yes
		told string
	}{
		{`{"id":"1"}`, "ignored quarantined", "accept is neither true nor false"},
		{`{"id":"1","live":true,"n":2}`, "ignored conflict", "with another body"},
	} {
		b.post("/h", step.body, jsonBody)
		b.last(i + 1)
		e := b.stored()[0] // the newest
		stands := func() string { return string(e.Deliveries[0].State) + " " + string(e.Deliveries[1].State) }
		if stands() != step.want || len(b.troubles) != i+1 || !strings.Contains(b.troubles[i], step.told) {
			t.Errorf("%s: %s, told %q", step.body, stands(), b.troubles)
		}
		done, err := b.Release(t.Context(), inbound.Filter{State: e.Status}, "ann", false)
		if err != nil || len(done.Moved) != 1 || done.Moved[0].Target != "h/yes" {
			t.Errorf("released %+v, %v", done, err)
		}
	}
}
