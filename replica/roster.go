package replica

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// How often a replica gives word, and how long it is taken for alive without.
const (
	beat   = 2 * time.Second
	within = 7 * time.Second
)

// A Roster knows which replicas live. It may be used by several goroutines at
// once.
type Roster struct {
	self    Replica
	sources []Members
	trouble func(doing string, err error)

	mu   sync.Mutex
	seen [][]Replica // by source: the last answer

	telling sync.Mutex // so that the last number told is the true one
	told    int
	changed func(live int)
}

// NewRoster returns a roster of which self is the only member until Run has
// asked sources, none of which is nil. trouble is told of failures; changed,
// which may be nil, of every new number of live replicas.
func NewRoster(self Replica, trouble func(doing string, err error), changed func(live int), sources ...Members) *Roster {
	return &Roster{self: self, sources: sources, trouble: trouble, changed: changed, told: 1, seen: make([][]Replica, len(sources))}
}

// Self is this process.
func (r *Roster) Self() Replica { return r.self }

// List returns the live replicas by id, self included.
func (r *Roster) List() []Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

func (r *Roster) list() []Replica {
	all := map[string]Replica{}
	for _, answer := range r.seen {
		for _, other := range answer {
			if known, ok := all[other.ID]; !ok || known.Seen.Before(other.Seen) {
				all[other.ID] = other
			}
		}
	}
	if _, ok := all[r.self.ID]; !ok {
		all[r.self.ID] = r.self
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) })
}

// Live returns how many replicas live, at least one. While a source does not
// answer, and until the others had time to come back to it, it is what it said
// last: what replicas divide among themselves stays divided.
func (r *Roster) Live() int { return len(r.List()) }

// Run gives word of this replica and asks for the others until ctx ends; then
// it takes leave.
func (r *Roster) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for i, source := range r.sources {
		wg.Go(func() { r.attend(ctx, i, source) })
	}
	wg.Wait()
}

// attend talks to one source; a slow one does not hold up the others.
func (r *Roster) attend(ctx context.Context, i int, source Members) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	failing, back := false, time.Time{}
	for {
		answer, err := r.ask(ctx, source)
		if err == nil {
			if failing {
				back = time.Now()
			}
			r.learn(i, answer, time.Since(back) < within)
		}
		if err != nil && !failing && ctx.Err() == nil {
			r.trouble("learning of the other replicas", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), beat/2)
			defer cancel()
			_ = source.Leave(leave, r.self.ID) // else the others notice soon
			return
		case <-tick.C:
		}
	}
}

func (r *Roster) ask(ctx context.Context, source Members) ([]Replica, error) {
	ctx, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	return source.Beat(ctx, r.self, within)
}

// learn takes the answer of a source; keep adds it to what is known.
func (r *Roster) learn(i int, answer []Replica, keep bool) {
	r.mu.Lock()
	if keep {
		r.seen[i] = append(slices.Clone(answer), r.seen[i]...)
	} else {
		r.seen[i] = answer
	}
	r.mu.Unlock()
	r.telling.Lock()
	defer r.telling.Unlock()
	if now := r.Live(); now != r.told && r.changed != nil {
		r.told = now
		r.changed(now)
	}
}
