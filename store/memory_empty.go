package store

import (
	"context"
	"slices"
	"time"
)

// removable returns the events whose bodies may be removed, those that were received
// first at the beginning.
func (m memoryInbox) removable(before time.Time) (all []*memoryEvent) {
	for _, e := range m.events {
		needed := slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return isUnfinished(d.State) || !d.Due.Before(before) })
		if e.event.Emptied.IsZero() && e.event.Size > 0 && e.event.Received.Before(before) && !needed {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *memoryEvent) int { return a.event.Received.Compare(b.event.Received) })
	return all
}

func (m memoryInbox) Empty(_ context.Context, before time.Time, bytes int64, n int) (emptied int, freed int64, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.removable(before) {
		if emptied == n || bytes > 0 && freed >= bytes {
			break
		}
		e.event.Emptied, e.event.Header, e.event.Body = time.Now(), nil, nil
		emptied, freed = emptied+1, freed+int64(e.event.Size)
	}
	return emptied, freed, nil
}

func (m memoryInbox) Finished(context.Context) (n int64, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.event.Emptied.IsZero() && !slices.ContainsFunc(e.deliveries, func(d *memoryDelivery) bool { return isUnfinished(d.State) }) {
			n += int64(e.event.Size)
		}
	}
	return n, nil
}
