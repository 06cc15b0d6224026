package inbound_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// ordered is a webhook whose events have a key, with more blocks.
func ordered(url, more string) string {
	return fmt.Sprintf(`
webhook "hook" {
  path = "/hook"
  verify "none" {}
  event {
    id      = body.id
    type    = body.type
    account = body.account
    time    = body.time
    key     = body.key
  }
  deliver { to = %q }
  retry {
    attempts = 3
    backoff {
      first  = "5ms"
      max    = "10ms"
      jitter = "none"
    }
  }
  %s
}
`, url, more)
}

// names are the ids of what the application got, in order.
func (a *app) names() (names []string) {
	for _, d := range a.deliveries() {
		var e struct{ ID string }
		_ = json.Unmarshal(d.body, &e)
		names = append(names, e.ID)
	}
	return names
}

// TestLaneOrder: a key is delivered in the order of its arrival, whatever its
// first needs, and no other key or account waits for it.
func TestLaneOrder(t *testing.T) {
	open := make(chan struct{})
	a := newApp(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		select {
		case <-open:
		default:
			if r.Header.Get("Postern-Provider-Event-Id") == "a1" {
				w.WriteHeader(503)
			}
		}
	})
	b := serve(t, mustLoad(t, strings.Replace(ordered(a.URL, `order { mode = "lane" }`), "attempts = 3", "attempts = 1000", 1)))
	b.run()
	for _, body := range []string{
		`{"id":"a1","key":"a"}`, `{"id":"a2","key":"a"}`, `{"id":"b1","key":"b"}`, `{"id":"c1","key":"a","account":"other"}`,
		`{"id":"n1"}`, `{"id":"n2","key":""}`, `{"id":"b2","key":"b"}`,
	} {
		b.post("/hook", body, nil)
	}
	eventually(t, "the others are applied", func() bool {
		n := 0
		for _, e := range b.stored() {
			if e.Status == inbound.Applied {
				n++
			}
		}
		return n == 5
	})
	if slices.Contains(a.names(), "a2") {
		t.Error("a2 was delivered before a1 was applied")
	}
	close(open)
	eventually(t, "all are applied", func() bool {
		return !slices.ContainsFunc(b.stored(), func(e inbound.Record) bool { return e.Status != inbound.Applied })
	})
	names := a.names()
	if slices.Index(names, "b1") > slices.Index(names, "b2") || names[len(names)-1] != "a2" {
		t.Errorf("delivered %v", names)
	}
}

// TestOrderRefused: what makes no sense is said where it stands.
func TestOrderRefused(t *testing.T) {
	for _, c := range []struct{ event, order, want string }{
		{`key = body.key`, `mode = "sideways"`, `nknown mode "sideways"`},
		{`key = body.key`, ``, `mode`},
		{`id = body.id`, `mode = "lane"`, `by key in the event block`},
		{`key = body.key`, `mode = "stale_drop"`, `a time or a sequence`},
		{`key = body.key`, "mode = \"lane\"\nsequence = body.v", `equence is for mode "stale_drop"`},
		{`key = body.key`, "mode = \"lane\"\ndeleted = true", `eleted is for mode "stale_drop"`},
		{`key = body.key`, "mode = \"lane\"\nblocked = \"wait\"\nskip_after = 2", `skips nothing`},
		{`key = body.key`, "mode = \"lane\"\nblocked = \"never\"", `use wait or skip`},
		{`key = body.key`, "mode = \"lane\"\nskip_after = -1", `between 1 and 1000`},
		{`key = body.key`, "mode = \"lane\"\nfailed = \"stop\"", `use next or hold`},
		{`key = body.key`, "mode = \"latest\"\nfailed = \"hold\"", `cannot hold the lane`},
		{`key = body.key`, "mode = \"arrival\"\nskip_after = 2", `no lanes`},
		{`key = body.key`, "mode = \"lane\"\nhorizon = \"0s\"", `orizon must be more`},
		{"key = body.key\ntime = header[\"X-Time\"]", `mode = "stale_drop"`, `whoever replays a request`},
		{"key = header[\"X-Key\"]\ntime = body.time", `mode = "stale_drop"`, `whoever replays a request`},
		{"key = body.key", "mode = \"stale_drop\"\nsequence = query.n", `whoever replays a request`},
		{"key = body.key\ntime = body.time", "mode = \"stale_drop\"\ndeleted = header[\"X-Kind\"] == \"gone\"", `whoever replays a request`},
	} {
		src := fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify \"github\" { secrets = [env(\"KEY\")] }\ndeliver { to = \"http://127.0.0.1:1/\" }\nevent {\n%s\n}\norder {\n%s\n}\n}\n", c.event, c.order)
		if _, diags := load(src, "KEY=a key of some length"); !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s, %s: %v, want %q", c.event, c.order, diags, c.want)
		}
	}
}
