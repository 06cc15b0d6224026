package inbound_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// webhook is a webhook block around what a test writes.
func webhook(t testing.TB, verify, more string) *inbound.Set {
	t.Helper()
	return mustLoad(t, fmt.Sprintf("webhook \"h\" {\npath = \"/h\"\n%s\ndeliver { to = \"http://127.0.0.1:1/\" }\n%s\n}\n", verify, more), "KEY=a key of some length")
}

const (
	unsigned = `verify "none" {}`
	byToken  = "verify \"token\" {\nheader = \"X-Token\"\nsecrets = [env(\"KEY\")]\n}"
)

var jsonBody = http.Header{"Content-Type": {"application/json"}}

// bodies are those of events with a delivery, in their order.
func (b *box) bodies() (out []string) {
	b.t.Helper()
	for _, r := range slices.Backward(b.stored()) {
		e, err := b.Body(context.Background(), r.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, string(e.Body))
	}
	return out
}

// TestSplit cuts lists as providers send them: the bytes of each item are those of
// the request (claim C34).
func TestSplit(t *testing.T) {
	for name, tt := range map[string]struct {
		event, body string
		header      http.Header
		want        []string // bodies
		ids         []string
	}{
		"the body is the list (SendGrid)": {
			"split = body\nid = item.sg_event_id", "[{\"sg_event_id\":\"a\", \"n\":1.0},\n {\"sg_event_id\" : \"b\",\"t\":\"\\u00e4\u0308\"}]\r\n", jsonBody,
			[]string{"{\"sg_event_id\":\"a\", \"n\":1.0}", "{\"sg_event_id\" : \"b\",\"t\":\"\\u00e4\u0308\"}"},
			[]string{"a", "b"},
		},
		"a list in the body, and a compound id (Adyen)": {
			"split = body.notificationItems\nid = \"${item.NotificationRequestItem.pspReference}:${item.NotificationRequestItem.eventCode}\"",
			`{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"7","eventCode":"AUTHORISATION"}}]}`, jsonBody,
			[]string{`{"NotificationRequestItem":{"pspReference":"7","eventCode":"AUTHORISATION"}}`},
			[]string{"7:AUTHORISATION"},
		},
		"a field of a form (Mandrill)": {
			"split = body.mandrill_events\nid = item._id", "mandrill_events=%5B%7B%22_id%22%3A+%22x%22%7D%2C%7B%22_id%22%3A%22y%22%7D%5D",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			[]string{`{"_id": "x"}`, `{"_id":"y"}`},
			[]string{"x", "y"},
		},
		"within a field of a form": {
			"split = body.payload.events\nid = item.id", "payload=%7B%22events%22%3A%5B%7B%22id%22%3A1%7D%5D%7D",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			[]string{`{"id":1}`},
			[]string{"1"},
		},
		"strings (Dropbox)": {
			"split = body.list_folder.accounts\nid = \"${item}!\"", `{"list_folder":{"accounts":["dbid:1", "dbid:\u0032"]}}`, jsonBody,
			[]string{`"dbid:1"`, `"dbid:\u0032"`},
			[]string{"dbid:1!", "dbid:2!"},
		},
		"one object where there could be a list (Mailjet)": {"split = body\nid = item.id", `{"id":"a"}`, jsonBody, []string{`{"id":"a"}`}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, webhook(t, unsigned, "event {\n"+tt.event+"\n}"))
			for range 2 {
				if r := b.post("/h", tt.body, tt.header); r.status != 200 {
					t.Fatalf("answered %d", r.status)
				}
			}
			if got := b.bodies(); !slices.Equal(got, tt.want) {
				t.Errorf("bodies %q, want %q", got, tt.want)
			}
			var ids []string
			for _, e := range slices.Backward(b.stored()) {
				ids = append(ids, e.EventID)
				if got, err := b.Body(t.Context(), e.ID); err != nil || got.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s is said to be %v, %v", e.EventID, got.Header, err)
				}
				if e.Parent == "" {
					continue
				}
				if p, err := b.Body(t.Context(), e.Parent); err != nil || string(p.Body) != tt.body || p.Items != len(tt.want) {
					t.Errorf("what brought it: %v", err)
				}
			}
			if !slices.Equal(ids, tt.ids) {
				t.Errorf("ids %q, want %q", ids, tt.ids)
			}
			if first, second := b.last(1), b.last(2); first.Result != "accepted" || second.Result != "duplicate" {
				t.Errorf("results %s and %s", first.Result, second.Result)
			}
		})
	}
}

