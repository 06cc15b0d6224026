package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// index knows which dead letters wait for a person or are sent again, so that a call that succeeds
// costs nothing where there are none. Those of other processes are known after a
// few seconds; until then a later call does not supersede them.
type index struct {
	open atomic.Int64 // how many there are
	mu   sync.Mutex
	by   map[string]map[string]bool // digest of a key or print -> ids
	of   map[string]Mark            // by id
}

// indexed is how many of them are known at most: beyond it the oldest are not
// superseded by themselves.
const indexed = 10000

// refreshEvery is how often the store is asked for those of other processes.
const refreshEvery = 5 * time.Second

func (i *index) add(m Mark) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.put(m)
}

// put adds m. Called with mu held.
func (i *index) put(m Mark) {
	if i.of == nil {
		i.of, i.by = map[string]Mark{}, map[string]map[string]bool{}
	}
	if _, known := i.of[m.ID]; known {
		return
	}
	i.of[m.ID] = m
	for _, d := range [][]byte{m.Key, m.Print} {
		if len(d) == 0 {
			continue
		}
		if i.by[string(d)] == nil {
			i.by[string(d)] = map[string]bool{}
		}
		i.by[string(d)][m.ID] = true
	}
	i.open.Store(int64(len(i.of)))
}

func (i *index) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m, known := i.of[id]
	if !known {
		return
	}
	delete(i.of, id)
	for _, d := range [][]byte{m.Key, m.Print} {
		if delete(i.by[string(d)], id); len(i.by[string(d)]) == 0 {
			delete(i.by, string(d))
		}
	}
	i.open.Store(int64(len(i.of)))
}

// replace makes marks all that are known, and keeps those that were added since.
func (i *index) replace(marks []Mark, since time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := i.of
	i.of, i.by = map[string]Mark{}, map[string]map[string]bool{}
	for _, m := range marks {
		i.put(m)
	}
	for _, m := range before {
		if m.Created.After(since) {
			i.put(m)
		}
	}
	i.open.Store(int64(len(i.of)))
}

// same lists the dead letters that a call with this key, or with this print no
// earlier than since, is the repeat of.
func (i *index) same(key, print []byte, since time.Time) (ids []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id := range i.by[string(key)] {
		if len(key) > 0 {
			ids = append(ids, id)
		}
	}
	for id := range i.by[string(print)] {
		if !i.of[id].Created.Before(since) && !(len(key) > 0 && i.by[string(key)][id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// waiting reports whether a provider has any.
func (i *index) waiting(provider string) bool {
	if i.open.Load() == 0 {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, m := range i.of {
		if m.Provider == provider {
			return true
		}
	}
	return false
}

// refresh asks the store which dead letters are open, now and again until ctx
// ends.
func (o *Outbox) refresh(ctx context.Context) {
	for {
		began := time.Now()
		marks, err := o.opt.Store.Marks(ctx, indexed)
		if err == nil {
			o.index.replace(marks, began)
		} else if ctx.Err() == nil {
			o.opt.Observer.trouble("reading which dead letters are open", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(refreshEvery):
		}
	}
}
