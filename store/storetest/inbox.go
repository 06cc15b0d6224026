package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// Inbox tests an [inbound.Store]. open returns an empty one, closed by the test.
func Inbox(t *testing.T, open func(*testing.T) inbound.Store) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"C34 the bytes stored are the bytes received", sameBytes},
		{"C40 C41 one event a key, another body is a conflict", dedupe},
		{"C40 a duplicate storm stores one", storm},
		{"deliveries begin where they are placed", placements},
		{"what a list names is known by its key", backfill},
		{"claims are bounded, by target, longest due first", claims},
		{"next says when to look again", nextDue},
		{"a lease that ran out is claimed anew", expiry},
		{"F33 a lost lease moves nothing", fence},
		{"renewal holds a lease", renewal},
		{"what is given back does not count", release},
		{"only moves of the state machine", illegal},
		{"the trail tells every move", trail},
		{"each target goes its own way", targets},
		{"actions move what they apply to", acting},
		{"lists are filtered and paged", lists},
		{"lists find what matches, whatever is asked for at once", stepping},
		{"what is not there is not found", missing},
		{"what does not fit is grouped by how it does not", groups},
		{"stats count by state", stats},
		{"what happens is told in order and without a gap", feeding},
		{"a copy is an event of its own", copies},
		{"nothing is done twice in what is begun anew", unmoved},
		{"an action is about the deliveries that are selected", meant},
		{"a conflict is one for the targets that it is for", conflictFor},
		{"an action begins with the oldest, page by page", fromTheOldest},
		{"old events are deleted when they are done", pruning},
		{"bodies of finished events are removed, the oldest first", emptying},
		{"what may still be delivered keeps its body", needed},
		{"without its body nothing is delivered", emptied},
		{"a body is not removed under a replay", emptyingWhileActing},
		{"C40 a key outlives its event until its horizon", horizon},
		{"C41 so many bodies are kept under one key", surplus},
		{"several events of one request come as one, in their order", batches},
		{"random moves stay within the state machine", model},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&suite{T: t, Store: open(t)}) })
	}
	t.Run("lanes", func(t *testing.T) { Lanes(t, open) })
}

func sameBytes(s *suite) {
	for _, body := range []string{"", "{}\n", "\x00\xff\xfe{\"a\":\"\u00e4\u0308\"}", strings.Repeat("x", 1<<20)} {
		e := s.event("evt_"+fmt.Sprint(len(body)), body)
		id, what := s.insert(e)
		if id != e.ID || what != inbound.Stored {
			s.Fatalf("insert: %s, %v", id, what)
		}
		got, err := s.Body(s.ctx(), id)
		if err != nil || !bytes.Equal(got.Body, e.Body) || got.SHA256 != e.SHA256 {
			s.Fatalf("%d bytes came back as %d, %v", len(e.Body), len(got.Body), err)
		}
		want := *e
		want.Variant = 1
		if body == "" {
			want.Body, got.Body = nil, nil
		}
		same := got.Occurred.Equal(want.Occurred) && got.Received.Equal(want.Received)
		got.Occurred, got.Received = want.Occurred, want.Received
		if !same || !reflect.DeepEqual(got, &want) {
			s.Errorf("came back as %+v, want %+v", got, want)
		}
	}
	for _, it := range s.claim(10, lease) {
		if sum := it.Work.Event; len(sum.Body) != sum.Size || sum.Header.Values("X-Kind")[1] != "b" {
			s.Errorf("claimed with %d bytes, header %v", len(sum.Body), sum.Header)
		}
	}
}