// TestNoItems sends what brings no event, and what should be a list and is none.
func TestNoItems(t *testing.T) {
	deep := `{"events":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`
	many := `{"events":[` + strings.Repeat("{},", 5000) + `{}]}`
	for body, want := range map[string]string{
		"": "empty", " \r\n": "empty", "{}": "empty", `{"events":[]}`: "empty", `{"events": [ ] }`: "empty", `{"events":{}}`: "empty",
		`{"events":null}`: "accepted", `{"other":1}`: "accepted", `{"events":"x"}`: "accepted", `{"events":7}`: "accepted", "[1": "accepted", "null": "accepted", deep: "accepted", many: "accepted",
	} {
		b := serve(t, webhook(t, unsigned, "event { split = body.events }"))
		if r := b.post("/h", body, jsonBody); r.status != 200 {
			t.Errorf("%.40q: answered %d", body, r.status)
		}
		if got := b.last(1).Result; got != want {
			t.Errorf("%.40q: %s, want %s", body, got, want)
		}
		if want == "empty" {
			if n := len(b.stored()); n != 0 {
				t.Errorf("%.40q: %d events", body, n)
			}
			continue
		}
		all := b.stored()
		if len(all) != 1 || all[0].Status != inbound.Quarantined || !strings.Contains(all[0].Deliveries[0].Reason, "body.events (policy.hcl:") || b.bodies()[0] != body {
			t.Errorf("%.40q: kept as %+v", body, all)
		}
	}
}

// TestMostItems splits the longest list that is not held back.
func TestMostItems(t *testing.T) {
	b := serve(t, webhook(t, unsigned, "event { split = body }"))
	if r := b.post("/h", "["+strings.Repeat("{},", 4999)+"{}]", jsonBody); r.status != 200 || b.last(1).Items != 5000 {
		t.Errorf("%d: %d items", r.status, b.last(1).Items)
	}
}

// TestSplitRefused loads what cannot be split byte for byte, and items where there
// are none.
func TestSplitRefused(t *testing.T) {
	for event, want := range map[string]string{
		"event {\nsplit = [for e in body.events : e]\n}":  "must name a list",
		"event {\nsplit = coalesce(body.a, body.b)\n}":    "must name a list",
		"event {\nsplit = item\n}":                        "no item here",
		"event {\nid = item.id\n}":                        "only a webhook whose event block has split",
		"accept = item.live":                              "only a webhook whose event block has split",
		"event {\nsplit = body.a == null ? body.b : 1\n}": "must name a list",
	} {
		_, diags := load("webhook \"h\" {\npath = \"/h\"\n" + unsigned + "\ndeliver { to = \"http://127.0.0.1:1/\" }\n" + event + "\n}\n")
		if !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v", event, diags)
		}
	}
	if _, diags := load("webhook \"h\" {\npath = \"/h\"\n" + unsigned + "\ndeliver { to = \"http://127.0.0.1:1/\" }\nevent {\nsplit = header[\"X\"] == null ? body.a : body.b\n}\n}\n"); diags.HasErrors() {
		t.Error(diags)
	}
}

