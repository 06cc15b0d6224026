package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// losing has do called over a connection whose next answer is lost, and checks
// that it was.
func losing(t *testing.T, way *cutter, what string, do func() error) {
	t.Helper()
	before := way.lost.Load()
	way.next.Store(true)
	err := do()
	way.next.Store(false)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if way.lost.Load() != before+1 {
		t.Fatalf("%s: %d answers were lost", what, way.lost.Load()-before)
	}
}

// TestF12UnknownConnectionWrites: where the answer to a commit is lost, a row
// that is saved is said to be saved, once, by whoever saved it, and a ticket is
// had by whoever took it.
func TestF12UnknownConnectionWrites(t *testing.T) {
	p, way := cuttableAt(t, peers.Database(t))
	s, ctx := p.Connections(), t.Context()
	save := func(r connection.Row) (connection.Row, error) {
		return s.Save(ctx, r, connection.Move{To: r.State})
	}
	for round := range 3 {
		// Each new connection describes its statements first, and then loses an answer.
		warm, err := save(storetest.Row("warm", fmt.Sprint(round)))
		if err != nil {
			t.Fatal(err)
		}
		if warm, err = save(warm); err != nil {
			t.Fatal(err)
		}
		r, name := storetest.Row("p", fmt.Sprint(round)), fmt.Sprint("ticket ", round)
		losing(t, way, "insert", func() error { r, err = save(r); return err })
		if r.Fence != 1 || r.Created.IsZero() || !r.Created.Equal(r.Changed) {
			t.Errorf("inserted with fence %d, created %v, changed %v", r.Fence, r.Created, r.Changed)
		}
		if warm, err = save(warm); err != nil {
			t.Fatal(err)
		}
		next := r
		losing(t, way, "update", func() error { next, err = save(r); return err })
		if next.Fence != 2 || !next.Created.Equal(r.Created) || !next.Changed.After(r.Changed) {
			t.Errorf("updated with fence %d, created %v, changed %v after %v, %v", next.Fence, next.Created, next.Changed, r.Created, r.Changed)
		}
		if there, err := s.Load(ctx, r.Key); err != nil || there.Fence != 2 || !there.Changed.Equal(next.Changed) {
			t.Errorf("there is fence %d, changed %v, %v", there.Fence, there.Changed, err)
		}
		if moves, err := s.History(ctx, r.Key, 0); err != nil || len(moves) != 2 {
			t.Errorf("%d moves, %v", len(moves), err)
		}
		for _, stale := range []connection.Row{r, storetest.Row("p", fmt.Sprint(round))} {
			if _, err := save(stale); !errors.Is(err, connection.ErrStale) {
				t.Errorf("fence %d again: %v", stale.Fence, err)
			}
		}
		if _, err = save(warm); err != nil {
			t.Fatal(err)
		}
		losing(t, way, "stale", func() error {
			if _, err := save(r); !errors.Is(err, connection.ErrStale) {
				return fmt.Errorf("another's write was taken for this one: %w", cmp.Or(err, errors.New("saved")))
			}
			return nil
		})

		warmTicket := storetest.Ticket(fmt.Sprint("warm ", round), time.Hour)
		if err := s.Keep(ctx, warmTicket); err != nil {
			t.Fatal(err)
		}
		ticket := storetest.Ticket(name, time.Hour)
		losing(t, way, "keep", func() error { return s.Keep(ctx, ticket) })
		if err := s.Keep(ctx, ticket); err == nil {
			t.Error("kept twice")
		}
		if _, err := s.Take(ctx, warmTicket.ID); err != nil {
			t.Fatal(err)
		}
		losing(t, way, "take", func() error { _, err := s.Take(ctx, ticket.ID); return err })
		if _, err := s.Take(ctx, ticket.ID); !errors.Is(err, connection.ErrUnknown) {
			t.Errorf("taken twice: %v", err)
		}
	}
}

// TestF12UnknownConnectionWritesOvertaken: a write whose answer was lost is
// recognised although another process has written since.
func TestF12UnknownConnectionWritesOvertaken(t *testing.T) {
	url := peers.Database(t)
	p, way := cuttableAt(t, url)
	s, other, ctx := p.Connections(), postgres(t, url, store.Options{}).Connections(), t.Context()
	r, err := s.Save(ctx, storetest.Row("p", "a"), connection.Move{})
	if err == nil {
		r, err = s.Save(ctx, r, connection.Move{})
	}
	if err != nil {
		t.Fatal(err)
	}
	way.shut.Lock()
	way.next.Store(true)
	type result struct {
		connection.Row
		err error
	}
	ended := make(chan result, 1)
	go func() {
		r.Generation = 100
		got, err := s.Save(ctx, r, connection.Move{To: r.State, Reason: "mine"})
		ended <- result{got, err}
	}()
	var seen connection.Row
	for seen.Generation != 100 { // it is committed
		if seen, err = other.Load(ctx, r.Key); err != nil {
			t.Fatal(err)
		}
	}
	for way.lost.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	seen.Generation = 101
	last, err := other.Save(ctx, seen, connection.Move{To: seen.State, Reason: "another's"})
	way.shut.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	got := <-ended
	if got.err != nil || got.Fence != 3 || got.Generation != 100 || !got.Changed.Equal(seen.Changed) || !got.Created.Equal(seen.Created) {
		t.Errorf("fence %d, generation %d, changed %v, %v; want 3, 100, %v", got.Fence, got.Generation, got.Changed, got.err, seen.Changed)
	}
	if there, err := s.Load(ctx, r.Key); err != nil || there.Fence != last.Fence || there.Generation != 101 {
		t.Errorf("there is fence %d, generation %d, %v", there.Fence, there.Generation, err)
	}
}

// keepSaving saves a few connections until stop is closed, and checks that the
// last write of each that was said to be made was, with all before it.
func keepSaving(t *testing.T, s connection.Store, stop <-chan struct{}) {
	var wg sync.WaitGroup
	var saved, failed atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			r, said := storetest.Row("p", fmt.Sprint(w)), int64(0)
			for {
				select {
				case <-stop:
					if there, err := s.Load(t.Context(), r.Key); err != nil || there.Fence < said {
						t.Errorf("saved with fence %d, there is %d, %v", said, there.Fence, err)
					} else if moves, err := s.History(t.Context(), r.Key, 0); err != nil || int64(len(moves)) != there.Fence {
						t.Errorf("%d moves of %d writes, %v", len(moves), there.Fence, err)
					}
					return
				default:
				}
				got, err := s.Save(t.Context(), r, connection.Move{})
				if err == nil {
					r, said = got, got.Fence
					saved.Add(1)
					continue
				}
				failed.Add(1)
				if there, err := s.Load(t.Context(), r.Key); err == nil { // it may have been made
					r = there
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d writes of connections, %d of unknown end", saved.Load(), failed.Load())
	if saved.Load() == 0 {
		t.Error("nothing was saved")
	}
}
