package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// fill stores events of all kinds: five of github, of which three have failed,
// and one of slack with two deliveries.
func fill(l *listener) {
	day := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		l.insert(inbound.Event{ID: fmt.Sprintf("e%d", i), Webhook: "github", Account: "a1", EventID: fmt.Sprintf("d%d", i), Type: "push", Body: []byte("{}"), Received: day.Add(time.Duration(i) * time.Hour), Header: http.Header{"Content-Type": {"application/json"}}}, "github")
	}
	l.finish("github", inbound.Failed, "422 Unprocessable Entity")
	for i := 3; i < 5; i++ {
		l.insert(inbound.Event{ID: fmt.Sprintf("e%d", i), Webhook: "github", Account: "a2", EventID: fmt.Sprintf("d%d", i), Type: "issues", Body: []byte("{}"), Received: day.Add(time.Duration(i) * time.Hour)}, "github")
	}
	l.insert(inbound.Event{ID: "s1", Webhook: "slack", EventID: "Ev1", Type: "message", Body: []byte("{}"), Received: day.Add(24 * time.Hour)}, "slack/one", "slack/two")
}

func ids(events []Event) (list []string) {
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

func read[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s %s", a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInboxList(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	for query, want := range map[string][]string{
		"":                               {"s1", "e4", "e3", "e2", "e1", "e0"},
		"webhook=github":                 {"e4", "e3", "e2", "e1", "e0"},
		"webhook=github&webhook=slack":   {"s1", "e4", "e3", "e2", "e1", "e0"},
		"provider=github":                {"e4", "e3", "e2", "e1", "e0"},
		"provider=github&webhook=github": {"e4", "e3", "e2", "e1", "e0"},
		"account=a1":                     {"e2", "e1", "e0"},
		"type=issues":                    {"e4", "e3"},
		"event_id=d1":                    {"e1"},
		"status=failed":                  {"e2", "e1", "e0"},
		"status=failed&account=a2":       nil,
		"error=Unprocessable":            {"e2", "e1", "e0"},
		"since=2026-11-02T12:00:00Z":     {"s1"},
		"until=2026-11-01T13:00:00Z":     {"e0"},
		"since=2026-11-01T14:00:00%2B01:00&until=2026-11-01T15:00:00Z": {"e2", "e1"},
		"limit=2": {"s1", "e4"},
	} {
		if got := ids(read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?"+query, "")).Events); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	var all []string
	for cursor, pages := "", 1; ; pages++ {
		page := read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?limit=2&cursor="+url.QueryEscape(cursor), ""))
		all = append(all, ids(page.Events)...)
		if cursor = page.Next; cursor == "" || pages > 9 {
			break
		}
	}
	if want := []string{"s1", "e4", "e3", "e2", "e1", "e0"}; !slices.Equal(all, want) {
		t.Errorf("page by page: %v", all)
	}
}

func TestInboxListRefuses(t *testing.T) {
	l := serve(t, `admin {}`)
	for _, query := range []string{
		"sort=x", "status=lost", "since=yesterday", "until=1", "limit=0", "limit=1001", "limit=x", "limit=-1", "provider=none",
		"provider=github&webhook=slack", "type=a&type=b", "Webhook=github", "cursor=x",
	} {
		isProblem(t, query, l.ask("GET", "/api/v1/inbox/events?"+query, ""), http.StatusBadRequest)
	}
}

func TestInboxShow(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	e := read[Event](t, l.ask("GET", "/api/v1/inbox/events/e0", ""))
	if e.Webhook != "github" || e.Status != "failed" || e.EventID != "d0" || e.Size != 2 || e.Header.Get("Content-Type") != "application/json" || len(e.Deliveries) != 1 || e.Deliveries[0].Reason != "422 Unprocessable Entity" {
		t.Errorf("%+v", e)
	}
	if n := len(e.Trail); n < 2 || e.Trail[n-1].To != "failed" || e.Trail[n-1].Duration != 1 || e.Trail[n-1].Status != 500 || e.Trail[n-1].Replica != "here-1" {
		t.Errorf("%+v", e.Trail)
	}
	for _, path := range []string{"/api/v1/inbox/events/none", "/api/v1/inbox/events/none/raw", "/api/v1/inbox/events/%2e%2e%2fx", "/api/v1/inbox/events/' OR 1=1"} {
		isProblem(t, path, l.ask("GET", strings.ReplaceAll(path, " ", "%20"), ""), http.StatusNotFound)
	}
}

// TestStandOfALane: what has stepped aside, and what holds its lane, says so.
func TestStandOfALane(t *testing.T) {
	l := serve(t, `admin {}`)
	for i, key := range []string{"a", "a", "b", "c"} {
		l.insert(inbound.Event{ID: fmt.Sprintf("k%d", i), Webhook: "github", EventID: fmt.Sprint(i), Lane: key, Body: []byte("{}")}, "github")
	}
	items, _, err := l.store.Claim(t.Context(), map[string]int{"github": 10}, time.Minute)
	if err != nil || len(items) != 3 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	for _, it := range items {
		m := map[string]inbound.Move{
			"k0": {To: inbound.Retrying, Stand: inbound.Aside, Due: time.Now().Add(time.Hour)},
			"k2": {To: inbound.Failed, Stand: inbound.Holding}, "k3": {To: inbound.Failed},
		}[it.Work.Event.ID]
		if err := l.store.Finish(t.Context(), it.Lease, m); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"k0": "aside", "k1": "", "k2": "holding", "k3": ""}
	for _, e := range read[EventPage](t, l.ask("GET", "/api/v1/inbox/events", "")).Events {
		if got := e.Deliveries[0].Stand; got != want[e.ID] {
			t.Errorf("in the list %s stands %q, want %q", e.ID, got, want[e.ID])
		}
		if a := l.ask("GET", "/api/v1/inbox/events/"+e.ID, ""); strings.Contains(a.body, `"stand":`) != (want[e.ID] != "") || !strings.Contains(a.body, want[e.ID]) {
			t.Errorf("%s: %s", e.ID, a.body)
		}
	}
}

// evil is what somebody might send to us for others to look at.
var evil = []string{
	`<script>alert(1)</script>`, `{"url":"javascript:alert(1)"}`, `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
	"+ADw-script+AD4-alert(1)+ADw-/script+AD4-", "\x00\xff\xfe<b>", strings.Repeat("<img src=x onerror=alert(1)>", 5<<20/28),
}

func TestC66Payloads(t *testing.T) {
	l := serve(t, `admin {}`)
	for i, body := range evil {
		name := body[:min(len(body), 200)]
		l.insert(inbound.Event{
			ID: fmt.Sprintf("x%d", i), Webhook: "github", EventID: name, Type: name, Account: name, Body: []byte(body),
			Header: http.Header{"Content-Type": {"text/html"}, "X-Kept": {name}},
		}, "github")
	}
	l.finish("github", inbound.Failed, evil[0])
	for i, body := range evil {
		a := l.ask("GET", fmt.Sprintf("/api/v1/inbox/events/x%d/raw", i), "")
		if a.body != body {
			t.Errorf("%d: %d bytes, not those that came: %.60q", i, len(a.body), a.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/octet-stream", "Content-Disposition": fmt.Sprintf("attachment; filename=x%d.bin", i),
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", i, name, got, want)
			}
		}
	}
	for _, path := range []string{"/api/v1/inbox/events", "/api/v1/inbox/events/x0", "/"} {
		a := l.ask("GET", path, "")
		if strings.Contains(a.body, "<script>") || strings.Contains(a.body, "<svg") || strings.Contains(a.body, "<img") {
			t.Errorf("%s: markup that came from outside: %.300s", path, a.body)
		}
		if want := map[bool]string{true: "text/html; charset=utf-8", false: "application/json"}[path == "/"]; a.Header.Get("Content-Type") != want {
			t.Errorf("%s is %s", path, a.Header.Get("Content-Type"))
		}
	}
}

func TestInboxReplay(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	post := func(action string, a Act) Acted {
		t.Helper()
		body, _ := json.Marshal(a)
		return read[Acted](t, l.ask("POST", "/api/v1/inbox/"+action, string(body)))
	}
	failed := Filter{Status: "failed"}
	if got := post("replay", Act{Filter: failed, DryRun: true}); got.Matched != 3 || got.Moved != 0 {
		t.Errorf("dry run: %+v", got)
	}
	if got := ids(read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?status=failed", "")).Events); len(got) != 3 {
		t.Errorf("a dry run did something: %v left", got)
	}
	moved, ask := 0, Act{Filter: failed, Limit: 2}
	for pages := 1; ; pages++ {
		got := post("replay", ask)
		moved += got.Moved
		if ask.Cursor = got.Next; got.Next == "" {
			break
		}
		if pages > 5 {
			t.Fatal("it never ends")
		}
	}
	if moved != 3 {
		t.Errorf("%d moved, want 3", moved)
	}
	e := read[Event](t, l.ask("GET", "/api/v1/inbox/events/e0", ""))
	last := e.Trail[len(e.Trail)-1]
	if e.Status != "received" || last.From != "failed" || last.To != "received" || last.By != "admin API, from 127.0.0.1" || e.Deliveries[0].Origin != "replay" {
		t.Errorf("%+v", e)
	}
	if got := post("replay", Act{Filter: Filter{IDs: []string{"e0", "e3", "none"}}}); got.Moved != 0 || got.Skipped != 2 {
		t.Errorf("a replay of what is under way: %+v", got)
	}
	if got := post("discard", Act{Filter: Filter{IDs: []string{"s1"}}}); got.Moved != 2 {
		t.Errorf("discard: %+v", got)
	}
	if got := post("release", Act{Filter: Filter{Webhooks: []string{"slack"}}}); got.Moved != 2 {
		t.Errorf("release: %+v", got)
	}
	if got := post("replay", Act{All: true, DryRun: true}); got.Matched != 6 {
		t.Errorf("all: %+v", got)
	}
}

func TestInboxActRefuses(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	l.finish("slack/one", inbound.Failed, "x")
	for body, want := range map[string]string{
		`{}`:                                    "without a condition",
		`{"filter":{}}`:                         "without a condition",
		`{"filter":{"ids":null}}`:               "without a condition",
		`{"filter":{"ids":[]}}`:                 "list of ids",
		`{"filter":{"ids":[],"type":"push"}}`:   "list of ids",
		`{"all":true,"filter":{"webhooks":[]}}`: "list of ids",
		`{"filter":{"status":"lost"}}`:          "status",
		`{"filter":{"stauts":"failed"}}`:        "stauts",
		`{"filters":{"status":"failed"}}`:       "filters",
		`{"all":true,"limit":1001}`:             "limit",
		`{"all":true,"limit":-1}`:               "limit",
		`{"all":true}{"all":true}`:              "follows",
		`{"all":true} x`:                        "follows",
		`[]`:                                    "array",
		`{"filter":{"since":"yesterday"}}`:      "yesterday",
		`{"filter":{"provider":"nobody"}}`:      "nobody",
		`{"filter":{"status":"failed"}`:         "EOF",
	} {
		a := l.ask("POST", "/api/v1/inbox/replay", body)
		isProblem(t, body, a, http.StatusBadRequest)
		if !strings.Contains(a.body, want) {
			t.Errorf("%s: %s, want %q", body, a.body, want)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
		isProblem(t, kind, l.ask("POST", "/api/v1/inbox/replay", `{"all":true}`, withHeader("Content-Type", kind)), http.StatusUnsupportedMediaType)
	}
	isProblem(t, "unknown action", l.ask("POST", "/api/v1/inbox/delete", `{"all":true}`), http.StatusNotFound)
	if n := len(read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?status=failed", "")).Events); n != 4 {
		t.Errorf("%d failed events are left, want all 4", n)
	}
}
