package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

func (s inbox) Groups(ctx context.Context, f inbound.Filter) (groups []inbound.Group, err error) {
	conditions, args := where(&f)
	rows, err := s.read.QueryContext(ctx, `SELECT g.webhook, g.type, g.misfit, g.n, g.first, g.last, x.id, coalesce((
  SELECT d.reason FROM deliveries d WHERE d.id BETWEEN g.seq * 256 AND g.seq * 256 + 255 AND d.state = 'quarantined' ORDER BY d.id LIMIT 1), '')
FROM (SELECT e.webhook, e.type, e.misfit, count(*) AS n, min(e.received) AS first, max(e.received) AS last, max(e.seq) AS seq
  FROM events e INDEXED BY events_misfit WHERE e.misfit <> '' AND `+conditions+`
  AND EXISTS (SELECT 1 FROM deliveries d WHERE d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 AND +d.state = 'quarantined')
  GROUP BY e.webhook, e.type, e.misfit ORDER BY n DESC, last DESC LIMIT ?) g JOIN events x ON x.seq = g.seq ORDER BY g.n DESC, g.last DESC`, append(args, inbound.MaxPage)...)
	if err != nil {
		return nil, fmt.Errorf("group events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var g inbound.Group
		var first, last int64
		if err := rows.Scan(&g.Webhook, &g.Type, &g.Misfit, &g.Count, &first, &last, &g.Example, &g.Reason); err != nil {
			return nil, fmt.Errorf("group events: %w", err)
		}
		g.First, g.Last = fromMicro(first), fromMicro(last)
		groups = append(groups, g)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("group events: %w", err)
	}
	return groups, nil
}

func (s postgresInbox) Groups(ctx context.Context, f inbound.Filter) (groups []inbound.Group, err error) {
	all, deliveries := pgConditions(&f)
	for _, d := range append(deliveries, condition{"d.state = 'quarantined'", nil}) {
		all = append(all, d.ofEach())
	}
	conditions, args := joined(all)
	err = s.look(ctx, func(r pgx.Rows) error {
		var g inbound.Group
		err := r.Scan(&g.Webhook, &g.Type, &g.Misfit, &g.Count, &g.First, &g.Last, &g.Example, &g.Reason)
		for _, text := range []*string{&g.Webhook, &g.Type, &g.Misfit, &g.Example, &g.Reason} {
			*text = unescaped(*text)
		}
		groups = append(groups, g)
		return err
	}, numbered(`SELECT g.webhook, g.type, g.misfit, g.n, g.first, g.last, x.id, coalesce((
  SELECT d.reason FROM postern_deliveries d WHERE d.id BETWEEN g.seq * 512 AND g.seq * 512 + 511 AND d.state = 'quarantined' ORDER BY d.id LIMIT 1), '')
FROM (SELECT e.webhook, e.type, e.misfit, count(*) AS n, min(e.received) AS first, max(e.received) AS last, max(e.seq) AS seq
  FROM postern_events e WHERE e.misfit <> '' AND `+conditions+`
  GROUP BY e.webhook, e.type, e.misfit ORDER BY n DESC, last DESC LIMIT ?) g JOIN postern_events x ON x.seq = g.seq ORDER BY g.n DESC, g.last DESC`), append(args, inbound.MaxPage)...)
	if err != nil {
		return nil, fmt.Errorf("group events: %w", err)
	}
	return groups, nil
}

func (m memoryInbox) Groups(_ context.Context, f inbound.Filter) ([]inbound.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct{ webhook, kind, misfit string }
	groups := map[key]*inbound.Group{}
	for _, seq := range slices.Sorted(maps.Keys(m.events)) {
		e := m.events[seq]
		held := slices.IndexFunc(e.deliveries, func(d *memoryDelivery) bool { return d.State == inbound.Quarantined })
		if held < 0 || e.event.Misfit == "" || !e.matches(&f) {
			continue
		}
		k := key{e.event.Webhook, e.event.Type, e.event.Misfit}
		g := groups[k]
		if g == nil {
			g = &inbound.Group{Webhook: k.webhook, Type: k.kind, Misfit: k.misfit, First: e.event.Received}
			groups[k] = g
		}
		g.Count++
		g.First, g.Last = firstOf(g.First, e.event.Received), lastOf(g.Last, e.event.Received)
		g.Example, g.Reason = e.event.ID, e.deliveries[held].Reason
	}
	var out []inbound.Group
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b inbound.Group) int { return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last)) })
	return out[:min(len(out), inbound.MaxPage)], nil
}

func firstOf(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func lastOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
