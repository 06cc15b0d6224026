package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// ofEvent are the deliveries of the event e. There are never more; that is said
// for the planner, which takes a range for a large part of the table.
const ofEvent = "(SELECT * FROM postern_deliveries WHERE id BETWEEN e.seq * 512 AND e.seq * 512 + 511 LIMIT 512)"

func (s postgresInbox) List(ctx context.Context, f inbound.Filter) (page inbound.Page, err error) {
	events, next, err := s.page(ctx, &f)
	if err != nil {
		return page, err
	}
	records := make([]*inbound.Record, len(events))
	for i, e := range events {
		records[i] = &inbound.Record{Event: e.Event}
	}
	if err := s.deliveries(ctx, events, records); err != nil {
		return page, err
	}
	for _, r := range records {
		page.Events = append(page.Events, *r)
	}
	page.Next = next
	return page, nil
}

// deliveries fills in where the deliveries of events stand.
func (p *Postgres) deliveries(ctx context.Context, events []*pgEvent, records []*inbound.Record) error {
	if len(events) == 0 {
		return nil
	}
	seqs, at := make([]int64, len(events)), map[int64]*inbound.Record{}
	for i, e := range events {
		seqs[i], at[e.seq] = e.seq, records[i]
	}
	err := p.look(ctx, func(r pgx.Rows) error {
		var id int64
		var waiting bool
		var d inbound.DeliveryStatus
		if err := r.Scan(&id, &d.Target, &d.State, &d.Origin, &d.Attempt, &d.Due, &waiting, &d.Reason, &d.Stand); err != nil {
			return err
		}
		d.Target, d.Reason = unescaped(d.Target), unescaped(d.Reason)
		if waiting {
			d.Due = time.Time{}
		}
		of := at[id/perSeq]
		of.Deliveries = append(of.Deliveries, d)
		return nil
	}, `SELECT d.id, d.target, d.state, d.origin, d.attempt, d.due, d.waiting, d.reason, d.standing
FROM unnest($1::bigint[]) AS e(seq) CROSS JOIN LATERAL `+ofEvent+` d ORDER BY d.id`, seqs)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	for _, r := range records {
		var states []inbound.State
		for _, d := range r.Deliveries {
			states = append(states, d.State)
		}
		r.Status = inbound.Status(states)
	}
	return nil
}

// find reads one event with its headers and its body; unread says why those are
// not there.
func (p *Postgres) find(ctx context.Context, id string) (e *pgEvent, unread, err error) {
	err = p.read(ctx, func(r pgx.Rows) error {
		e = &pgEvent{}
		fields, set := e.into()
		err := r.Scan(fields...)
		set()
		return err
	}, "SELECT "+pgEventColumns+" FROM postern_events e WHERE e.id = $1", escaped(id))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read event %s: %w", id, err)
	case e == nil:
		return nil, nil, inbound.ErrNotFound
	}
	missing, err := p.bodies(ctx, []*pgEvent{e})
	if err != nil {
		return nil, nil, fmt.Errorf("read event %s: %w", id, err)
	}
	return e, missing[e.seq], nil
}

func (s postgresInbox) Body(ctx context.Context, id string) (*inbound.Event, error) {
	e, unread, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if unread != nil {
		return nil, fmt.Errorf("read event %s: %w", id, unread)
	}
	if !e.Emptied.IsZero() || len(e.Body) == 0 && e.Size > 0 { // it may have gone while it was read
		return nil, fmt.Errorf("read event %s: %w", id, inbound.ErrEmptied)
	}
	return &e.Event, nil
}

func (s postgresInbox) Show(ctx context.Context, id string) (*inbound.Record, error) {
	e, _, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	e.Body = nil
	r := &inbound.Record{Event: e.Event}
	if err := s.deliveries(ctx, []*pgEvent{e}, []*inbound.Record{r}); err != nil {
		return nil, err
	}
	return r, s.trail(ctx, e, r)
}

// trail fills in the audit trail of an event, by delivery in the order of the
// fence: that order is right whatever the clock did.
func (p *Postgres) trail(ctx context.Context, e *pgEvent, r *inbound.Record) error {
	err := p.read(ctx, func(rows pgx.Rows) error {
		t := inbound.Transition{Event: r.ID, Webhook: r.Webhook, Received: r.Received}
		var delivery, took int64
		if err := rows.Scan(&delivery, &t.At, &t.From, &t.To, &t.Attempt, &t.Status, &took, &t.Reason, &t.Detail, &t.By, &t.Replica); err != nil {
			return err
		}
		for _, text := range []*string{&t.Reason, &t.Detail, &t.By, &t.Replica} {
			*text = unescaped(*text)
		}
		t.Took = time.Duration(took) * time.Microsecond
		if n := delivery % perEvent; n < int64(len(r.Deliveries)) {
			t.Target = r.Deliveries[n].Target
		}
		r.Trail = append(r.Trail, t)
		return nil
	}, `SELECT delivery, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica
FROM postern_trail WHERE delivery BETWEEN $1::bigint * 512 AND $1::bigint * 512 + 511 ORDER BY delivery, fence`, e.seq)
	if err != nil {
		return fmt.Errorf("read the trail of event %s: %w", r.ID, err)
	}
	return nil
}

// statsCache spares a database with a long backlog: counts that took long to
// make are told again for a while.
type statsCache struct {
	sync.Mutex
	stats []inbound.Stat
	until time.Time
}

// statsSQL counts what is open, which is little, by the three indexes that it stands
// in as [pgOpen] does, and adds up what was counted when it was closed.
const statsSQL = `
SELECT split_part(target, '/', 1) AS webhook, target, state, sum(n)::bigint, (SELECT e.received FROM postern_events e WHERE e.seq = min(first) / 512) FROM (
  SELECT target, state, count(*) AS n, min(id) AS first FROM postern_deliveries
  WHERE state IN ('received', 'retrying', 'processing') AND NOT waiting GROUP BY target, state
  UNION ALL
  SELECT target, state, count(*), min(id) FROM postern_deliveries
  WHERE state IN ('received', 'retrying', 'processing') AND waiting AND lane IS NOT NULL AND standing = 0 GROUP BY target, state
  UNION ALL
  SELECT target, state, count(*), min(id) FROM postern_deliveries
  WHERE state IN ('received', 'retrying', 'processing') AND waiting AND lane IS NOT NULL AND standing <> 0 GROUP BY target, state
) o GROUP BY 1, 2, 3
UNION ALL
SELECT webhook, '', state, sum(n)::bigint, NULL FROM postern_tally GROUP BY webhook, state HAVING sum(n) > 0`

func (s postgresInbox) Stats(ctx context.Context) ([]inbound.Stat, error) {
	c := &s.stats
	c.Lock()
	defer c.Unlock()
	start := time.Now()
	if start.Before(c.until) {
		return c.stats, nil
	}
	var out []inbound.Stat
	err := s.look(ctx, func(r pgx.Rows) error {
		var st inbound.Stat
		var oldest *time.Time
		if err := r.Scan(&st.Webhook, &st.Target, &st.State, &st.Count, &oldest); err != nil {
			return err
		}
		if oldest != nil {
			st.Oldest = *oldest
		}
		out = append(out, st)
		return nil
	}, statsSQL)
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	if took := time.Since(start); took > 100*time.Millisecond {
		c.stats, c.until = out, time.Now().Add(20*took)
	}
	return out, nil
}