func dedupe(s *suite) {
	first := s.event("evt_1", "one")
	s.insert(first)
	if id, what := s.insert(s.event("evt_1", "one")); id != first.ID || what != inbound.Duplicate {
		s.Errorf("the same again: %s, %v", id, what)
	}
	other := s.event("evt_1", "two")
	if id, what := s.insert(other); id != other.ID || what != inbound.Conflicted {
		s.Errorf("another body: %s, %v", id, what)
	}
	if id, what := s.insert(s.event("evt_1", "two")); id != other.ID || what != inbound.Duplicate {
		s.Errorf("the other body again: %s, %v", id, what)
	}
	third := s.event("evt_1", "three")
	if _, what := s.insert(third); what != inbound.Conflicted || s.show(third.ID).Variant != 3 {
		s.Errorf("a third body: %v, variant %d", what, s.show(third.ID).Variant)
	}
	if r := s.show(other.ID); r.Status != inbound.Conflict || r.Variant != 2 {
		s.Errorf("the conflict is %s, variant %d", r.Status, r.Variant)
	}
	if id, what := s.insert(first); id != first.ID || what != inbound.Stored {
		s.Errorf("asked again by who did not hear the answer: %s, %v", id, what)
	}
	if id, what := s.insert(other); id != other.ID || what != inbound.Conflicted {
		s.Errorf("the conflict asked again: %s, %v", id, what)
	}
	for change, e := range map[string]*inbound.Event{"account": s.event("evt_1", "one"), "webhook": s.event("evt_1", "one")} {
		if change == "account" {
			e.Account = "acct_2"
		} else {
			e.Webhook = "hook_2"
		}
		if _, what := s.insert(e); what != inbound.Stored {
			s.Errorf("another %s: %v", change, what)
		}
	}
	if items := s.claim(100, lease); len(items) != 3 {
		s.Errorf("%d deliveries are due, want 3: conflicts are not delivered", len(items))
	}
	theirs := s.event("evt_1", "of another account")
	theirs.Account = "acct_2"
	s.insert(theirs)
	if _, what := s.insert(s.event("evt_1", "of another account")); what != inbound.Conflicted {
		s.Errorf("a body that only another account has: %v", what)
	}
}

func storm(s *suite) {
	var mu sync.Mutex
	count := map[inbound.Insertion]int{}
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			id, what, err := Insert(s.ctx(), s.Store, Event(fmt.Sprintf("storm-%d", i), "evt_1", "body"), "hook")
			if err != nil {
				s.Errorf("insert: %v", err)
			}
			mu.Lock()
			count[what]++
			ids[id] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if count[inbound.Stored] != 1 || count[inbound.Duplicate] != 199 || len(ids) != 1 {
		s.Errorf("%v, %d ids, want one stored and 199 duplicates of it", count, len(ids))
	}
}

func claims(s *suite) {
	var want []string
	for i := range 5 {
		e := s.event(fmt.Sprintf("evt_%d", i), "body")
		s.insert(e)
		want = append(want, e.ID)
		time.Sleep(time.Millisecond)
	}
	s.insert(s.event("evt_other", "body"), "other")
	var got []string
	for _, it := range append(s.claim(2, lease), s.claim(9, lease)...) {
		got = append(got, it.Work.Event.ID)
		if it.Work.Attempt != 1 || it.Work.From != inbound.Received || it.Work.Origin != inbound.Push || it.Target != "hook" {
			s.Errorf("claimed as %+v", it.Work)
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("claimed %v, want %v", got, want)
	}
	if again := s.claim(9, lease); len(again) != 0 {
		s.Errorf("%d deliveries were claimed twice", len(again))
	}
	if err := s.Insert(s.ctx(), &inbound.Arrival{Event: s.event("evt_first", "body"), To: []inbound.Placement{{Target: "hook", Due: time.Now().Add(blink)}}}); err != nil {
		s.Fatal(err)
	}
	s.insert(s.event("evt_waits", "body"))
	waits := s.claim(1, lease)[0] // the second, unless the store took its time
	s.finish(waits, inbound.Retrying, time.Now().Add(-time.Minute))
	time.Sleep(2 * blink)
	if items := s.claim(1, lease); len(items) != 1 || items[0].Work.Event.ID != waits.Work.Event.ID {
		s.Errorf("%+v goes before what is due for longer, in another state", items)
	}
}

func nextDue(s *suite) {
	if items, next, err := s.Claim(s.ctx(), map[string]int{"hook": 1}, lease); len(items) != 0 || !next.IsZero() || err != nil {
		s.Errorf("of nothing: %v, %v, %v", items, next, err)
	}
	s.insert(s.event("evt_1", "body"))
	due := time.Now().Add(time.Hour)
	s.finish(s.one(lease), inbound.Retrying, due)
	if items, next, err := s.Claim(s.ctx(), map[string]int{"hook": 1, "other": 3}, lease); len(items) != 0 || next.Sub(due).Abs() > 50*time.Millisecond || err != nil {
		s.Errorf("claimed %d, next %v, %v, want none and %v", len(items), next, err, due)
	}
	if _, next, _ := s.Claim(s.ctx(), map[string]int{"other": 3}, lease); !next.IsZero() {
		s.Errorf("next %v belongs to a target that was not asked for", next)
	}
}

// await claims until something is due.
func (s *suite) await(lease time.Duration) queue.Item[inbound.Delivery] {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if items := s.claim(1, lease); len(items) == 1 {
			return items[0]
		}
	}
	s.Fatal("nothing fell due")
	panic("unreachable")
}

