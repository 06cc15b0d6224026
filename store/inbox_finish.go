package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// finishing is a claimed delivery that is moved on, and what came of it.
type finishing struct {
	lease queue.Lease
	move  inbound.Move
	made  bool
	stale bool
}

func (s inbox) Finish(ctx context.Context, l queue.Lease, m inbound.Move) error {
	if !inbound.Legal(inbound.Processing, m.To) {
		return errIllegal(inbound.Processing, m.To)
	}
	f := &finishing{lease: l, move: m}
	err := s.submit(ctx, &op{finish: f})
	if err == nil && f.stale {
		return queue.ErrStale
	}
	return err
}

// step is the move that is made at now.
func (f *finishing) step(now time.Time) step {
	m := &f.move
	return step{f.lease.Key, f.lease.Token + 1, inbound.Transition{
		At: now, From: inbound.Processing, To: m.To, Attempt: m.Attempt, Status: m.Status, Took: m.Took, Reason: m.Reason, Detail: m.Detail,
	}}
}

func (f *finishing) due(now time.Time) time.Time {
	if f.move.To.Open() {
		return f.move.Due
	}
	return now
}

// finishSome moves deliveries on that have no lane and whose lease holds. It leaves
// out the others.
var finishSome = rowsSQL{
	"UPDATE OR FAIL deliveries SET state = v.column4, due = v.column5, fence = fence + 1, attempt = v.column6, wait = v.column7, reason = v.column8 FROM (VALUES ",
	"(?, ?, ?, ?, ?, ?, ?, ?)",
	") AS v WHERE deliveries.id = v.column1 AND deliveries.fence = v.column2 AND deliveries.standing = v.column3 AND deliveries.state = 'processing' AND deliveries.lane = '' RETURNING id, target",
}

// finishAll moves deliveries on: those without a lane together, then the others.
func (t *tx) finishAll(all []*finishing) error {
	now := time.Now()
	byID := make(map[int64]*finishing, len(all))
	first := make([]*finishing, 0, len(all))
	for _, f := range all {
		f.made, f.stale = false, false
		if byID[f.lease.Key] == nil { // of two moves of one delivery, the second is late
			byID[f.lease.Key], first = f, append(first, f)
		}
	}
	_, err := t.rows(&finishSome, len(first), func(to []any, i int) []any {
		f := first[i]
		m := &f.move
		return append(to, f.lease.Key, f.lease.Token, m.Stand, string(m.To), f.due(now).UnixMicro(), m.Attempt, m.Wait.Microseconds(), m.Reason)
	}, func(r *sql.Rows) error {
		var id int64
		var target string
		err := r.Scan(&id, &target)
		if f := byID[id]; err == nil {
			f.made = true
			t.count(target, inbound.Processing, -1)
			t.count(target, f.move.To, 1)
		}
		return err
	})
	if err != nil {
		return err
	}
	trail := make([]step, 0, len(first))
	for _, f := range first {
		if f.made {
			trail = append(trail, f.step(now))
		}
	}
	if err := t.trail(trail...); err != nil {
		return err
	}
	for _, f := range all {
		if f.made {
			continue
		}
		if err := t.finish(f); err != nil {
			return err
		}
	}
	return nil
}

// finish moves one delivery on, and what depends on it in its lane.
func (t *tx) finish(f *finishing) error {
	r, held, err := t.leased(f.lease)
	if f.stale = !held; err != nil || f.stale {
		return err
	}
	now, m := time.Now(), &f.move
	if err := t.move(r, f.step(now).Transition, f.due(now).UnixMicro(), m.Wait, ""); err != nil {
		return err
	}
	if m.To == inbound.Applied {
		if err := t.reach(r, m.Reached); err != nil {
			return err
		}
	}
	if err := t.stand(r, m.Stand); err != nil {
		return err
	}
	return t.settle(r.lane, now.UnixMicro())
}
