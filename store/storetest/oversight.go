package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
)

type overseer struct {
	*suite
	over  oversight.Store
	pages int64
}

// Oversight tests an [oversight.Store]. open returns an empty one and the inbox of
// the same database, closed by the test.
func Oversight(t *testing.T, open func(*testing.T) (inbound.Store, oversight.Store)) {
	for _, test := range []struct {
		name string
		run  func(*overseer)
	}{
		{"one has the lease of a watch", watchLease},
		{"what is kept is kept", watchValue},
		{"of many that take a lease one gets it", watchRace},
		{"known are keys, not bodies", knownKeys},
		{"each named event is counted once", naming},
		{"late is who was backfilled before", lateness},
		{"what no list names is found", unnamed},
		{"what is deleted counts no more", forgotten},
	} {
		t.Run(test.name, func(t *testing.T) {
			inbox, over := open(t)
			test.run(&overseer{suite: &suite{T: t, Store: inbox}, over: over})
		})
	}
}

func (s *overseer) take(w oversight.Watch, token string, lease time.Duration) (string, bool) {
	s.Helper()
	value, ok, err := s.over.Take(s.ctx(), w, token, lease)
	if err != nil {
		s.Fatal(err)
	}
	return string(value), ok
}

func watchLease(s *overseer) {
	w := oversight.Watch{Kind: "reconcile", Webhook: "hook", Account: "acct\x00"}
	if value, ok := s.take(w, "a", lease); !ok || value != "" {
		s.Errorf("the first: %q, %v", value, ok)
	}
	if _, ok := s.take(w, "b", lease); ok {
		s.Error("two have the lease")
	}
	if _, ok := s.take(w, "a", lease); !ok {
		s.Error("who has it cannot take it again")
	}
	if _, ok := s.take(oversight.Watch{Kind: "reconcile", Webhook: "hook"}, "b", lease); !ok {
		s.Error("another account's is not to be had")
	}
	if err := s.over.Keep(s.ctx(), w, "b", []byte("b"), lease); !errors.Is(err, oversight.ErrLease) {
		s.Errorf("kept without a lease: %v", err)
	}
	if err := s.over.Keep(s.ctx(), w, "a", []byte("a"), 0); err != nil {
		s.Error(err)
	}
	if value, ok := s.take(w, "b", blink); !ok || value != "a" {
		s.Errorf("after it was given back: %q, %v", value, ok)
	}
	time.Sleep(2 * blink)
	if _, ok := s.take(w, "c", lease); !ok {
		s.Error("a lease does not end")
	}
	if err := s.over.Keep(s.ctx(), w, "b", []byte("b"), lease); !errors.Is(err, oversight.ErrLease) {
		s.Errorf("kept under a lease that is another's: %v", err)
	}
}

func watchValue(s *overseer) {
	for i, account := range []string{"b", "a"} {
		w := oversight.Watch{Kind: "reconcile", Webhook: "hook", Account: account}
		s.take(w, "me", lease)
		if err := s.over.Keep(s.ctx(), w, "me", fmt.Appendf(nil, `{"n":%d}`, i), time.Duration(i)*lease); err != nil {
			s.Fatal(err)
		}
	}
	s.take(oversight.Watch{Kind: "expect", Webhook: "hook"}, "me", lease)
	rows, err := s.over.Watches(s.ctx(), "reconcile")
	if err != nil || len(rows) != 2 || rows[0].Account != "a" || string(rows[0].Value) != `{"n":1}` || !rows[0].Busy || string(rows[1].Value) != `{"n":0}` || rows[1].Busy {
		s.Errorf("%+v, %v", rows, err)
	}
	w := oversight.Watch{Kind: "reconcile", Webhook: "hook", Account: "a"}
	if err := s.over.Keep(s.ctx(), w, "me", nil, 0); err != nil {
		s.Error(err)
	}
	if rows, _ := s.over.Watches(s.ctx(), "reconcile"); len(rows) != 1 || rows[0].Account == "a" {
		s.Errorf("after it was emptied: %+v", rows)
	}
	if err := s.over.Keep(s.ctx(), w, "me", []byte("1"), 0); !errors.Is(err, oversight.ErrLease) {
		s.Errorf("the lease of what is gone: %v", err)
	}
	if rows, _ := s.over.Watches(s.ctx(), "expect"); len(rows) != 1 || rows[0].Value != nil {
		s.Errorf("nothing kept: %+v", rows)
	}
}

