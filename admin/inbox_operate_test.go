package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// TestBulkBounds shows that an operation is done to what was there when it began,
// once, and that the log says what was asked for.
func TestBulkBounds(t *testing.T) {
	l := serve(t, `admin {}`)
	var log bytes.Buffer
	l.opt.Log = slog.New(slog.NewJSONHandler(&log, nil))
	fill(l)
	counted := read[Acted](t, l.ask("POST", "/api/v1/inbox/replay", `{"filter": {"status": "failed"}, "dry_run": true}`))
	if counted.Matched != 3 || counted.More || counted.Began.IsZero() || !slices.Equal(ids(counted.Sample), []string{"e0", "e1", "e2"}) {
		t.Fatalf("counted %+v", counted)
	}
	time.Sleep(5 * time.Millisecond)
	l.insert(inbound.Event{ID: "late", Webhook: "github", EventID: "late", Body: []byte("{}")}, "github")
	began := counted.Began.Format(time.RFC3339Nano)
	if got := read[Acted](t, l.ask("POST", "/api/v1/inbox/discard", `{"all": true, "limit": 2, "began": "`+began+`"}`)); got.Events != 2 || got.Moved != 2 || got.Next == "" {
		t.Errorf("the first page: %+v, want the deliveries of e0 and e1", got)
	}
	if got := read[Acted](t, l.ask("POST", "/api/v1/inbox/discard", `{"all": true, "began": "`+began+`"}`)); got.Events != 6 || got.Moved != 5 || got.Skipped != 2 || got.Next != "" {
		t.Errorf("begun anew: %+v", got)
	}
	if e := read[Event](t, l.ask("GET", "/api/v1/inbox/events/late", "")); e.Status != "received" {
		t.Errorf("what arrived later is %s", e.Status)
	}
	for _, want := range []string{`"msg":"bulk","log":"transition","action":"discard"`, `"moved":2,"skipped":0,"ended":false,"by":"admin API, from 127.0.0.1"`, `"ended":true`, `"force":false,"misfits":0`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log.String())
		}
	}
}