// TestFallbackIDs sends events that have no id: what says how it was sent is not in
// it, what says what it is about is, and its place in a list is not.
func TestFallbackIDs(t *testing.T) {
	b := serve(t, webhook(t, byToken, "event {\ntype = header[\"X-State\"]\ntime = header[\"X-Sent\"]\n}"))
	for i, tt := range []struct{ body, state, sent, want string }{
		{"", "sync", "1700000000", "accepted"},
		{"", "sync", "1700000099", "duplicate"}, // signed and sent anew
		{"", "exists", "1700000000", "accepted"},
		{"x", "sync", "1700000000", "accepted"},
	} {
		b.post("/h", tt.body, http.Header{"X-Token": {"a key of some length"}, "X-State": {tt.state}, "X-Sent": {tt.sent}, "X-Signature": {fmt.Sprint(i)}})
		if got := b.last(i + 1).Result; got != tt.want {
			t.Errorf("%d: %s, want %s", i, got, tt.want)
		}
	}
	for _, e := range b.stored() {
		if !e.Weak || !strings.HasPrefix(e.EventID, "sha256:") {
			t.Errorf("%q, weak %v", e.EventID, e.Weak)
		}
	}
}

// TestSameItems sends a list with two items that are the same, again in another
// order, again cut otherwise, and with one more.
func TestSameItems(t *testing.T) {
	b := serve(t, webhook(t, unsigned, "event {\nsplit = body\naccount = query[\"a\"]\n}"))
	for i, tt := range []struct {
		body string
		n    int // events by then
	}{
		{`[{"x":1},{"x":2},{"x":1}]`, 3},
		{`[{"x":1},{"x":1},{"x":2}]`, 3},
		{`[{"x":1}]`, 3},
		{`[{"x":1},{"x":1},{"x":1}]`, 4},
	} {
		b.post("/h", tt.body, jsonBody)
		b.last(i + 1)
		if got := len(b.stored()); got != tt.n {
			t.Errorf("after %s: %d events, want %d", tt.body, got, tt.n)
		}
	}
	b.post("/h?a=other", `[{"x":1}]`, jsonBody)
	b.last(5)
	if got := len(b.stored()); got != 5 {
		t.Errorf("of another account: %d events, want 5", got)
	}
}

// TestOneConflictingItem stores the other items of a list, and delivers them.
func TestOneConflictingItem(t *testing.T) {
	b := serve(t, webhook(t, unsigned, "event {\nsplit = body\nid = item.id\n}"))
	b.post("/h", `[{"id":"a"},{"id":"b"}]`, jsonBody)
	b.post("/h", `[{"id":"a","n":1},{"id":"b"},{"id":"c"},{"id":"c"},{"id":"c","n":1}]`, jsonBody)
	if got := b.last(2); got.Result != "conflict" || got.Items != 5 || got.Status != 200 {
		t.Errorf("%+v", got)
	}
	count := map[inbound.State]int{}
	for _, e := range b.stored() {
		count[e.Status]++
	}
	if count[inbound.Received] != 3 || count[inbound.Conflict] != 2 || len(b.troubles) != 2 {
		t.Errorf("%v, alarms %q", count, b.troubles)
	}
}

// TestRepeat: of pings that say no more than that something has changed, the same
// one a while later is another event.
func TestRepeat(t *testing.T) {
	b := serve(t, webhook(t, unsigned, "event {\nsplit = body.accounts\nkey = item\nrepeat = \"1s\"\n}"))
	for i, pause := range []time.Duration{0, 1100 * time.Millisecond} {
		time.Sleep(pause)
		b.post("/h", `{"accounts":["a"]}`, jsonBody)
		b.last(i + 1)
		all := b.stored()
		if len(all) != i+1 || all[0].Parent != all[i].Parent || all[0].Key != "a" {
			t.Errorf("after %d: %+v", i+1, all)
		}
	}
	if _, diags := load("webhook \"h\" {\npath = \"/h\"\n" + unsigned + "\ndeliver { to = \"http://127.0.0.1:1/\" }\nevent {\nrepeat = \"1ms\"\n}\n}\n"); !diags.HasErrors() {
		t.Error("a repeat of a millisecond was accepted")
	}
}

