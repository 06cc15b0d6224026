package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// change is what one caller asks of a store; it returns what it was told.
type change func(inbound.Store) string

func insertion(arrivals ...*inbound.Arrival) change {
	return func(box inbound.Store) (told string) {
		all := make([]*inbound.Arrival, len(arrivals))
		for i, a := range arrivals {
			c := *a
			all[i] = &c
		}
		err := box.Insert(context.Background(), all...)
		for _, a := range all {
			told += fmt.Sprint(a.ID, a.What, a.Old, a.Backfilled, " ")
		}
		return told + verdict(err)
	}
}

func verdict(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, queue.ErrStale):
		return "stale"
	}
	return "error"
}

func event(id, eventID, body, lane string, targets ...string) *inbound.Arrival {
	e := storetest.Event(id, eventID, body)
	e.Lane = lane
	return &inbound.Arrival{Event: e, To: inbound.To(targets...)}
}

// TestTogetherAsOneByOne: what is committed in one batch comes to what the same comes
// to one after the other, and everybody is told the same.
func TestTogetherAsOneByOne(t *testing.T) {
	ref := store.NewMemory().Inbox()
	s := open(t, filepath.Join(t.TempDir(), "postern.db"))
	for _, box := range []inbound.Store{ref, s.Inbox()} {
		for i := range 8 {
			lane := ""
			if i > 5 {
				lane = "lane"
			}
			insertion(event(fmt.Sprint("old-", i), fmt.Sprint("old_", i), "{}", lane, "hook"))(box)
		}
	}
	refLeases, leases := claimAll(t, ref), claimAll(t, s.Inbox())
	var changes []change
	for _, a := range batchOfEvents() {
		changes = append(changes, insertion(a...))
	}
	for _, f := range []struct {
		event string
		token int64
		move  inbound.Move
	}{
		{"old-0", 0, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200}},
		{"old-0", 0, inbound.Move{To: inbound.Failed, Attempt: 1, Reason: "late"}},
		{"old-1", 0, inbound.Move{To: inbound.Retrying, Attempt: 1, Reason: "it answered 500", Status: 500, Due: time.Now().Add(time.Hour).Truncate(time.Microsecond), Wait: time.Minute}},
		{"old-2", 1, inbound.Move{To: inbound.Applied, Attempt: 1}},
		{"old-4", 0, inbound.Move{To: inbound.Quarantined, Attempt: 1, Reason: "no"}},
		{"old-6", 0, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 204}},
	} {
		changes = append(changes, func(box inbound.Store) string {
			l := leases[f.event]
			if box == ref {
				l = refLeases[f.event]
			}
			l.Token += f.token
			return verdict(box.Finish(context.Background(), l, f.move))
		})
	}
	want := make([]string, len(changes))
	for i, c := range changes {
		want[i] = c(ref)
	}
	for i, got := range inOneBatch(s, changes) {
		if got != want[i] {
			t.Errorf("change %d: told %q, want %q", i, got, want[i])
		}
	}
	if got, want := standing(t, s.Inbox()), standing(t, ref); !reflect.DeepEqual(got, want) {
		t.Errorf("stored\n%v\nwant\n%v", got, want)
	}
	got, next := claimAll(t, s.Inbox()), claimAll(t, ref)
	for event := range next {
		if _, ok := got[event]; !ok || len(got) != len(next) {
			t.Errorf("%d are due then, want %d with %s", len(got), len(next), event)
		}
	}
}

// batchOfEvents is what may meet in one batch.
func batchOfEvents() (all [][]*inbound.Arrival) {
	for i := range 50 {
		all = append(all, []*inbound.Arrival{event(fmt.Sprint("new-", i), fmt.Sprint("evt_", i), "{}", "", "hook", "hook/second")})
	}
	split := []*inbound.Arrival{event("part-0", "part_0", "{}", "", "hook"), event("part-1", "part_1", "{}", "lane", "hook"), event("part-2", "part_0", "{}", "", "hook")}
	aside := event("aside", "aside", "{}", "", "hook", "hook/second")
	aside.To[0].State, aside.To[0].Reason, aside.To[1].State = inbound.Quarantined, "it does not fit", inbound.Ignored
	anew := event("copy", "evt_1", "{}", "", "hook")
	anew.Anew, anew.By = true, "person"
	return append(all, split,
		[]*inbound.Arrival{event("twice", "evt_1", "{}", "", "hook")},
		[]*inbound.Arrival{event("other", "evt_1", `{"other":1}`, "", "hook")},
		[]*inbound.Arrival{event("new-2", "evt_2", "{}", "", "hook")}, // asks again
		[]*inbound.Arrival{event("again", "old_0", "{}", "", "hook")},
		[]*inbound.Arrival{event("changed", "old_1", `{"changed":1}`, "lane", "hook")},
		[]*inbound.Arrival{event("in-lane", "lane_1", "{}", "lane", "hook"), event("in-other", "lane_2", "{}", "other", "hook")},
		[]*inbound.Arrival{event("nowhere", "nowhere", "{}", "")},
		[]*inbound.Arrival{aside}, []*inbound.Arrival{anew},
	)
}

// inOneBatch has the store make changes together, asked for in this order.
func inOneBatch(s *store.SQLite, changes []change) []string {
	release, told, done := s.Hold(), make([]string, len(changes)), make(chan struct{})
	for i, c := range changes {
		go func() { defer func() { done <- struct{}{} }(); told[i] = c(s.Inbox()) }()
		for s.Asked() == i {
			runtime.Gosched()
		}
	}
	release()
	for range changes {
		<-done
	}
	return told
}

// claimAll claims what is due, and returns the leases by event.
func claimAll(t *testing.T, box inbound.Store) map[string]queue.Lease {
	t.Helper()
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 100}, time.Hour)
	if err != nil || len(items) == 0 {
		t.Fatalf("%d claimed, %v", len(items), err)
	}
	leases := map[string]queue.Lease{}
	for _, it := range items {
		leases[it.Work.Event.ID] = it.Lease
	}
	return leases
}

// standing is what is stored: of every event all that does not depend on when it was
// written, and the order in which those came that are first of their key.
func standing(t *testing.T, box inbound.Store) map[string]string {
	t.Helper()
	page, err := box.List(t.Context(), inbound.Filter{Limit: inbound.MaxPage})
	if err != nil || page.Next != "" {
		t.Fatal(page.Next, err)
	}
	out := map[string]string{}
	for _, e := range page.Events {
		if e.Variant == 1 {
			out["order"] += e.ID + " "
		}
		r, err := box.Show(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		b, err := box.Body(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s %d %s %v %s %s", r.Key, r.Variant, r.Lane, b.Header, b.Body, r.Status)
		for _, d := range r.Deliveries {
			text += fmt.Sprintf("; %s %s %s %d %q %v", d.Target, d.State, d.Origin, d.Attempt, d.Reason, d.Stand)
			if d.State == inbound.Retrying {
				text += d.Due.UTC().String()
			}
		}
		for _, m := range r.Trail {
			text += fmt.Sprintf("; %s: %s -> %s %d %d %q %s", m.Target, m.From, m.To, m.Attempt, m.Status, m.Reason, m.By)
		}
		out[e.ID] = text
	}
	return out
}