func expiry(s *suite) {
	s.insert(s.event("evt_1", "body"))
	first := s.one(blink)
	second := s.await(lease)
	if second.Lease.Token <= first.Lease.Token || second.Work.Attempt != 2 || second.Work.From != inbound.Processing {
		s.Errorf("claimed anew as %+v, %+v", second.Lease, second.Work)
	}
}

func fence(s *suite) {
	e := s.event("evt_1", "body")
	s.insert(e)
	late := s.one(blink)
	now := s.await(lease)
	if err := s.Finish(s.ctx(), late.Lease, inbound.Move{To: inbound.Failed, Attempt: 1}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("a late result: %v, want ErrStale", err)
	}
	if lost, err := s.Renew(s.ctx(), []queue.Lease{late.Lease, now.Lease}, lease); err != nil || len(lost) != 1 || lost[0].Token != late.Lease.Token {
		s.Errorf("renewal lost %v, %v, want the late lease", lost, err)
	}
	if err := s.Release(s.ctx(), []queue.Lease{late.Lease}); err != nil || s.show(e.ID).Status != inbound.Processing {
		s.Errorf("a late release: %v, now %s", err, s.show(e.ID).Status)
	}
	s.finish(now, inbound.Applied, time.Time{})
	if err := s.Finish(s.ctx(), now.Lease, inbound.Move{To: inbound.Failed, Attempt: 1}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("a second result: %v, want ErrStale", err)
	}
	if got := s.show(e.ID).Status; got != inbound.Applied {
		s.Errorf("ended %s, want applied", got)
	}
	if err := s.Finish(s.ctx(), queue.Lease{Key: 1 << 40, Token: 1}, inbound.Move{To: inbound.Failed}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("a delivery that is not there: %v, want ErrStale", err)
	}
}

func renewal(s *suite) {
	s.insert(s.event("evt_1", "body"))
	it := s.one(blink)
	if lost, err := s.Renew(s.ctx(), []queue.Lease{it.Lease}, lease); err != nil || len(lost) > 0 {
		s.Fatalf("renew: %v, %v", lost, err)
	}
	time.Sleep(2 * blink)
	if again := s.claim(1, lease); len(again) != 0 {
		s.Error("claimed although the lease was renewed")
	}
	s.finish(it, inbound.Applied, time.Time{})
}