// TestNested: what is in the lists of items are the events, byte for byte, with what
// their item says of all of them; an item that holds none, or several lists, stays whole.
func TestNested(t *testing.T) {
	const meta = `event {
split   = body.entry
nested  = item.messaging == null ? item.changes : item.changes == null ? item.messaging : null
type    = item.field
account = group.id
time    = group.time
unit    = "ms"
}`
	b := serve(t, webhook(t, unsigned, meta))
	body := "{\"object\":\"page\",\"entry\":[{\"id\":\"p1\",\"time\":1458692752478,\"changes\":[{\"field\":\"feed\", \"v\":1.0},{\"field\":\"name\"}]},\n" +
		`{"id":"p2","messaging":[{"m":1}]},{"id":"p3","changes":[]},{"id":"p4"},{"id":"p5","changes":[{"field":"a"}],"messaging":[{"m":2}]},{"id":"p6","changes":"none"}]}`
	if got := b.post("/h", body, jsonBody); got.status != 200 {
		t.Fatalf("answered %d", got.status)
	}
	want := []string{`{"field":"feed", "v":1.0}`, `{"field":"name"}`, `{"m":1}`, `{"id":"p3","changes":[]}`, `{"id":"p4"}`, `{"id":"p5","changes":[{"field":"a"}],"messaging":[{"m":2}]}`, `{"id":"p6","changes":"none"}`}
	if got := b.bodies(); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	all := b.stored()
	slices.Reverse(all)
	for i, account := range []string{"p1", "p1", "p2", "p3", "p4", "p5", "p6"} {
		if all[i].Account != account || all[i].Parent == "" || all[i].Parent != all[0].Parent || (i < 2) == all[i].Occurred.IsZero() {
			t.Errorf("%d: %+v", i, all[i].Event)
		}
	}
	if all[0].Type != "feed" || all[2].Type != "" {
		t.Errorf("types %q, %q", all[0].Type, all[2].Type)
	}
	if whole, err := b.Body(t.Context(), all[0].Parent); err != nil || string(whole.Body) != body || whole.Items != 7 {
		t.Errorf("the request is kept as %+v, %v", whole, err)
	}
	b.post("/h", body, jsonBody)
	if n := len(b.stored()); n != 7 {
		t.Errorf("%d events after a repeat", n)
	}
	// The same change of another time is another event.
	b.post("/h", `{"entry":[{"id":"p1","time":1458692752479,"changes":[{"field":"name"}]}]}`, jsonBody)
	if n := len(b.stored()); n != 8 {
		t.Errorf("%d events after the same change again", n)
	}
	// As many as there may be, and one more in each of two items; of 1 MB, which is looked
	// through once for what they all read of it.
	for _, n := range []int{2500, 2501} {
		change := `{"v":"` + strings.Repeat("x", 400) + `"},`
		many := `{"id":"x","changes":[` + strings.TrimSuffix(strings.Repeat(change, n), ",") + `]}`
		m := serve(t, webhook(t, unsigned, meta))
		if got := m.post("/h", `{"entry":[`+many+","+many+`]}`, jsonBody); got.status != 200 {
			t.Fatalf("%d items: answered %d", 2*n, got.status)
		}
		if all := m.stored(); (all[0].Status == inbound.Quarantined) != (n > 2500) {
			t.Errorf("%d items: %d events, %s", 2*n, len(all), all[0].Status)
		}
	}
	for event, want := range map[string]string{
		"event {\nnested = item.a\n}": "must name a list in an item of split", "event {\nsplit = body.a\nnested = body.b\n}": "must name a list in an item of split",
		"event {\nsplit = body.a\nnested = coalesce(item.a, item.b)\n}": "must name a list in an item of split", "event {\nid = group.id\n}": "only a webhook whose event block has split",
		"event { split = body.a }\naccept = group.x == 1": "There is no group",
	} {
		if _, diags := load("webhook \"h\" {\npath = \"/h\"\n" + unsigned + "\ndeliver { to = \"http://127.0.0.1:1/\" }\n" + event + "\n}\n"); !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v", event, diags)
		}
	}
}
