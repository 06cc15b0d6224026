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

	mu      sync.Mutex
	seen    [][]Replica // by source: the last answer
	changed func(live int)
}

// NewRoster returns a roster of which self is the only member until Run has
// asked sources, none of which is nil. trouble is told of failures; changed,
// which may be nil, of every new number of live replicas.
func NewRoster(self Replica, trouble func(doing string, err error), changed func(live int), sources ...Members) *Roster {
	return &Roster{self: self, sources: sources, trouble: trouble, changed: changed, seen: make([][]Replica, len(sources))}
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

// Live returns how many replicas live, at least one. While no source answers, it
// is what they said last: what replicas divide among themselves stays divided.
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
	failing := false
	for {
		err := r.ask(ctx, i, source)
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

func (r *Roster) ask(ctx context.Context, i int, source Members) error {
	ctx, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	answer, err := source.Beat(ctx, r.self, within)
	if err != nil {
		return err
	}
	r.mu.Lock()
	before := len(r.list())
	r.seen[i] = answer
	now := len(r.list())
	r.mu.Unlock()
	if now != before && r.changed != nil {
		r.changed(now)
	}
	return nil
}
