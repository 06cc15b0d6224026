package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// markColumns are what scanMark reads.
const markColumns = "seen, seen_event, applied, applied_event, state"

// scanMark reads a mark; the zero one if there is none.
func scanMark(scan func(...any) error, more ...any) (m inbound.Mark, err error) {
	err = scan(append([]any{&m.Seen, &m.SeenEvent, &m.Applied, &m.AppliedEvent, &m.State}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return m, err
}

// raiseMark raises a mark by ranks that are not under it, see [inbound.Rank.Raised].
// One that is over begins anew.
const raiseMark = `INSERT INTO marks (lane, seen, seen_event, applied, applied_event, state, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (lane) DO UPDATE SET
  seen_event = CASE WHEN until <= ?8 OR excluded.seen <> '' AND (substr(seen, 1, 1) <> substr(excluded.seen, 1, 1) OR excluded.seen > seen) THEN excluded.seen_event ELSE seen_event END,
  seen = CASE WHEN until <= ?8 OR excluded.seen <> '' AND (substr(seen, 1, 1) <> substr(excluded.seen, 1, 1) OR excluded.seen > seen) THEN excluded.seen ELSE seen END,
  applied_event = CASE WHEN until <= ?8 OR excluded.applied <> '' AND (substr(applied, 1, 1) <> substr(excluded.applied, 1, 1) OR excluded.applied > applied) THEN excluded.applied_event ELSE applied_event END,
  applied = CASE WHEN until <= ?8 OR excluded.applied <> '' AND (substr(applied, 1, 1) <> substr(excluded.applied, 1, 1) OR excluded.applied > applied) THEN excluded.applied ELSE applied END,
  state = CASE WHEN until <= ?8 OR excluded.state <> '' THEN excluded.state ELSE state END,
  until = max(until, excluded.until)
RETURNING ` + markColumns

// raise raises the mark of a lane and returns it as it is then.
func (t *tx) raise(l lane, up inbound.Mark, keep time.Duration) (m inbound.Mark, err error) {
	now := time.Now()
	err = t.each(func(r *sql.Rows) (err error) { m, err = scanMark(r.Scan); return err }, raiseMark,
		laneKey(l.target, l.name), string(up.Seen), up.SeenEvent, string(up.Applied), up.AppliedEvent, up.State, now.Add(keep).UnixMicro(), now.UnixMicro())
	return m, err
}

// reached is the mark that an applied delivery raises a lane's by.
func reached(r *inbound.Reached, event string) inbound.Mark {
	m := inbound.Mark{Seen: r.Rank, Applied: r.Rank, State: r.State}
	if r.Rank != "" {
		m.SeenEvent, m.AppliedEvent = event, event
	}
	return m
}

// ranked has an event that is older than another of its lane begin as ignored, and
// raises the mark otherwise.
func (t *tx) ranked(a *inbound.Arrival, p inbound.Placement) (inbound.Placement, error) {
	e := a.Event
	if e.Rank == "" || e.Lane == "" || !p.State.Open() {
		return p, nil
	}
	m, err := t.raise(lane{p.Target, e.Lane}, inbound.Mark{Seen: e.Rank, SeenEvent: e.ID}, a.Keep)
	if m.Seen.Over(e.Rank) {
		a.Old++
		p.State, p.Reason = inbound.Ignored, inbound.StaleReason(m.SeenEvent)
	}
	return p, err
}

// reach raises the mark of the lane of a delivery that is applied.
func (t *tx) reach(r row, up *inbound.Reached) error {
	if up == nil || r.lane.name == "" {
		return nil
	}
	var event string
	err := t.each(func(rows *sql.Rows) error { return rows.Scan(&event) }, "SELECT id FROM events WHERE seq = ?", r.id/perEvent)
	if err != nil {
		return err
	}
	_, err = t.raise(r.lane, reached(up, event), up.Keep)
	return err
}

const pruneMarks = "DELETE FROM marks WHERE lane IN (SELECT lane FROM marks WHERE until <= ? LIMIT ?)"

// maintainMarks forgets those that were to be kept until now.
func (s *SQLite) maintainMarks(ctx context.Context) error {
	if err := s.prune(ctx, pruneMarks, time.Now().UnixMicro()); err != nil {
		return fmt.Errorf("forget old marks of lanes: %w", err)
	}
	return nil
}
