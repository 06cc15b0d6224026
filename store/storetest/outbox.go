package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
)

// Outbox tests a store of an outbox; open returns an empty one that ends with
// its test.
func Outbox(t *testing.T, open func(*testing.T) outbox.Store) {
	for name, test := range map[string]func(*calls){
		"added once":              (*calls).addedOnce,
		"one call by a key":       (*calls).oneByKey,
		"a key, at once":          (*calls).keyAtOnce,
		"refused":                 (*calls).refused,
		"claimed, renewed, fence": (*calls).fence,
		"given back":              (*calls).givenBack,
		"due later":               (*calls).dueLater,
		"finished":                (*calls).finished,
		"the end with a new call": (*calls).then,
		"acted on":                (*calls).acted,
		"lanes":                   (*calls).lanes,
		"lanes, others act":       (*calls).lanesActed,
		"lanes, many at once":     (*calls).lanesMany,
		"listed":                  (*calls).listed,
		"marks":                   (*calls).marks,
		"pruned":                  (*calls).pruned,
		"any text":                (*calls).anyText,
	} {
		t.Run(name, func(t *testing.T) { test(&calls{T: t, Store: open(t)}) })
	}
}

type calls struct {
	*testing.T
	outbox.Store
	n int
}

// call returns an async call to provider p that no other one returns.
func (s *calls) call(change ...func(*outbox.Call)) *outbox.Call {
	s.n++
	c := &outbox.Call{
		ID: fmt.Sprintf("call-%06d", s.n), Kind: outbox.Async, Provider: "p", Client: "app", Account: "acct", Endpoint: "/v1/things", Method: "POST", Target: "p",
		State: outbox.Accepted, Request: []byte("sealed request"), Key: []byte{1}, Print: []byte{2},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func lane(name string) func(*outbox.Call) { return func(c *outbox.Call) { c.Lane = name } }

func deadLetter(state outbox.State) func(*outbox.Call) {
	return func(c *outbox.Call) {
		c.Kind, c.State, c.Outcome, c.Status, c.Reason = outbox.DeadLetter, state, policy.ServerError, 503, "503 Service Unavailable"
		c.Result = []byte("sealed result")
	}
}

func (s *calls) add(c *outbox.Call) *outbox.Call {
	s.Helper()
	stored, err := s.Add(s.Context(), c)
	if err != nil {
		s.Fatalf("add %s: %v", c.ID, err)
	}
	return stored
}

func (s *calls) claim(n int, lease time.Duration) []queue.Item[outbox.Call] {
	s.Helper()
	items, _, err := s.Claim(s.Context(), map[string]int{"p": n}, lease)
	if err != nil {
		s.Fatalf("claim: %v", err)
	}
	return items
}

func (s *calls) ids(items []queue.Item[outbox.Call]) (ids []string) {
	for _, it := range items {
		ids = append(ids, it.Work.ID)
	}
	slices.Sort(ids)
	return ids
}

func (s *calls) one(lease time.Duration) queue.Item[outbox.Call] {
	s.Helper()
	items := s.claim(10, lease)
	if len(items) != 1 {
		s.Fatalf("claimed %v, want one", s.ids(items))
	}
	return items[0]
}

func (s *calls) finish(it queue.Item[outbox.Call], to outbox.State) {
	s.Helper()
	if err := s.Finish(s.Context(), it.Lease, outbox.Move{To: to, Attempt: it.Work.Attempt, Reason: "because " + string(to)}); err != nil {
		s.Fatalf("finish %s: %v", it.Work.ID, err)
	}
}

func (s *calls) show(id string) *outbox.Record {
	s.Helper()
	r, err := s.Show(s.Context(), id)
	if err != nil {
		s.Fatalf("show %s: %v", id, err)
	}
	return r
}

func (s *calls) act(id string, a outbox.Action) *outbox.Transition {
	s.Helper()
	t, err := s.Act(s.Context(), id, a)
	if err != nil {
		s.Fatalf("act on %s: %v", id, err)
	}
	return t
}

func (s *calls) addedOnce() {
	c := s.call(func(c *outbox.Call) { c.Expires, c.Doubt = time.Now().Add(time.Hour), time.Now() })
	for range 2 {
		if stored := s.add(c); stored.ID != c.ID || stored.State != outbox.Accepted || stored.Created.IsZero() {
			s.Errorf("stored %+v", stored)
		}
	}
	r := s.show(c.ID)
	if len(r.Trail) != 1 || r.Trail[0].To != outbox.Accepted || r.Trail[0].From != "" {
		s.Errorf("trail %+v, want one line", r.Trail)
	}
	if !bytes.Equal(r.Request, c.Request) || r.Result != nil || r.Provider != "p" || r.Client != "app" || r.Account != "acct" || r.Endpoint != "/v1/things" ||
		!r.Expires.Equal(c.Expires.Truncate(time.Microsecond)) || !r.Doubt.Equal(c.Doubt.Truncate(time.Microsecond)) || !bytes.Equal(r.Key, c.Key) || r.Once != nil {
		s.Errorf("read %+v", r.Call)
	}
	if _, err := s.Show(s.Context(), "other"); !errors.Is(err, outbox.ErrNotFound) {
		s.Errorf("show of a call that is not there: %v", err)
	}
}

func (s *calls) oneByKey() {
	once := func(key string) func(*outbox.Call) { return func(c *outbox.Call) { c.Once = []byte(key) } }
	first := s.add(s.call(once("k1")))
	if again := s.add(s.call(once("k1"))); again.ID != first.ID {
		s.Errorf("the same key made %s beside %s", again.ID, first.ID)
	}
	if other := s.add(s.call(once("k2"))); other.ID == first.ID {
		s.Error("another key is the same call")
	}
	a, b := s.add(s.call()), s.add(s.call())
	if a.ID == b.ID {
		s.Error("calls without a key are one")
	}
}

func (s *calls) keyAtOnce() {
	const many = 20
	var wg sync.WaitGroup
	ids := make([]string, many)
	for i := range many {
		c := s.call(func(c *outbox.Call) { c.Once, c.Lane = []byte("the key"), "lane" })
		wg.Go(func() {
			stored, err := s.Add(s.Context(), c)
			if err != nil {
				s.Errorf("add: %v", err)
				return
			}
			ids[i] = stored.ID
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[many-1] {
		s.Errorf("one key made calls %v", slices.Compact(ids))
	}
	if n, _ := s.Count(s.Context(), outbox.Filter{}); n != 1 {
		s.Errorf("%d calls are there, want 1", n)
	}
}

func (s *calls) refused() {
	for _, spoil := range []func(*outbox.Call){
		func(c *outbox.Call) { c.ID = "" },
		func(c *outbox.Call) { c.Provider = "" },
		func(c *outbox.Call) { c.Target = "" },
		func(c *outbox.Call) { c.State = outbox.Sending },
		func(c *outbox.Call) { c.State = outbox.Done },
		func(c *outbox.Call) { c.State = "nonsense" },
	} {
		if _, err := s.Add(s.Context(), s.call(spoil)); err == nil {
			s.Error("a call that makes no sense was stored")
		}
	}
	c := s.add(s.call())
	it := s.one(lease)
	for _, to := range []outbox.State{outbox.Sending, outbox.Superseded, outbox.Discarded, "nonsense"} {
		if err := s.Finish(s.Context(), it.Lease, outbox.Move{To: to}); err == nil || errors.Is(err, queue.ErrStale) {
			s.Errorf("finished as %q: %v", to, err)
		}
	}
	if _, err := s.Act(s.Context(), c.ID, outbox.Action{From: []outbox.State{outbox.Done}, To: outbox.Accepted}); err == nil {
		s.Error("a move that there is not was made")
	}
	if _, err := s.Act(s.Context(), "other", outbox.Action{From: []outbox.State{outbox.Failed}, To: outbox.Accepted}); !errors.Is(err, outbox.ErrNotFound) {
		s.Errorf("acted on a call that is not there: %v", err)
	}
}

func (s *calls) fence() {
	s.add(s.call())
	const brief = 400 * time.Millisecond
	first := s.one(brief)
	if first.Work.State != outbox.Accepted || first.Work.Attempt != 1 || !bytes.Equal(first.Work.Request, []byte("sealed request")) || first.Target != "p" {
		s.Errorf("claimed %+v", first.Work)
	}
	if more := s.claim(10, lease); len(more) != 0 {
		s.Fatalf("claimed twice: %v", s.ids(more))
	}
	if lost, err := s.Renew(s.Context(), []queue.Lease{first.Lease}, brief); err != nil || len(lost) != 0 {
		s.Fatalf("renew: lost %v, %v", lost, err)
	}
	time.Sleep(brief + blink)
	second := s.one(lease)
	if second.Work.State != outbox.Sending || second.Work.Attempt != 2 || second.Work.Changed.IsZero() {
		s.Errorf("claimed anew %+v", second.Work)
	}
	if err := s.Finish(s.Context(), first.Lease, outbox.Move{To: outbox.Done, Attempt: 1}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("finished after the lease: %v", err)
	}
	if lost, err := s.Renew(s.Context(), []queue.Lease{first.Lease, second.Lease}, lease); err != nil || len(lost) != 1 || lost[0].Token != first.Lease.Token {
		s.Errorf("renew: lost %v, %v; want the first", lost, err)
	}
	if err := s.Release(s.Context(), []queue.Lease{first.Lease}); err != nil {
		s.Errorf("release of a lost lease: %v", err)
	}
	s.finish(second, outbox.Done)
	if err := s.Finish(s.Context(), second.Lease, outbox.Move{To: outbox.Done, Attempt: 2}); err != nil {
		s.Errorf("asked again after a lost answer: %v", err)
	}
	if err := s.Finish(s.Context(), second.Lease, outbox.Move{To: outbox.Failed, Attempt: 2}); !errors.Is(err, queue.ErrStale) {
		s.Errorf("finished twice: %v", err)
	}
}

func (s *calls) givenBack() {
	c := s.add(s.call())
	for range 2 {
		it := s.one(lease)
		if err := s.Release(s.Context(), []queue.Lease{it.Lease}); err != nil {
			s.Fatal(err)
		}
		if r := s.show(c.ID); r.State != outbox.Accepted || r.Attempt != 0 {
			s.Errorf("given back: %s after %d attempts", r.State, r.Attempt)
		}
	}
	it := s.one(lease)
	s.finish(it, outbox.Retrying)
	it = s.one(lease)
	if err := s.Release(s.Context(), []queue.Lease{it.Lease}); err != nil {
		s.Fatal(err)
	}
	if r := s.show(c.ID); r.State != outbox.Retrying || r.Attempt != 1 {
		s.Errorf("given back: %s after %d attempts", r.State, r.Attempt)
	}
}

func (s *calls) dueLater() {
	s.add(s.call())
	it := s.one(lease)
	due := time.Now().Add(time.Hour)
	if err := s.Finish(s.Context(), it.Lease, outbox.Move{To: outbox.Retrying, Due: due, Attempt: 1, Wait: time.Hour}); err != nil {
		s.Fatal(err)
	}
	items, next, err := s.Claim(s.Context(), map[string]int{"p": 5}, lease)
	if err != nil || len(items) != 0 {
		s.Fatalf("claimed %v, %v", s.ids(items), err)
	}
	if d := next.Sub(due).Abs(); d > 5*time.Second {
		s.Errorf("next is %v, want about %v", next, due)
	}
	if _, next, _ := s.Claim(s.Context(), map[string]int{"other": 5}, lease); !next.IsZero() {
		s.Errorf("another target's next is %v", next)
	}
	for range 3 {
		s.add(s.call())
	}
	if got := s.claim(2, lease); len(got) != 2 {
		s.Errorf("claimed %d, want 2", len(got))
	}
}

func (s *calls) finished() {
	c := s.add(s.call())
	it := s.one(lease)
	doubt := time.Now().Truncate(time.Microsecond)
	m := outbox.Move{To: outbox.Unknown, Attempt: 1, Outcome: policy.Timeout, Status: 504, Took: time.Second, Reason: "no answer", Doubt: doubt, Result: []byte("result")}
	if err := s.Finish(s.Context(), it.Lease, m); err != nil {
		s.Fatal(err)
	}
	r := s.show(c.ID)
	if r.State != outbox.Unknown || r.Outcome != policy.Timeout || r.Status != 504 || r.Reason != "no answer" || !r.Doubt.Equal(doubt) || !bytes.Equal(r.Result, m.Result) {
		s.Errorf("read %+v", r.Call)
	}
	last := r.Trail[len(r.Trail)-1]
	if len(r.Trail) != 3 || last.From != outbox.Sending || last.To != outbox.Unknown || last.Outcome != policy.Timeout || last.Status != 504 || last.Took != time.Second || last.Reason != "no answer" {
		s.Errorf("trail %+v", r.Trail)
	}
}

func (s *calls) then() {
	c := s.add(s.call())
	it := s.one(lease)
	after := s.call(func(n *outbox.Call) { n.Kind, n.Of = outbox.Callback, c.ID })
	if err := s.Finish(s.Context(), it.Lease, outbox.Move{To: outbox.Done, Attempt: 1, Then: after}); err != nil {
		s.Fatal(err)
	}
	if next := s.one(lease); next.Work.ID != after.ID || next.Work.Of != c.ID || next.Work.Kind != outbox.Callback {
		s.Errorf("claimed %+v", next.Work)
	}
}

func (s *calls) acted() {
	c := s.add(s.call(deadLetter(outbox.Unknown), func(c *outbox.Call) { c.Doubt = time.Now() }))
	if items := s.claim(5, lease); len(items) != 0 {
		s.Fatalf("a dead letter is due: %v", s.ids(items))
	}
	if t := s.act(c.ID, outbox.Action{From: []outbox.State{outbox.Failed}, To: outbox.Accepted}); t != nil {
		s.Errorf("moved from a state that was not asked for: %+v", t)
	}
	t := s.act(c.ID, outbox.Action{From: []outbox.State{outbox.Failed, outbox.Unknown}, To: outbox.Accepted, Reason: "replay", By: "somebody", Force: true, Life: time.Hour})
	if t == nil || t.From != outbox.Unknown || t.To != outbox.Accepted || t.By != "somebody" || t.ID != c.ID || t.Provider != "p" {
		s.Fatalf("moved %+v", t)
	}
	it := s.one(lease)
	if !it.Work.Forced || it.Work.Doubt.IsZero() || it.Work.Expires.Before(time.Now()) {
		s.Errorf("claimed %+v", it.Work)
	}
	if t := s.act(c.ID, outbox.Action{From: []outbox.State{outbox.Accepted, outbox.Retrying}, To: outbox.Discarded}); t != nil {
		s.Errorf("moved while it was being sent: %+v", t)
	}
	s.finish(it, outbox.Unknown)
	if r := s.show(c.ID); r.Forced {
		s.Error("what was forced once is so for ever")
	}
	s.act(c.ID, outbox.Action{From: []outbox.State{outbox.Unknown}, To: outbox.Failed, Clear: true, Out: policy.Unreachable})
	if r := s.show(c.ID); !r.Doubt.IsZero() || r.Attempt != 1 || r.Outcome != policy.Unreachable || r.State != outbox.Failed || r.Forced {
		s.Errorf("resolved %+v", r.Call)
	}
}

func (s *calls) lanes() {
	a1, a2, a3 := s.add(s.call(lane("a"))), s.add(s.call(lane("a"))), s.add(s.call(lane("a")))
	b1 := s.add(s.call(lane("b")))
	free := s.add(s.call())
	items := s.claim(10, lease)
	if got, want := s.ids(items), []string{a1.ID, b1.ID, free.ID}; !slices.Equal(got, want) {
		s.Fatalf("claimed %v, want the heads %v", got, want)
	}
	head := items[slices.IndexFunc(items, func(it queue.Item[outbox.Call]) bool { return it.Work.ID == a1.ID })]
	if err := s.Finish(s.Context(), head.Lease, outbox.Move{To: outbox.Retrying, Due: time.Now().Add(blink), Attempt: 1}); err != nil {
		s.Fatal(err)
	}
	if got := s.claim(10, lease); len(got) != 0 {
		s.Fatalf("claimed %v past a head that waits", s.ids(got))
	}
	time.Sleep(2 * blink)
	head = s.one(lease)
	if head.Work.ID != a1.ID || head.Lane != "a" {
		s.Fatalf("claimed %s, want %s", head.Work.ID, a1.ID)
	}
	s.finish(head, outbox.Failed)
	for _, want := range []string{a2.ID, a3.ID} {
		it := s.one(lease)
		if it.Work.ID != want {
			s.Fatalf("claimed %s, want %s", it.Work.ID, want)
		}
		s.finish(it, outbox.Done)
	}
}

func (s *calls) lanesActed() {
	a1, a2, a3 := s.add(s.call(lane("a"))), s.add(s.call(lane("a"))), s.add(s.call(lane("a")))
	it := s.one(lease)
	s.finish(it, outbox.Failed)
	// The one that is opened again goes to the end.
	s.act(a1.ID, outbox.Action{From: []outbox.State{outbox.Failed}, To: outbox.Accepted})
	s.act(a2.ID, outbox.Action{From: []outbox.State{outbox.Accepted}, To: outbox.Discarded})
	for _, want := range []string{a3.ID, a1.ID} {
		it := s.one(lease)
		if it.Work.ID != want {
			s.Fatalf("claimed %s, want %s", it.Work.ID, want)
		}
		s.finish(it, outbox.Done)
	}
	a4, a5 := s.add(s.call(lane("a"))), s.add(s.call(lane("a")))
	s.act(a5.ID, outbox.Action{From: []outbox.State{outbox.Accepted}, To: outbox.Discarded})
	if it := s.one(lease); it.Work.ID != a4.ID {
		s.Errorf("claimed %s, want %s", it.Work.ID, a4.ID)
	}
}

// lanesMany has several add to lanes, claim and finish at once. Of each lane one
// call is out at any time, and they go out in the order of their turns.
func (s *calls) lanesMany() {
	const lanes, each, workers = 3, 15, 4
	var mu sync.Mutex
	out := map[string]bool{}
	done := map[string]int{}
	order := map[string][]string{} // as they were stored, one after the other in each lane
	var adding, working sync.WaitGroup
	for l := range lanes {
		name := fmt.Sprint("lane", l)
		batch := make([]*outbox.Call, each)
		for i := range batch {
			batch[i] = s.call(lane(name))
		}
		adding.Go(func() {
			for _, c := range batch {
				if _, err := s.Add(s.Context(), c); err != nil {
					s.Errorf("add: %v", err)
				}
				mu.Lock()
				order[name] = append(order[name], c.ID)
				mu.Unlock()
			}
		})
	}
	went := map[string][]string{}
	deadline := time.Now().Add(30 * time.Second)
	for range workers {
		working.Go(func() {
			for time.Now().Before(deadline) {
				items, _, err := s.Claim(s.Context(), map[string]int{"p": 4}, lease)
				if err != nil {
					s.Errorf("claim: %v", err)
					return
				}
				for _, it := range items {
					mu.Lock()
					if out[it.Lane] {
						s.Errorf("two calls of %s are out at once", it.Lane)
					}
					out[it.Lane] = true
					went[it.Lane] = append(went[it.Lane], it.Work.ID)
					mu.Unlock()
				}
				for _, it := range items {
					mu.Lock()
					out[it.Lane] = false
					mu.Unlock()
					if err := s.Finish(s.Context(), it.Lease, outbox.Move{To: outbox.Done, Attempt: 1}); err != nil {
						s.Errorf("finish: %v", err)
					}
					mu.Lock()
					done[it.Lane]++
					mu.Unlock()
				}
				mu.Lock()
				all := 0
				for _, n := range done {
					all += n
				}
				mu.Unlock()
				if all == lanes*each {
					return
				}
			}
			s.Error("not done in time")
		})
	}
	adding.Wait()
	working.Wait()
	for l := range order {
		if !slices.Equal(order[l], went[l]) {
			s.Errorf("%s went out as\n%v, was stored as\n%v", l, went[l], order[l])
		}
	}
}

func (s *calls) listed() {
	var want []string
	for i := range 5 {
		c := s.add(s.call(func(c *outbox.Call) { c.Account = []string{"even", "odd_%"}[i%2] }))
		want = append([]string{c.ID}, want...)
	}
	dead := s.add(s.call(deadLetter(outbox.Failed), func(c *outbox.Call) { c.Provider, c.Target = "q", "q" }))
	var got []string
	f := outbox.Filter{Providers: []string{"p"}, Limit: 2}
	for pages := 0; ; pages++ {
		p, err := s.List(s.Context(), f)
		if err != nil || pages > 3 {
			s.Fatalf("page %d: %v", pages, err)
		}
		for _, c := range p.Calls {
			if c.Request != nil || c.Result != nil {
				s.Error("a list has what is sealed")
			}
			got = append(got, c.ID)
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("listed %v, want %v", got, want)
	}
	for _, c := range []struct {
		f outbox.Filter
		n int
	}{
		{outbox.Filter{}, 6},
		{outbox.Filter{IDs: []string{dead.ID, "other"}}, 1},
		{outbox.Filter{Kind: outbox.DeadLetter}, 1},
		{outbox.Filter{State: outbox.Failed}, 1},
		{outbox.Filter{Outcome: policy.ServerError}, 1},
		{outbox.Filter{Account: "even", Providers: []string{"p", "r"}}, 3},
		{outbox.Filter{Account: "odd_%"}, 2},
		{outbox.Filter{Client: "nobody"}, 0},
		{outbox.Filter{Error: "service UNAVAIL"}, 1},
		{outbox.Filter{Error: "5_3"}, 0},
		{outbox.Filter{Since: time.Now().Add(time.Hour)}, 0},
		{outbox.Filter{Until: time.Now().Add(time.Hour)}, 6},
		{outbox.Filter{Of: "other"}, 0},
	} {
		if n, err := s.Count(s.Context(), c.f); err != nil || n != c.n {
			s.Errorf("%+v counts %d, %v; want %d", c.f, n, err, c.n)
		}
		if p, err := s.List(s.Context(), c.f); err != nil || len(p.Calls) != c.n {
			s.Errorf("%+v lists %d, %v; want %d", c.f, len(p.Calls), err, c.n)
		}
	}
	if _, err := s.List(s.Context(), outbox.Filter{Cursor: "x"}); !errors.Is(err, outbox.ErrCursor) {
		s.Errorf("a cursor that is none: %v", err)
	}
	stats, err := s.Stats(s.Context())
	if want := []outbox.Stat{{Provider: "p", Kind: outbox.Async, State: outbox.Accepted, Count: 5}, {Provider: "q", Kind: outbox.DeadLetter, State: outbox.Failed, Count: 1}}; err != nil || !slices.Equal(stats, want) {
		s.Errorf("stats %v, %v; want %v", stats, err, want)
	}
}

func (s *calls) marks() {
	s.add(s.call())
	s.add(s.call(deadLetter(outbox.Failed)))
	last := s.add(s.call(deadLetter(outbox.Unknown), func(c *outbox.Call) { c.Key = nil }))
	gone := s.add(s.call(deadLetter(outbox.Failed)))
	s.act(gone.ID, outbox.Action{From: []outbox.State{outbox.Failed}, To: outbox.Superseded})
	all, err := s.Marks(s.Context(), 10)
	if err != nil || len(all) != 2 || all[0].ID != last.ID || len(all[0].Key) != 0 || !bytes.Equal(all[0].Print, []byte{2}) || all[0].Provider != "p" || !bytes.Equal(all[1].Key, []byte{1}) {
		s.Errorf("marks %+v, %v", all, err)
	}
	s.act(last.ID, outbox.Action{From: []outbox.State{outbox.Unknown}, To: outbox.Accepted})
	if all, err = s.Marks(s.Context(), 10); err != nil || len(all) != 2 {
		s.Errorf("%d marks, %v; one is sent again, and may be done by another call meanwhile", len(all), err)
	}
	if heads, err := s.Heads(s.Context()); err != nil || len(heads) != 1 || heads["seale"] != 3 {
		s.Errorf("heads %v, %v; want 3 of one key", heads, err)
	}
	if all, _ := s.Marks(s.Context(), 1); len(all) != 1 {
		s.Errorf("%d marks, want 1", len(all))
	}
}

func (s *calls) pruned() {
	open := s.add(s.call(lane("a")))
	it := s.one(lease)
	s.finish(it, outbox.Retrying)
	done := s.add(s.call())
	for _, it := range s.claim(5, lease) {
		if it.Work.ID == done.ID {
			s.finish(it, outbox.Done)
		}
	}
	dead := s.add(s.call(deadLetter(outbox.Failed)))
	if n, err := s.Prune(s.Context(), time.Now().Add(-time.Hour), 10); err != nil || n != 0 {
		s.Errorf("pruned %d, %v; want none", n, err)
	}
	time.Sleep(blink)
	for _, want := range []int{1, 1, 0} {
		if n, err := s.Prune(s.Context(), time.Now(), 1); err != nil || n != want {
			s.Errorf("pruned %d, %v; want %d", n, err, want)
		}
	}
	for _, id := range []string{done.ID, dead.ID} {
		if _, err := s.Show(s.Context(), id); !errors.Is(err, outbox.ErrNotFound) {
			s.Errorf("%s is still there: %v", id, err)
		}
	}
	if r := s.show(open.ID); !r.State.Open() {
		s.Errorf("what is open was pruned: %+v", r.Call)
	}
}

func (s *calls) anyText() {
	const odd = "a\x00b\xff\x1a ü"
	c := s.add(s.call(deadLetter(outbox.Failed), func(c *outbox.Call) { c.Account, c.Client, c.Reason = odd, odd, odd }))
	s.act(c.ID, outbox.Action{From: []outbox.State{outbox.Failed}, To: outbox.Accepted, Reason: odd, By: odd})
	it := s.one(lease)
	if it.Work.Account != odd || it.Work.Client != odd || it.Work.Reason != odd {
		s.Errorf("claimed %q %q %q", it.Work.Account, it.Work.Client, it.Work.Reason)
	}
	if r := s.show(c.ID); r.Trail[1].By != odd || r.Trail[1].Reason != odd {
		s.Errorf("trail %+v", r.Trail)
	}
}