func release(s *suite) {
	e := s.event("evt_1", "body")
	s.insert(e)
	it := s.one(lease)
	if err := s.Release(s.ctx(), []queue.Lease{it.Lease}); err != nil {
		s.Fatal(err)
	}
	if r := s.show(e.ID); r.Status != inbound.Received || r.Deliveries[0].Attempt != 0 {
		s.Errorf("given back as %+v", r.Deliveries[0])
	}
	it = s.one(lease)
	s.finish(it, inbound.Retrying, time.Now())
	it = s.one(lease)
	if err := s.Release(s.ctx(), []queue.Lease{it.Lease}); err != nil {
		s.Fatal(err)
	}
	if r := s.show(e.ID); r.Status != inbound.Retrying || r.Deliveries[0].Attempt != 1 {
		s.Errorf("given back after an attempt as %+v", r.Deliveries[0])
	}
}

func illegal(s *suite) {
	e := s.event("evt_1", "body")
	s.insert(e)
	it := s.one(lease)
	for _, to := range []inbound.State{inbound.Conflict, "", "nonsense"} {
		if err := s.Finish(s.ctx(), it.Lease, inbound.Move{To: to}); err == nil || errors.Is(err, queue.ErrStale) {
			s.Errorf("processing to %s: %v, want a refusal", to, err)
		}
	}
	if r := s.show(e.ID); r.Status != inbound.Processing || len(r.Trail) != 1 {
		s.Errorf("now %s with %d moves", r.Status, len(r.Trail))
	}
}