func watchRace(s *overseer) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for i := range 20 {
		wg.Go(func() {
			_, ok, err := s.over.Take(s.ctx(), oversight.Watch{Kind: "reconcile", Webhook: "hook"}, fmt.Sprint(i), lease)
			if err != nil {
				s.Error(err)
			}
			if ok {
				mu.Lock()
				got++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got != 1 {
		s.Errorf("%d have the lease", got)
	}
}

func knownKeys(s *overseer) {
	odd := s.event("evt\x00\xff", "odd")
	first := s.event("evt_1", "one")
	s.insert(first)
	s.insert(s.event("evt_1", "two"))
	s.insert(odd)
	ids, err := s.over.Known(s.ctx(), "hook", []oversight.Key{{Account: "acct", EventID: "evt_1"}, {Account: "acct", EventID: "evt_2"}, {Account: "other", EventID: "evt_1"}, {Account: "acct", EventID: odd.EventID}})
	if err != nil || !slices.Equal(ids, []string{first.ID, "", "", odd.ID}) {
		s.Errorf("%q, %v", ids, err)
	}
	if ids, _ := s.over.Known(s.ctx(), "hook_2", []oversight.Key{{Account: "acct", EventID: "evt_1"}}); ids[0] != "" {
		s.Errorf("of another webhook: %q", ids)
	}
}

func (s *overseer) backfilled(eventID string) string {
	s.Helper()
	a := s.listed(eventID, "listed "+eventID)
	if err := s.Insert(s.ctx(), a); err != nil || a.What != inbound.Stored {
		s.Fatalf("%v, %v", a.What, err)
	}
	return a.ID
}

func (s *overseer) tally() oversight.Tally {
	s.Helper()
	all, err := s.over.Tally(s.ctx())
	if err != nil {
		s.Fatal(err)
	}
	return all["hook"]
}

// page is the number of a page that is read for the first time.
func (s *overseer) page() int64 {
	s.pages++
	return s.pages
}

func naming(s *overseer) {
	pushed, _ := s.insert(s.event("evt_1", "one"))
	found := s.backfilled("evt_2")
	all, err := s.over.Name(s.ctx(), s.page(), []string{pushed, found, "nobody"})
	if err != nil || !slices.Equal(all, []oversight.Named{{First: true}, {First: true, Backfilled: true}, {}}) {
		s.Errorf("%+v, %v", all, err)
	}
	if all, err = s.over.Name(s.ctx(), s.page(), []string{found, pushed}); err != nil || !slices.Equal(all, []oversight.Named{{Backfilled: true}, {}}) {
		s.Errorf("again: %+v, %v", all, err)
	}
	if all, err = s.over.Name(s.ctx(), s.pages-1, []string{found, pushed}); err != nil || !all[0].First || !all[1].First {
		s.Errorf("the first page again: %+v, %v", all, err)
	}
	if got := s.tally(); got != (oversight.Tally{Expected: 2, Received: 1, Backfilled: 1}) {
		s.Errorf("%+v", got)
	}
}

func lateness(s *overseer) {
	one, two := s.backfilled("evt_1"), s.backfilled("evt_2")
	if _, err := s.over.Name(s.ctx(), s.page(), []string{one}); err != nil {
		s.Fatal(err)
	}
	for _, id := range []string{one, one, two, "nobody"} { // two is late before its list was taken note of
		if err := s.over.Late(s.ctx(), id); err != nil {
			s.Error(err)
		}
	}
	if got := s.tally(); got != (oversight.Tally{Expected: 1, Backfilled: 1, Late: 2}) {
		s.Errorf("%+v", got)
	}
	if all, err := s.over.Name(s.ctx(), s.page(), []string{two}); err != nil || !all[0].First {
		s.Errorf("%+v, %v", all, err)
	}
	if got := s.tally(); got != (oversight.Tally{Expected: 2, Backfilled: 2, Late: 2}) {
		s.Errorf("%+v", got)
	}
	since := func(account string, after time.Time, grace time.Duration, want int) time.Time {
		s.Helper()
		n, until, err := s.over.LateSince(s.ctx(), "hook", account, after, grace)
		if err != nil || n != want {
			s.Errorf("since %v: %d late, %v, want %d", after, n, err, want)
		}
		return until
	}
	since("acct", time.Time{}, 0, 2)
	since("another", time.Time{}, 0, 0)
	since("", time.Time{}, time.Hour, 0)
	until := since("", time.Time{}, 0, 2)
	since("", until, 0, 0)
	time.Sleep(blink)
	if err := s.over.Late(s.ctx(), s.backfilled("evt_3")); err != nil {
		s.Error(err)
	}
	since("", until, 0, 1)
	since("", time.Time{}, 0, 3)
}

func unnamed(s *overseer) {
	old := s.event("evt_0", "old")
	old.Received = time.Now().Add(-time.Hour)
	s.insert(old)
	named, _ := s.insert(s.event("evt_1", "one"))
	silent := s.event("evt_2", "two")
	silent.Occurred = time.Time{}
	s.insert(silent)
	s.insert(s.event("evt_2", "a conflict"))
	other := s.event("evt_3", "three")
	other.Webhook = "hook_2"
	s.insert(other)
	batch := s.event("evt_5", "a request that brought several, of which no list knows")
	batch.Items = 2
	if err := s.Insert(s.ctx(), &inbound.Arrival{Event: batch}); err != nil {
		s.Fatal(err)
	}
	last := s.event("evt_4", "four")
	s.insert(last)
	if _, err := s.over.Name(s.ctx(), s.page(), []string{named}); err != nil {
		s.Fatal(err)
	}
	var got []oversight.Seen
	look := func() {
		s.Helper()
		got = nil
		if err := s.over.Unnamed(s.ctx(), "hook", time.Now().Add(-time.Minute), func(e oversight.Seen) { got = append(got, e) }); err != nil {
			s.Fatal(err)
		}
	}
	look()
	if len(got) != 2 || got[0].ID != last.ID || !got[0].At.Equal(last.Occurred) || got[1].ID != silent.ID || !got[1].At.Equal(silent.Received) || got[0].Type != last.Type || got[0].Account != "acct" || got[0].Backfilled {
		s.Errorf("%+v", got)
	}
	for _, want := range []int{1, 0} {
		if n, err := s.over.Unknown(s.ctx(), []string{silent.ID, named}); err != nil || n != want {
			s.Errorf("%d, %v, want %d", n, err, want)
		}
	}
	if got := s.tally(); got != (oversight.Tally{Expected: 1, Received: 1, Unknown: 1}) {
		s.Errorf("%+v", got)
	}
	if all, err := s.over.Name(s.ctx(), s.page(), []string{silent.ID}); err != nil || !all[0].First {
		s.Errorf("named after all: %+v, %v", all, err)
	}
	if got := s.tally(); got != (oversight.Tally{Expected: 2, Received: 2}) {
		s.Errorf("%+v", got)
	}
	look()
	if len(got) != 1 {
		s.Errorf("%+v", got)
	}
}

func forgotten(s *overseer) {
	e := s.event("evt_1", "one")
	e.Received = time.Now().Add(-time.Hour)
	e.Horizon = time.Now().Add(time.Hour)
	s.insert(e)
	if _, err := s.over.Name(s.ctx(), s.page(), []string{e.ID}); err != nil {
		s.Fatal(err)
	}
	s.finish(s.one(lease), inbound.Applied, time.Time{})
	time.Sleep(blink)
	if n, err := s.Prune(s.ctx(), time.Now(), 10); err != nil || n != 1 {
		s.Fatalf("pruned %d, %v", n, err)
	}
	if got := s.tally(); got != (oversight.Tally{}) {
		s.Errorf("%+v", got)
	}
	// Its key is known yet: a list that goes further back names nothing new.
	if ids, err := s.over.Known(s.ctx(), "hook", []oversight.Key{{Account: e.Account, EventID: e.EventID}}); err != nil || ids[0] != e.ID {
		s.Errorf("known as %q, %v", ids, err)
	}
	if all, err := s.over.Name(s.ctx(), s.page(), []string{e.ID}); err != nil || all[0].First {
		s.Errorf("named: %+v, %v", all, err)
	}
	if n, err := s.over.Unknown(s.ctx(), []string{e.ID}); err != nil || n != 0 {
		s.Errorf("unknown: %d, %v", n, err)
	}
	if err := s.over.Late(s.ctx(), e.ID); err != nil {
		s.Error(err)
	}
	if err := s.over.Unnamed(s.ctx(), "hook", e.Received.Add(-time.Minute), func(e oversight.Seen) { s.Errorf("not named: %+v", e) }); err != nil {
		s.Error(err)
	}
	if got := s.tally(); got != (oversight.Tally{}) {
		s.Errorf("named when it is gone: %+v", got)
	}
}