func TestReplayAsNew(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	began := time.Now().UTC().Format(time.RFC3339Nano)
	ask := `{"filter": {"ids": ["e0", "e3"]}, "as_new": true, "began": "` + began + `"}`
	if got := read[Acted](t, l.ask("POST", "/api/v1/inbox/replay", ask)); got.Moved != 1 || got.Skipped != 1 {
		t.Fatalf("%+v, want e0 copied and e3, which is open, passed over", got)
	}
	if got := read[Acted](t, l.ask("POST", "/api/v1/inbox/replay", ask)); got.Events != 2 || got.Moved != 0 || got.Skipped != 2 {
		t.Errorf("asked again: %+v", got)
	}
	page := read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?limit=1", ""))
	e := read[Event](t, l.ask("GET", "/api/v1/inbox/events/"+page.Events[0].ID, ""))
	if e.Parent != "e0" || e.ID == "e0" || len(e.ID) != 36 || e.EventID != "d0" || e.Deliveries[0].Origin != "replay" || e.Trail[0].By != "admin API, from 127.0.0.1" || e.Trail[0].From != "" {
		t.Errorf("the copy is %+v", e)
	}
	if a := l.ask("POST", "/api/v1/inbox/discard", `{"all": true, "as_new": true}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("discarded as new: %d", a.StatusCode)
	}
}

func TestFeed(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	ask := func(query string) Notices {
		return read[Notices](t, l.ask("GET", "/api/v1/inbox/feed?wait=0&"+query, ""))
	}
	now := ask("")
	if len(now.Notices) != 0 || now.Next == "" {
		t.Fatalf("of now: %+v", now)
	}
	l.insert(inbound.Event{ID: "n1", Webhook: "github", EventID: "n1", Type: "push.tag", Body: []byte("{}")}, "github")
	l.finish("github", inbound.Applied, "200 OK")
	got := ask("cursor=" + now.Next)
	if n := len(got.Notices); n != 7 || got.Notices[0].Event.ID != "n1" || got.Notices[0].Move != nil || got.Notices[n-1].Move.To != "applied" || got.Notices[n-1].Event.Status != "applied" {
		t.Errorf("happened: %+v", got)
	}
	if again := ask("cursor=" + got.Next); len(again.Notices) != 0 {
		t.Errorf("told twice: %+v", again)
	}
	for query, want := range map[string]int{"type=push.*": 3, "status=applied": 3, "webhook=slack": 0, "error=200": 3, "account=a2": 4} {
		if got := ask(query + "&cursor=" + now.Next); len(got.Notices) != want {
			t.Errorf("%s: %d notices, want %d", query, len(got.Notices), want)
		}
	}
	for _, bad := range []string{"cursor=x", "wait=31", "wait=x", "limit=3"} {
		if a := l.ask("GET", "/api/v1/inbox/feed?"+bad, ""); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, a.StatusCode)
		}
	}
}

func TestExport(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	odd := []byte("\xff\x00{}")
	l.insert(inbound.Event{ID: "odd", Webhook: "github", EventID: "odd", Body: odd}, "github")
	c, err := NewClient(l.url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []ExportedEvent
	for cursor := ""; ; {
		page, err := c.ExportEvents(t.Context(), Filter{}, 2, cursor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(all) != 7 || all[0].Encoding != "base64" || all[0].Body != base64.StdEncoding.EncodeToString(odd) || all[1].ID != "s1" || all[1].Body != "{}" || all[1].Encoding != "" {
		t.Fatalf("exported %+v", all)
	}
	if e := all[6]; e.ID != "e0" || len(e.Trail) != 2 || e.Header.Get("Content-Type") != "application/json" {
		t.Errorf("e0 is %+v", e)
	}
}

// TestEmptied: an event without its body says so wherever it is shown, and is not
// delivered again.
func TestEmptied(t *testing.T) {
	l := serve(t, `admin {}`)
	l.insert(inbound.Event{ID: "e0", Webhook: "github", EventID: "d0", Body: []byte("a body"), Received: time.Now().Add(-time.Hour), Header: http.Header{"X-Kind": {"a"}}}, "github")
	l.finish("github", inbound.Applied, "200 OK")
	if n, _, err := l.store.Empty(t.Context(), time.Now().Add(time.Second), 0, 10); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if e := read[Event](t, l.ask("GET", "/api/v1/inbox/events/e0", "")); e.Emptied.IsZero() || e.Size != 6 || e.Header != nil || len(e.Trail) != 2 {
		t.Errorf("shown as %+v", e)
	}
	if page := read[EventPage](t, l.ask("GET", "/api/v1/inbox/events", "")); page.Events[0].Emptied.IsZero() {
		t.Errorf("listed as %+v", page.Events[0])
	}
	if a := l.ask("GET", "/api/v1/inbox/events/e0/raw", ""); a.StatusCode != http.StatusGone || !strings.Contains(a.body, "the body of this event was removed") || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("its body: %d %s", a.StatusCode, a.body)
	}
	out := read[ExportedEvents](t, l.ask("GET", "/api/v1/inbox/export", ""))
	if len(out.Events) != 1 || out.Events[0].Emptied.IsZero() || out.Events[0].Body != "" || out.Events[0].Size != 6 {
		t.Errorf("exported as %+v", out)
	}
	for _, more := range []string{"", `, "as_new": true`} {
		if got := read[Acted](t, l.ask("POST", "/api/v1/inbox/replay", `{"filter": {"ids": ["e0"]}`+more+`}`)); got.Moved != 0 || got.Emptied != 1 || got.Skipped != 0 {
			t.Errorf("replayed%s: %+v", more, got)
		}
	}
}

// vanished is a store from which one event is deleted just after it was listed.
type vanished struct {
	inbound.Store
	id string
}

func (v vanished) Body(ctx context.Context, id string) (*inbound.Event, error) {
	if id == v.id {
		return nil, fmt.Errorf("read event %s: %w", id, inbound.ErrNotFound)
	}
	return v.Store.Body(ctx, id)
}

// TestExportWhileEventsAreDeleted: an event that is deleted while it is exported is
// left out, and the others are there.
func TestExportWhileEventsAreDeleted(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	l.opt.Inbox = inbound.New(inbound.Options{Store: vanished{l.store, "e1"}})
	l.opt.Inbox.Swap(webhooks(t))
	var got []string
	for _, e := range read[ExportedEvents](t, l.ask("GET", "/api/v1/inbox/export?status=failed", "")).Events {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, []string{"e2", "e0"}) {
		t.Errorf("exported %v", got)
	}
}

// TestCopiesKeepOrder: copies are made of the oldest first, so that they are
// delivered as the originals were.
func TestCopiesKeepOrder(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	var parents []string
	for cursor := ""; len(parents) < 3; {
		got := read[Acted](t, l.ask("POST", "/api/v1/inbox/replay", `{"filter": {"status": "failed"}, "as_new": true, "limit": 1, "cursor": "`+cursor+`"}`))
		page := read[EventPage](t, l.ask("GET", "/api/v1/inbox/events?limit=1", ""))
		cursor, parents = got.Next, append(parents, page.Events[0].Parent)
	}
	if !slices.Equal(parents, []string{"e0", "e1", "e2"}) {
		t.Errorf("copies of %v", parents)
	}
}

// TestFollowMisfits: what happens to the events of one group is told alone.
func TestFollowMisfits(t *testing.T) {
	l := serve(t, `admin {}`)
	from := read[Notices](t, l.ask("GET", "/api/v1/inbox/feed", "")).Next
	l.insert(inbound.Event{ID: "m1", Webhook: "github", EventID: "m1", Body: []byte("{}"), Misfit: "b434b28655b8"}, "github")
	l.insert(inbound.Event{ID: "m2", Webhook: "github", EventID: "m2", Body: []byte("{}")}, "github")
	got := read[Notices](t, l.ask("GET", "/api/v1/inbox/feed?wait=0&misfit=b434b28655b8&cursor="+url.QueryEscape(from), ""))
	if len(got.Notices) != 1 || got.Notices[0].Event.ID != "m1" {
		t.Errorf("told %+v", got)
	}
}
