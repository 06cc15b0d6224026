package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/outbox"
)

// page returns the calls that match, the newest first.
func (m memoryOutbox) page(f *outbox.Filter) (all []*memoryCall) {
	for _, c := range slices.Backward(m.outbox.order) {
		if c.matches(f) {
			all = append(all, c)
		}
	}
	return all
}

func (c *memoryCall) matches(f *outbox.Filter) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, c.ID)) &&
		(len(f.Providers) == 0 || slices.Contains(f.Providers, c.Provider)) &&
		(f.Kind == "" || f.Kind == c.Kind) &&
		(f.Of == "" || f.Of == c.Of) &&
		(f.Account == "" || f.Account == c.Account) &&
		(f.Client == "" || f.Client == c.Client) &&
		(f.State == "" || f.State == c.State) &&
		(f.Outcome == "" || f.Outcome == c.Outcome) &&
		(f.Since.IsZero() || !c.Created.Before(f.Since)) &&
		(f.Until.IsZero() || c.Created.Before(f.Until)) &&
		(f.Error == "" || strings.Contains(strings.ToLower(c.Reason), strings.ToLower(f.Error)))
}

func (m memoryOutbox) List(_ context.Context, f outbox.Filter) (p outbox.Page, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.next + 1
	if f.Cursor != "" {
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
			return p, outbox.ErrCursor
		}
	}
	var last int64
	for _, c := range m.page(&f) {
		if c.seq >= before {
			continue
		}
		if len(p.Calls) == f.PageSize() {
			p.Next = strconv.FormatInt(last, 10)
			break
		}
		p.Calls, last = append(p.Calls, c.read()), c.seq
	}
	return p, nil
}

func (m memoryOutbox) Count(_ context.Context, f outbox.Filter) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.page(&f)), nil
}

func (m memoryOutbox) Show(_ context.Context, id string) (*outbox.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.outbox.ids[id]
	if c == nil {
		return nil, outbox.ErrNotFound
	}
	r := &outbox.Record{Call: c.read(), Trail: slices.Clone(c.trail)}
	r.Request, r.Result = bytes.Clone(c.Request), bytes.Clone(c.Result)
	return r, nil
}

func (m memoryOutbox) Stats(context.Context) (all []outbox.Stat, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[outbox.Stat]int{}
	for _, c := range m.outbox.calls {
		counts[outbox.Stat{Provider: c.Provider, Kind: c.Kind, State: c.State}]++
	}
	for st, n := range counts {
		st.Count = n
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b outbox.Stat) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.State, b.State))
	})
	return all, nil
}

func (m memoryOutbox) Marks(_ context.Context, limit int) (all []outbox.Mark, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.page(&outbox.Filter{Kind: outbox.DeadLetter}) {
		if (c.State.Waits() || c.State.Open()) && len(all) < limit {
			all = append(all, outbox.Mark{ID: c.ID, Provider: c.Provider, Key: c.Key, Print: c.Print, Created: c.Created})
		}
	}
	return all, nil
}

func (m memoryOutbox) Heads(context.Context) (map[string]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]int{}
	for _, c := range m.outbox.calls {
		if len(c.Request) > 0 && (c.State.Open() || c.State.Waits()) {
			all[string(c.Request[:min(5, len(c.Request))])]++
		}
	}
	return all, nil
}

func (m memoryOutbox) Prune(_ context.Context, before time.Time, n int) (deleted int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outbox.order = slices.DeleteFunc(m.outbox.order, func(c *memoryCall) bool {
		if deleted == n || c.State.Open() || !c.Changed.Before(before) {
			return false
		}
		deleted++
		delete(m.outbox.calls, c.seq)
		delete(m.outbox.ids, c.ID)
		delete(m.outbox.once, string(c.Once))
		return true
	})
	return deleted, nil
}
