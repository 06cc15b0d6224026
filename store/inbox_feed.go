package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// mark is how far somebody is who follows what happens: the last event, and the
// last move.
type mark struct{ seq, at, delivery, fence int64 }

func (m *mark) parts() []*int64 { return []*int64{&m.seq, &m.at, &m.delivery, &m.fence} }

func (m mark) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", m.seq, m.at, m.delivery, m.fence)
}

// readMark reads a cursor.
func readMark(cursor string) (m mark, err error) {
	words := strings.Split(cursor, ".")
	parts := m.parts()
	if len(words) != len(parts) {
		return m, inbound.ErrCursor
	}
	for i, w := range words {
		if *parts[i], err = strconv.ParseInt(w, 10, 64); err != nil {
			return m, inbound.ErrCursor
		}
	}
	return m, nil
}

const (
	feedNow = `SELECT (SELECT coalesce(max(seq), 0) FROM events), at, delivery, fence FROM (
  SELECT at, delivery, fence FROM transitions ORDER BY at DESC, delivery DESC, fence DESC LIMIT 1)
UNION ALL SELECT (SELECT coalesce(max(seq), 0) FROM events), 0, 0, 0 LIMIT 1`

	feedEvents = "SELECT " + eventColumns + " FROM events e WHERE e.seq > ? ORDER BY e.seq LIMIT ?"

	feedMoves = "SELECT " + eventColumns + `, d.target, t.at, t.delivery, t.fence, t.from_state, t.to_state, t.attempt, t.status, t.took, t.reason, t.detail, t.actor, t.replica
FROM transitions t JOIN deliveries d ON d.id = t.delivery JOIN events e ON e.seq = t.delivery / 256
WHERE t.at >= ? AND (t.at, t.delivery, t.fence) > (?, ?, ?) ORDER BY t.at, t.delivery, t.fence LIMIT ?`
)

// Feed reads events in the order of their seq, which is that of the commits, and
// moves by the clock: there is one writer.
func (s inbox) Feed(ctx context.Context, cursor string, n int) (page inbound.Notices, err error) {
	if cursor == "" {
		var m mark
		if err := s.read.QueryRowContext(ctx, feedNow).Scan(&m.seq, &m.at, &m.delivery, &m.fence); err != nil {
			return page, fmt.Errorf("look for what happened last: %w", err)
		}
		return inbound.Notices{Next: m.String()}, nil
	}
	m, err := readMark(cursor)
	if err != nil {
		return page, err
	}
	view, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment for all that follows
	if err != nil {
		return page, fmt.Errorf("read what happened: %w", err)
	}
	defer func() { _ = view.Rollback() }()
	if err = feedNew(ctx, view, &page, &m, n); err == nil {
		err = feedMoved(ctx, view, &page, &m, len(page.All) == n, n)
	}
	if err != nil {
		return inbound.Notices{}, fmt.Errorf("read what happened: %w", err)
	}
	inOrderOfTime(page.All)
	page.Next = m.String()
	return page, nil
}

func feedNew(ctx context.Context, view *sql.Tx, page *inbound.Notices, m *mark, n int) error {
	rows, err := view.QueryContext(ctx, feedEvents, m.seq, n)
	if err != nil {
		return err
	}
	defer rows.Close()
	var seqs []int64
	for rows.Next() {
		var e inbound.Notice
		if err := scanEvent(rows.Scan, &e.Event, &m.seq); err != nil {
			return err
		}
		page.All, seqs = append(page.All, e), append(seqs, m.seq)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i, seq := range seqs {
		if err := deliveriesOf(ctx, view, &page.All[i].Record, seq); err != nil {
			return err
		}
	}
	return nil
}

// feedMoved adds the moves; where there are more new events than n it leaves those
// of an event that was not told of yet for later.
func feedMoved(ctx context.Context, view *sql.Tx, page *inbound.Notices, m *mark, full bool, n int) error {
	rows, err := view.QueryContext(ctx, feedMoves, m.at, m.at, m.delivery, m.fence, n)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e inbound.Notice
		var seq, took int64
		to := &inbound.Transition{}
		at := *m
		if err := scanEvent(rows.Scan, &e.Event, &seq, &to.Target, &at.at, &at.delivery, &at.fence, &to.From, &to.To, &to.Attempt, &to.Status, &took, &to.Reason, &to.Detail, &to.By, &to.Replica); err != nil {
			return err
		}
		if full && seq > m.seq {
			break
		}
		*m = at
		to.Event, to.Webhook, to.Received, to.At, to.Took = e.ID, e.Webhook, e.Received, fromMicro(at.at), time.Duration(took)*time.Microsecond
		e.Move = to
		page.All = append(page.All, e)
	}
	return rows.Err()
}

// inOrderOfTime merges new events and moves. An event comes before its moves,
// whatever the clock did.
func inOrderOfTime(all []inbound.Notice) {
	told := map[string]time.Time{}
	for i := range all {
		if n := &all[i]; n.Move == nil {
			told[n.ID] = n.Received
		}
	}
	at := func(n *inbound.Notice) time.Time {
		if first := told[n.ID]; n.Move != nil && n.Move.At.Before(first) {
			return first
		}
		return n.At()
	}
	slices.SortStableFunc(all, func(a, b inbound.Notice) int { return cmp.Compare(at(&a).UnixMicro(), at(&b).UnixMicro()) })
}
