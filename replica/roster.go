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
	// patience is how many answers of a source that has just failed may leave a
	// replica out before it is forgotten: as many as beats fill within.
	patience = int((within + beat - 1) / beat)
)

// A Roster knows which replicas live. It may be used by several goroutines at
// once.
type Roster struct {
	self    Replica
	sources []Members
	trouble func(doing string, err error)

	mu   sync.Mutex
	seen []map[string]known // by source and id

	telling sync.Mutex // so that the last number told is the true one
	told    int
	changed func(live int)
}

// known is a replica and how many answers in a row have left it out.
type known struct {
	Replica
	missed int
}

// NewRoster returns a roster of which self is the only member until Run has
// asked sources, none of which is nil. trouble is told of failures; changed,
// which may be nil, of every new number of live replicas.
func NewRoster(self Replica, trouble func(doing string, err error), changed func(live int), sources ...Members) *Roster {
	return &Roster{self: self, sources: sources, trouble: trouble, changed: changed, told: 1, seen: make([]map[string]known, len(sources))}
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
	for _, source := range r.seen {
		for id, other := range source {
			if best, ok := all[id]; !ok || best.Seen.Before(other.Seen) {
				all[id] = other.Replica
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
// last: what replicas divide among themselves stays divided. Time is counted in
// answers, so that a source which fails again and again keeps no dead one.
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
	failing, answers := false, patience // answers since the last failure
	for {
		answer, err := r.ask(ctx, source)
		if err == nil {
			answers++
			r.learn(i, answer, answers < patience)
		} else {
			answers = 0
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

// learn takes the answer of a source. keep has it remember those that fewer than
// patience answers in a row have left out.
func (r *Roster) learn(i int, answer []Replica, keep bool) {
	now := make(map[string]known, len(answer))
	for _, other := range answer {
		now[other.ID] = known{Replica: other}
	}
	r.mu.Lock()
	for id, other := range r.seen[i] {
		other.missed++
		if _, named := now[id]; !named && keep && other.missed < patience {
			now[id] = other
		}
	}
	r.seen[i] = now
	r.mu.Unlock()
	r.telling.Lock()
	defer r.telling.Unlock()
	if now := r.Live(); now != r.told && r.changed != nil {
		r.told = now
		r.changed(now)
	}
}
