package fallback

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/postern-proxy/postern/seal"
)

const (
	most    = 4096     // answers in memory
	room    = 64 << 20 // bytes of them
	behind  = 5 * time.Second
	atOnce  = 32 // answers that are written together
	patient = time.Second
)

// Kept is the last good answers: those in memory, and behind them those in the
// store, which outlive the process.
type Kept struct {
	mu    sync.Mutex
	known *simplelru.LRU[ID, *entry]
	bytes int
	dirty map[ID]bool // not in the store yet

	store   Store // nil while there is none
	ring    func() (*seal.Ring, error)
	trouble func(doing string, err error)
}

// entry is an answer with how long it is of use.
type entry struct {
	*answer
	until time.Time
}

// size is about what an answer takes in memory.
func (e *entry) size() int {
	n := len(e.body) + 512
	for name, values := range e.header {
		n += len(name) + 64
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// NewKept returns an empty memory without a store.
func NewKept() *Kept {
	k := &Kept{dirty: map[ID]bool{}}
	k.known, _ = simplelru.NewLRU(most, func(id ID, e *entry) { // fails for no room at all
		k.bytes -= e.size()
		delete(k.dirty, id)
	})
	return k
}

// Open gives k a store. What it keeps there is sealed by ring. trouble is told what failed in the background.
func (k *Kept) Open(s Store, ring func() (*seal.Ring, error), trouble func(doing string, err error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.store, k.ring, k.trouble = s, ring, trouble
}

// put keeps an answer instead of the one before.
func (k *Kept) put(id ID, a *answer, stale time.Duration) {
	e := &entry{a, a.at.Add(stale)}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(id, e)
	if k.store != nil && k.known.Contains(id) {
		k.dirty[id] = true
	}
}

func (k *Kept) add(id ID, e *entry) {
	k.known.Remove(id)
	k.known.Add(id, e)
	for k.bytes += e.size(); k.bytes > room; {
		k.known.RemoveOldest()
	}
}

// find returns the answer of a call, nil if there is none that is young enough.
func (k *Kept) find(ctx context.Context, id ID, stale time.Duration) *answer {
	k.mu.Lock()
	e, ok := k.known.Get(id)
	store := k.store
	k.mu.Unlock()
	if !ok && store != nil {
		var err error
		if e, err = k.fetch(ctx, store, id); err != nil {
			k.trouble("looking for an old answer", err)
		}
	}
	if e == nil {
		return nil
	}
	if age := time.Since(e.at); age > stale || age < -time.Minute { // a clock was set back
		return nil
	}
	return e.answer
}

// fetch reads an answer from the store.
func (k *Kept) fetch(ctx context.Context, s Store, id ID) (*entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient)
	defer cancel()
	row, ok, err := s.Get(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	ring, err := k.ring()
	if err != nil {
		return nil, err
	}
	plain, err := ring.Open(row.Sealed, bound(id)...)
	if err != nil {
		return nil, fmt.Errorf("open an answer: %w", err)
	}
	a, err := decode(plain)
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	e := &entry{a, row.Until}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now, ok := k.known.Peek(id); ok { // a newer one came meanwhile
		return now, nil
	}
	k.add(id, e)
	return e, nil
}

// bound is what a sealed answer belongs to.
func bound(id ID) []string { return []string{"fallback", hex.EncodeToString(id[:])} }

// Run writes what is new to the store every few seconds, each answer once however
// often it came, and once more when ctx ends.
func (k *Kept) Run(ctx context.Context) {
	tick := time.NewTicker(behind)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient)
			defer cancel()
			k.flush(last)
			return
		}
	}
}

// flush writes what is new. What cannot be written is lost there: it comes again
// with the next good answer.
func (k *Kept) flush(ctx context.Context) {
	for ctx.Err() == nil {
		rows, err := k.next()
		if len(rows) > 0 {
			err = k.store.Put(ctx, rows)
		}
		if err != nil && ctx.Err() == nil {
			k.trouble("keeping answers for when a provider is down", err)
		}
		if err != nil || len(rows) < atOnce {
			return
		}
	}
}

// next takes some answers that are not in the store yet, sealed.
func (k *Kept) next() (rows []Row, err error) {
	k.mu.Lock()
	var ids []ID
	var all []*entry
	for id := range k.dirty {
		if len(ids) == atOnce {
			break
		}
		delete(k.dirty, id)
		if e, ok := k.known.Peek(id); ok {
			ids, all = append(ids, id), append(all, e)
		}
	}
	k.mu.Unlock()
	if len(ids) == 0 {
		return nil, nil
	}
	ring, err := k.ring()
	if err != nil {
		return nil, err
	}
	for i, e := range all {
		plain, err := e.encode()
		if err != nil {
			return nil, fmt.Errorf("word an answer: %w", err)
		}
		rows = append(rows, Row{ID: ids[i], Sealed: ring.Seal(plain, bound(ids[i])...), Until: e.until})
	}
	return rows, nil
}
