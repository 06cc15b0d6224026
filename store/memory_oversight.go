package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound/oversight"
)

type memoryOversight struct{ *Memory }

type memoryWatch struct {
	value []byte
	token string
	until time.Time
}

// memoryListed is what lists have said of an event.
type memoryListed struct {
	how    string
	listed int64     // the page that first named it, 0 for none yet
	late   time.Time // when it was
}

func (m memoryOversight) Take(_ context.Context, w oversight.Watch, token string, lease time.Duration) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.watches[w]
	if k == nil {
		k = &memoryWatch{}
		m.watches[w] = k
	}
	now := time.Now()
	ok := k.token == token || !k.until.After(now)
	if ok {
		k.token, k.until = token, now.Add(lease)
	}
	return slices.Clone(k.value), ok, nil
}

func (m memoryOversight) Keep(_ context.Context, w oversight.Watch, token string, value []byte, lease time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.watches[w]
	if k == nil || k.token != token {
		return fmt.Errorf("keep the %s of webhook %q: %w", w.Kind, w.Webhook, oversight.ErrLease)
	}
	if len(value) == 0 && lease == 0 {
		delete(m.watches, w)
	}
	k.value, k.until = slices.Clone(value), time.Now().Add(lease)
	return nil
}

func (m memoryOversight) Watches(_ context.Context, kind string) (all []oversight.Row, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w, k := range m.watches {
		if w.Kind == kind {
			all = append(all, oversight.Row{Watch: w, Value: some(slices.Clone(k.value)), Busy: k.until.After(time.Now())})
		}
	}
	slices.SortFunc(all, func(a, b oversight.Row) int {
		return cmp.Or(cmp.Compare(a.Webhook, b.Webhook), cmp.Compare(a.Account, b.Account))
	})
	return all, nil
}

func (m memoryOversight) Known(_ context.Context, webhook string, keys []oversight.Key) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, len(keys))
	for i, k := range keys {
		if seqs := m.keys[memoryKey{webhook, k.Account, k.EventID}]; len(seqs) > 0 {
			ids[i] = m.events[seqs[0]].event.ID
		} else if past := m.past[memoryKey{webhook, k.Account, k.EventID}]; len(past) > 0 {
			ids[i] = past[0].id
		}
	}
	return ids, nil
}

func (m memoryOversight) Name(_ context.Context, page int64, ids []string) ([]oversight.Named, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]oversight.Named, len(ids))
	for i, id := range ids {
		seq, ok := m.ids[id]
		if !ok {
			continue
		}
		l := m.listed[seq]
		all[i] = oversight.Named{First: l.listed == 0 || l.listed == page, Backfilled: m.events[seq].event.Proof.Backfilled()}
		l.how = "received"
		if all[i].First {
			l.listed = page
		}
		if all[i].Backfilled {
			l.how = "backfilled"
		}
		m.listed[seq] = l
	}
	return all, nil
}

func (m memoryOversight) Late(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq, ok := m.ids[id]; ok && m.listed[seq].late.IsZero() {
		m.listed[seq] = memoryListed{how: "backfilled", listed: m.listed[seq].listed, late: time.Now()}
	}
	return nil
}

func (m memoryOversight) LateSince(_ context.Context, webhook, account string, after time.Time, grace time.Duration) (n int, until time.Time, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	until = time.Now().Add(-grace)
	for seq, l := range m.listed {
		e := &m.events[seq].event
		if e.Webhook == webhook && (account == "" || e.Account == account) && !l.late.IsZero() && l.late.After(after) && !l.late.After(until) {
			n++
		}
	}
	return n, until, nil
}

func (m memoryOversight) Unnamed(_ context.Context, webhook string, since time.Time, each func(oversight.Seen)) error {
	var all []oversight.Seen
	m.mu.Lock()
	for _, me := range slices.Backward(m.order) {
		e := &me.event
		if _, named := m.listed[me.seq]; named || e.Webhook != webhook || e.Variant != 1 || e.Items > 0 || e.Received.Before(since) {
			continue
		}
		s := oversight.Seen{ID: e.ID, Type: e.Type, Account: e.Account, At: e.Received, Backfilled: e.Proof.Backfilled()}
		if !e.Occurred.IsZero() {
			s.At = e.Occurred
		}
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		each(s)
	}
	return nil
}

func (m memoryOversight) Unknown(_ context.Context, ids []string) (n int, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		seq, ok := m.ids[id]
		if _, named := m.listed[seq]; ok && !named {
			m.listed[seq] = memoryListed{how: "unknown"}
			n++
		}
	}
	return n, nil
}

func (m memoryOversight) Tally(context.Context) (map[string]oversight.Tally, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]oversight.Tally{}
	one := map[bool]int{true: 1}
	for seq, l := range m.listed {
		webhook := m.events[seq].event.Webhook
		t := all[webhook]
		counted(&t, l.how, 1, one[l.listed > 0], one[!l.late.IsZero()])
		all[webhook] = t
	}
	return all, nil
}
