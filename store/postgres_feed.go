package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

const (
	// feedBound is how far what happens can be read at most: the last seq that was
	// given out, and the time.
	feedBound = "SELECT last_value, clock_timestamp() FROM postern_seq"

	// feedSettled reports whether all transactions that began before a time are over,
	// so that nothing can appear before it any more. Those of other users are not
	// ours; one that lasts longer than any of ours is not waited for.
	feedSettled = `SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid() AND xact_start <= $1 AND xact_start > $1 - interval '1 minute')`

	pgFeedEvents = "SELECT " + pgEventColumns + " FROM postern_events e WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3"

	pgFeedMoves = "SELECT " + pgEventColumns + `, d.target, t.at, t.delivery, t.fence, t.from_state, t.to_state, t.attempt, t.status, t.took, t.reason, t.detail, t.actor, t.replica
FROM (
  SELECT * FROM postern_trail WHERE day >= ($1::timestamptz AT TIME ZONE 'UTC')::date - 1 AND at >= $1 AND at <= $4 AND (at, delivery, fence) > ($1, $2, $3)
  ORDER BY at, delivery, fence LIMIT $5
) t JOIN postern_deliveries d ON d.id = t.delivery JOIN postern_events e ON e.seq = t.delivery / 512
ORDER BY t.at, t.delivery, t.fence`
)

// settled returns a seq and a time up to which everything that will ever be there
// is there: it looks at the clock, and waits for the transactions of that moment.
func (p *Postgres) settled(ctx context.Context) (seq int64, at time.Time, err error) {
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&seq, &at) }, feedBound)
	for err == nil {
		var over bool
		if err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&over) }, feedSettled, at); err != nil || over {
			break
		}
		if !pause(ctx, 20*time.Millisecond) {
			err = ctx.Err()
		}
	}
	return seq, at, err
}

func (s postgresInbox) Feed(ctx context.Context, cursor string, n int) (page inbound.Notices, err error) {
	seq, at, err := s.settled(ctx)
	if err != nil {
		return page, fmt.Errorf("look for what happened last: %w", err)
	}
	if cursor == "" {
		return inbound.Notices{Next: mark{seq: seq, at: at.UnixMicro()}.String()}, nil
	}
	m, err := readMark(cursor)
	if err != nil {
		return page, err
	}
	if err = s.feedNew(ctx, &page, &m, seq, n); err == nil {
		err = s.feedMoved(ctx, &page, &m, at, len(page.All) == n, n)
	}
	if err != nil {
		return inbound.Notices{}, fmt.Errorf("read what happened: %w", err)
	}
	inOrderOfTime(page.All)
	page.Next = m.String()
	return page, nil
}

func (s postgresInbox) feedNew(ctx context.Context, page *inbound.Notices, m *mark, last int64, n int) error {
	var events []*pgEvent
	err := s.read(ctx, func(r pgx.Rows) error {
		e := &pgEvent{}
		fields, set := e.into()
		err := r.Scan(fields...)
		set()
		events = append(events, e)
		return err
	}, pgFeedEvents, m.seq, last, n)
	if err != nil {
		return err
	}
	records := make([]*inbound.Record, len(events))
	for i, e := range events {
		records[i] = &inbound.Record{Event: e.Event}
	}
	if err := s.deliveries(ctx, events, records); err != nil {
		return err
	}
	for _, r := range records {
		page.All = append(page.All, inbound.Notice{Record: *r})
	}
	if m.seq = max(m.seq, last); len(events) == n {
		m.seq = events[n-1].seq
	}
	return nil
}

// feedMoved adds the moves up to a time, as feedMoved of SQLite does.
func (s postgresInbox) feedMoved(ctx context.Context, page *inbound.Notices, m *mark, until time.Time, full bool, n int) error {
	var cut bool
	last := m.seq
	return s.read(ctx, func(r pgx.Rows) error {
		e := &pgEvent{}
		to := &inbound.Transition{}
		var delivery, fence, took int64
		fields, set := e.into()
		err := r.Scan(append(fields, &to.Target, &to.At, &delivery, &fence, &to.From, &to.To, &to.Attempt, &to.Status, &took, &to.Reason, &to.Detail, &to.By, &to.Replica)...)
		if cut = cut || full && e.seq > last; err != nil || cut {
			return err
		}
		set()
		for _, text := range []*string{&to.Target, &to.Reason, &to.Detail, &to.By, &to.Replica} {
			*text = unescaped(*text)
		}
		m.at, m.delivery, m.fence = to.At.UnixMicro(), delivery, fence
		to.Event, to.Webhook, to.Received, to.Took = e.ID, e.Webhook, e.Received, time.Duration(took)*time.Microsecond
		page.All = append(page.All, inbound.Notice{Record: inbound.Record{Event: e.Event}, Move: to})
		return nil
	}, pgFeedMoves, time.UnixMicro(m.at), m.delivery, m.fence, until, n)
}