func trail(s *suite) {
	e := s.event("evt_1", "body")
	s.insert(e)
	s.finish(s.one(lease), inbound.Retrying, time.Now())
	s.finish(s.one(lease), inbound.Failed, time.Time{})
	if _, err := s.Act(s.ctx(), inbound.ActReplay, inbound.Filter{IDs: []string{e.ID}}, "ann"); err != nil {
		s.Fatal(err)
	}
	it := s.one(lease)
	if it.Work.Origin != inbound.Replay || it.Work.Attempt != 1 || it.Work.Event.ID != e.ID {
		s.Errorf("replayed as %+v", it.Work)
	}
	s.finish(it, inbound.Applied, time.Time{})
	var got []string
	for _, t := range s.show(e.ID).Trail {
		got = append(got, fmt.Sprintf("%s>%s %d %d %q %q", t.From, t.To, t.Attempt, t.Status, t.Reason, t.By))
		if t.Event != e.ID || t.Webhook != "hook" || t.Target != "hook" || t.At.IsZero() || !t.Received.Equal(e.Received) {
			s.Errorf("transition %+v", t)
		}
	}
	want := []string{
		`received>processing 1 0 "" ""`, `processing>retrying 1 200 "because retrying" ""`,
		`retrying>processing 2 0 "" ""`, `processing>failed 2 200 "because failed" ""`,
		`failed>received 0 0 "replay" "ann"`,
		`received>processing 1 0 "" ""`, `processing>applied 1 200 "because applied" ""`,
	}
	if !slices.Equal(got, want) {
		s.Errorf("trail\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func targets(s *suite) {
	e := s.event("evt_1", "body")
	s.insert(e, "hook/a", "hook/b")
	items, _, err := s.Claim(s.ctx(), map[string]int{"hook/a": 1, "hook/b": 1}, lease)
	if err != nil || len(items) != 2 {
		s.Fatalf("claimed %d, %v", len(items), err)
	}
	for _, it := range items {
		if it.Target == "hook/a" {
			s.finish(it, inbound.Applied, time.Time{})
		} else {
			s.finish(it, inbound.Retrying, time.Now().Add(time.Hour))
		}
	}
	r := s.show(e.ID)
	if r.Status != inbound.Retrying || r.Deliveries[0].State != inbound.Applied || r.Deliveries[1].Target != "hook/b" {
		s.Errorf("%s: %+v", r.Status, r.Deliveries)
	}
}

func acting(s *suite) {
	applied, failed, waiting := s.event("evt_1", "1"), s.event("evt_2", "2"), s.event("evt_3", "3")
	s.insert(applied)
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	s.insert(failed)
	s.finish(s.one(lease), inbound.Failed, time.Time{})
	s.insert(waiting)
	conflict := s.event("evt_1", "other")
	s.insert(conflict)

	act := func(a inbound.Action, f inbound.Filter, moved, skipped int) {
		s.Helper()
		done, err := s.Act(s.ctx(), a, f, "ann")
		if err != nil || len(done.Moved) != moved || done.Skipped != skipped {
			s.Errorf("%s: %d moved, %d skipped, %v, want %d and %d", a, len(done.Moved), done.Skipped, err, moved, skipped)
		}
	}
	act(inbound.ActReplay, inbound.Filter{}, 2, 2)
	act(inbound.ActRelease, inbound.Filter{IDs: []string{conflict.ID, waiting.ID}}, 1, 1)
	if n := len(s.claim(10, lease)); n != 4 {
		s.Errorf("%d deliveries are due, want 4", n)
	}
	act(inbound.ActDiscard, inbound.Filter{}, 0, 4) // all in processing
	act(inbound.ActReplay, inbound.Filter{IDs: []string{"nobody"}}, 0, 0)
}

func lists(s *suite) {
	var ids []string
	start := time.Now().Truncate(time.Microsecond)
	for i := range 7 {
		e := s.event(fmt.Sprintf("evt_%d", i), fmt.Sprint(i))
		e.Received = start.Add(time.Duration(i) * time.Minute)
		if i%2 == 1 {
			e.Account, e.Type = "acct_odd", "thing.odd"
		}
		s.insert(e)
		ids = append(ids, e.ID)
	}
	s.finish(s.claim(1, lease)[0], inbound.Failed, time.Time{})
	slices.Reverse(ids)
	pick := func(at ...int) (out []string) {
		for _, i := range at {
			out = append(out, ids[6-i])
		}
		return out
	}
	for name, test := range map[string]struct {
		filter inbound.Filter
		want   []string
	}{
		"all":               {inbound.Filter{}, ids},
		"webhook":           {inbound.Filter{Webhooks: []string{"x", "hook"}}, ids},
		"nothing":           {inbound.Filter{Webhooks: []string{"x"}}, nil},
		"account":           {inbound.Filter{Account: "acct_odd"}, pick(5, 3, 1)},
		"type":              {inbound.Filter{Type: "thing.odd", Limit: 100}, pick(5, 3, 1)},
		"beginning of type": {inbound.Filter{Type: "thing.o*"}, pick(5, 3, 1)},
		"* is all":          {inbound.Filter{Type: "*"}, ids},
		"no glob":           {inbound.Filter{Type: "thing.*d"}, nil},
		"several":           {inbound.Filter{Type: "thing.odd", Account: "acct_odd", Webhooks: []string{"hook"}, Since: start.Add(2 * time.Minute), Until: start.Add(4 * time.Minute)}, pick(3)},
		"webhook, status":   {inbound.Filter{Webhooks: []string{"hook"}, State: inbound.Received}, pick(6, 5, 4, 3, 2, 1)},
		"event id":          {inbound.Filter{EventID: "evt_4"}, pick(4)},
		"ids":               {inbound.Filter{IDs: pick(2, 6)}, pick(6, 2)},
		"since":             {inbound.Filter{Since: start.Add(5 * time.Minute)}, pick(6, 5)},
		"until":             {inbound.Filter{Until: start.Add(2 * time.Minute)}, pick(1, 0)},
		"status":            {inbound.Filter{State: inbound.Failed}, pick(0)},
		"error":             {inbound.Filter{Error: "BECAUSE failed"}, pick(0)},
		"% is no wildcard":  {inbound.Filter{Error: "%"}, nil},
	} {
		page, err := s.List(s.ctx(), test.filter)
		n, _ := s.Count(s.ctx(), test.filter)
		if got := idsOf(page); err != nil || !slices.Equal(got, test.want) || n.N != len(test.want) || n.More || page.Next != "" {
			s.Errorf("%s: %v, count %d, next %q, %v, want %v", name, got, n.N, page.Next, err, test.want)
		}
	}
	var paged []string
	f := inbound.Filter{Limit: 3}
	for pages := 1; ; pages++ {
		page, err := s.List(s.ctx(), f)
		if err != nil || pages > 3 {
			s.Fatalf("page %d: %v", pages, err)
		}
		paged = append(paged, idsOf(page)...)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if !slices.Equal(paged, ids) {
		s.Errorf("pages %v, want %v", paged, ids)
	}
	if _, err := s.List(s.ctx(), inbound.Filter{Cursor: "zzz"}); !errors.Is(err, inbound.ErrCursor) {
		s.Errorf("a cursor that is none: %v", err)
	}
	if _, err := s.Act(s.ctx(), inbound.ActReplay, inbound.Filter{Cursor: "zzz"}, "ann"); !errors.Is(err, inbound.ErrCursor) {
		s.Errorf("an action with a cursor that is none: %v", err)
	}
}

func idsOf(p inbound.Page) (ids []string) {
	for _, e := range p.Events {
		ids = append(ids, e.ID)
	}
	return ids
}

func missing(s *suite) {
	if _, err := s.Show(s.ctx(), "nobody"); !errors.Is(err, inbound.ErrNotFound) {
		s.Errorf("show: %v", err)
	}
	if _, err := s.Body(s.ctx(), "nobody"); !errors.Is(err, inbound.ErrNotFound) {
		s.Errorf("body: %v", err)
	}
}

func stats(s *suite) {
	first := s.event("evt_1", "1")
	s.insert(first, "hook", "hook/b")
	s.insert(s.event("evt_2", "2"))
	items := s.claim(1, lease)
	s.finish(items[0], inbound.Applied, time.Time{})
	got, err := s.Stats(s.ctx())
	if err != nil {
		s.Fatal(err)
	}
	slices.SortFunc(got, func(a, b inbound.Stat) int {
		return strings.Compare(string(a.State)+a.Target, string(b.State)+b.Target)
	})
	if len(got) != 3 || got[0].State != inbound.Applied || got[0].Count != 1 || !got[0].Oldest.IsZero() || got[0].Target != "" ||
		got[1].State != inbound.Received || got[1].Count != 1 || got[1].Target != "hook" || got[2].Webhook != "hook" ||
		got[2].State != inbound.Received || got[2].Count != 1 || got[2].Target != "hook/b" || !got[2].Oldest.Equal(first.Received) {
		s.Errorf("stats %+v", got)
	}
}

func pruning(s *suite) {
	past := time.Now().Add(-time.Hour)
	var ids []string
	for i := range 4 {
		e := s.event(fmt.Sprintf("evt_%d", i), "body")
		e.Received = past
		s.insert(e)
		ids = append(ids, e.ID)
	}
	for i, it := range s.claim(3, lease) {
		s.finish(it, []inbound.State{inbound.Applied, inbound.Failed, inbound.Retrying}[i], time.Now().Add(-time.Minute))
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(-time.Minute), 10); n != 0 || err != nil {
		s.Errorf("%d deleted that moved just now, %v", n, err)
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 1); n != 1 || err != nil {
		s.Errorf("%d deleted, %v, want 1", n, err)
	}
	if n, err := s.Prune(s.ctx(), time.Now().Add(time.Minute), 10); n != 1 || err != nil {
		s.Errorf("%d deleted, %v, want 1", n, err)
	}
	page, _ := s.List(s.ctx(), inbound.Filter{})
	if got := idsOf(page); !slices.Equal(got, []string{ids[3], ids[2]}) {
		s.Errorf("left %v, want those that are open", got)
	}
	if _, what := s.insert(s.event("evt_0", "body")); what != inbound.Stored {
		s.Errorf("a deleted key came back as %v", what)
	}
}
