package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// fenceGuards: who writes what was changed meanwhile changes nothing.
func fenceGuards(p *pair) {
	first := p.save(p.a, Row("p", "a"))
	second := p.save(p.b, first)
	for name, fence := range map[string]int64{"old": first.Fence, "new although it is there": 0, "of the future": second.Fence + 1} {
		r := second
		r.Fence, r.Access, r.State = fence, []byte("lost"), connection.Revoked
		if got, err := p.a.Save(p.Context(), r, connection.Move{To: r.State}); !errors.Is(err, connection.ErrStale) || got.Fence != 0 {
			p.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	missing := Row("p", "nobody")
	missing.Fence = 3
	if _, err := p.a.Save(p.Context(), missing, connection.Move{}); !errors.Is(err, connection.ErrStale) {
		p.Errorf("a fence without a row: %v", err)
	}
	if _, err := p.a.Load(p.Context(), missing.Key); !errors.Is(err, connection.ErrUnknown) {
		p.Errorf("a row was made: %v", err)
	}
	if got := p.load(p.a, first.Key); whole(got) != whole(second) {
		p.Errorf("it is\n%s, want\n%s", whole(got), whole(second))
	}
	if m, err := p.a.History(p.Context(), first.Key, 0); err != nil || len(m) != 2 {
		p.Errorf("history %+v, %v", m, err)
	}
}

// race has n goroutines do something at once, and returns how many could.
func (p *pair) race(n int, do func(i int, s connection.Store) error, otherwise error) (done int64) {
	p.Helper()
	var wg sync.WaitGroup
	var won atomic.Int64
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			switch err := do(i, []connection.Store{p.a, p.b}[i%2]); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, otherwise):
				p.Errorf("%d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return won.Load()
}

func savesRace(p *pair) {
	r := p.save(p.a, Row("p", "a"))
	for round := range 5 {
		var winner atomic.Int64
		won := p.race(24, func(i int, s connection.Store) error {
			mine := r
			mine.Generation, mine.Refresh = int64(100*round+i), fmt.Appendf(nil, "token %d of round %d", i, round)
			got, err := s.Save(p.Context(), mine, connection.Move{To: mine.State, Generation: mine.Generation})
			if err == nil {
				winner.Store(got.Generation)
			}
			return err
		}, connection.ErrStale)
		after := p.load(p.b, r.Key)
		if won != 1 || after.Fence != r.Fence+1 || after.Generation != winner.Load() || string(after.Refresh) != fmt.Sprintf("token %d of round %d", winner.Load()-int64(100*round), round) {
			p.Errorf("round %d: %d saved, %d last; there is generation %d, fence %d", round, won, winner.Load(), after.Generation, after.Fence)
		}
		r = after
	}
	if m, err := p.a.History(p.Context(), r.Key, 0); err != nil || len(m) != 6 {
		p.Errorf("%d moves, %v", len(m), err)
	}
}

func insertsRace(p *pair) {
	for round := range 5 {
		r := Row("p", fmt.Sprint("account ", round))
		if won := p.race(16, func(_ int, s connection.Store) error {
			_, err := s.Save(p.Context(), r, connection.Move{To: r.State})
			return err
		}, connection.ErrStale); won != 1 || p.load(p.a, r.Key).Fence != 1 {
			p.Errorf("%d made it", won)
		}
	}
}

func storesClock(p *pair) {
	near := func(what string, t time.Time) {
		p.Helper()
		if time.Since(t).Abs() > time.Minute {
			p.Errorf("%s is %v", what, t)
		}
	}
	r := Row("p", "a")
	r.Created, r.Changed, r.Now = time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	first := p.save(p.a, r)
	near("created", first.Created)
	near("changed", first.Changed)
	near("now", first.Now)
	time.Sleep(blink)
	again := first
	again.Created, again.Changed = time.Unix(1, 0), time.Unix(2, 0)
	second := p.save(p.a, again)
	if !second.Created.Equal(first.Created) || !second.Changed.After(first.Changed) {
		p.Errorf("created %v, changed %v; then %v, %v", first.Created, first.Changed, second.Created, second.Changed)
	}
	time.Sleep(blink)
	rows, err := p.b.List(p.Context(), connection.Filter{})
	changed, now, err2 := p.b.Changed(p.Context(), time.Time{})
	if err != nil || err2 != nil || len(rows) != 1 || len(changed) != 1 {
		p.Fatalf("%d rows, %v; %d changed, %v", len(rows), err, len(changed), err2)
	}
	for name, r := range map[string]connection.Row{"loaded": p.load(p.b, r.Key), "listed": rows[0], "changed": changed[0]} {
		if near(name, r.Now); !r.Now.After(second.Changed) || !r.Changed.Equal(second.Changed) {
			p.Errorf("%s at %v, changed %v", name, r.Now, r.Changed)
		}
	}
	near("the time of Changed", now)
}

func connectionsCancelled(p *pair) {
	r := p.save(p.a, Row("p", "a"))
	ctx, cancel := context.WithCancel(p.Context())
	cancel()
	_, err := p.a.Load(ctx, r.Key)
	_, err2 := p.a.Save(ctx, r, connection.Move{})
	_, err3 := p.a.List(ctx, connection.Filter{})
	_, _, err4 := p.a.Changed(ctx, time.Time{})
	_, err5 := p.a.History(ctx, r.Key, 0)
	for i, err := range []error{err, err2, err3, err4, err5, p.a.Keep(ctx, Ticket("x", time.Minute))} {
		if err == nil || errors.Is(err, connection.ErrUnknown) || errors.Is(err, connection.ErrStale) {
			p.Errorf("%d: %v", i, err)
		}
	}
}
