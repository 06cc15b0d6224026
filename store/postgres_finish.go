package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// finish is the end of an attempt, and whether the lease held.
type finish struct {
	lease queue.Lease
	move  inbound.Move
	held  bool
	sent  bool // it may have been made without our having learnt of it
}

func (s postgresInbox) Finish(ctx context.Context, l queue.Lease, m inbound.Move) error {
	if !inbound.Legal(inbound.Processing, m.To) {
		return errIllegal(inbound.Processing, m.To)
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	f := &finish{lease: l, move: m}
	if err := s.finishes.do(ctx, len(m.Detail), f); err != nil {
		return err
	}
	if !f.held {
		return queue.ErrStale
	}
	return nil
}

// finishAll ends attempts together: first those without a lane, then the others,
// whose lanes go on; of several results of one delivery each on its own.
func (p *Postgres) finishAll(all []*change[*finish]) {
	for len(all) > 0 {
		var now [2][]*change[*finish]
		var later []*change[*finish]
		seen := map[int64]bool{}
		for _, c := range all {
			key := c.work.lease.Key
			if seen[key] {
				later = append(later, c)
				continue
			}
			seen[key] = true
			kind := 0
			if key&laned != 0 {
				kind = 1
			}
			now[kind] = append(now[kind], c)
		}
		p.finishSome(now[0], false)
		p.finishSome(now[1], true)
		all = later
	}
}

// finishSome tries again what fails for a reason that passes as long as somebody
// waits for it.
func (p *Postgres) finishSome(all []*change[*finish], lanes bool) {
	var again patience
	for len(all) > 0 {
		err := p.finishRows(all, lanes)
		switch {
		case err == nil:
			for _, c := range all {
				c.done <- nil
			}
			return
		case passes(err):
			all = wait(&again, all, err)
		case blames(err) && len(all) > 1:
			p.finishSome(all[:len(all)/2], lanes)
			all = all[len(all)/2:]
		default:
			for _, c := range all {
				c.done <- err
			}
			return
		}
	}
}

// finishSQL makes the moves of which the lease holds and returns them. Rows are
// locked in the order of their ids, here and wherever several are.
const finishSQL = `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::int[], $6::bigint[], $7::int[], $8::bigint[], $9::text[], $10::text[], $11::smallint[])
    AS i(id, fence, state, delay, attempt, wait, status, took, reason, detail, standing)
), held AS MATERIALIZED (
  SELECT d.id FROM postern_deliveries d JOIN input i ON d.id = i.id AND d.fence = i.fence WHERE d.state = 'processing' ORDER BY d.id FOR UPDATE OF d
), moved AS (
  UPDATE postern_deliveries d SET state = i.state, due = now() + i.delay * interval '1 microsecond', fence = d.fence + 1, attempt = i.attempt, wait = i.wait, reason = i.reason, standing = i.standing
  FROM held h JOIN input i ON i.id = h.id WHERE d.id = h.id AND d.fence = i.fence AND d.state = 'processing'
  RETURNING d.id, d.target
), trail AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, i.id, i.fence + 1, clock_timestamp(), 'processing', i.state, i.attempt, i.status, i.took, i.reason, i.detail, '', $12 FROM input i JOIN moved USING (id)
), tally AS (
  INSERT INTO postern_tally (webhook, state, n)
  SELECT split_part(m.target, '/', 1), i.state, count(*) FROM input i JOIN moved m USING (id) WHERE i.state NOT IN ('received', 'retrying', 'processing') GROUP BY 1, 2
)
SELECT id FROM moved`

func (p *Postgres) finishRows(all []*change[*finish], lanes bool) error {
	args := finishArgs(all)
	held := map[int64]bool{}
	err := p.write(context.Background(), quick, func(b *pgx.Batch) {
		if lanes {
			lockLanesOf(b, args[0])
		}
		b.Queue(finishSQL, append(args, p.replica)...).Query(func(rows pgx.Rows) error {
			var id int64
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { held[id] = true; return nil })
			return err
		})
		if lanes {
			reachLanes(b, all)
			settleLanesOf(b, args[0])
		}
	})
	for _, c := range all {
		if err == nil && held[c.work.lease.Key] {
			c.work.held = true
		}
	}
	if err == nil {
		err = p.recall(all)
	}
	if err != nil {
		for _, c := range all {
			c.work.sent = true
		}
		return fmt.Errorf("record deliveries: %w", err)
	}
	if lanes || opens(all) {
		p.announce()
	}
	return nil
}

func opens(all []*change[*finish]) bool {
	for _, c := range all {
		if c.work.move.To.Open() && time.Until(c.work.move.Due) < time.Second {
			return true
		}
	}
	return false
}

func finishArgs(all []*change[*finish]) []any {
	n := len(all)
	ids, fences, delays, waits, took := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	states, reasons, details := make([]string, n), make([]string, n), make([]string, n)
	attempts, statuses, standings := make([]int32, n), make([]int32, n), make([]int16, n)
	for i, c := range all {
		l, m := c.work.lease, &c.work.move
		ids[i], fences[i] = l.Key, l.Token
		states[i], reasons[i], details[i] = string(m.To), escaped(m.Reason), escaped(m.Detail)
		attempts[i], statuses[i], standings[i] = int32(m.Attempt), int32(m.Status), int16(m.Stand)
		waits[i], took[i] = m.Wait.Microseconds(), m.Took.Microseconds()
		if m.To.Open() {
			delays[i] = delay(m.Due)
		}
	}
	return []any{ids, fences, states, delays, attempts, waits, statuses, took, reasons, details, standings}
}

// recall finds those that were made by an earlier try of which the outcome was
// not learnt: only the holder of a lease ends it with the fence after its own
// and in this state.
func (p *Postgres) recall(all []*change[*finish]) error {
	asked := map[int64]*finish{}
	var ids []int64
	for _, c := range all {
		if c.work.sent && !c.work.held {
			asked[c.work.lease.Key] = c.work
			ids = append(ids, c.work.lease.Key)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	return p.saw(p.once(ctx, func(r pgx.Rows) error {
		var id, fence int64
		var state inbound.State
		if err := r.Scan(&id, &fence, &state); err != nil {
			return err
		}
		f := asked[id]
		f.held = fence == f.lease.Token+1 && state == f.move.To
		return nil
	}, "SELECT id, fence, state FROM postern_deliveries WHERE id = ANY($1)", []any{ids}))
}

// renewSQL renews what nobody moves at the moment, and returns the others: those
// that are lost, and those that have to be asked for again.
const renewSQL = `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS i(id, fence)
), held AS MATERIALIZED (
  SELECT d.id FROM postern_deliveries d JOIN input i ON d.id = i.id AND d.fence = i.fence WHERE d.state = 'processing' ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
), renewed AS (
  UPDATE postern_deliveries d SET due = now() + $3 * interval '1 microsecond' FROM held h WHERE d.id = h.id
)
SELECT i.id, i.fence, d.id IS NULL FROM input i LEFT JOIN postern_deliveries d ON d.id = i.id AND d.fence = i.fence AND d.state = 'processing'
WHERE d.id IS NULL OR i.id NOT IN (SELECT id FROM held)`

// How often, and how soon, a renewal is tried of what somebody else moves.
const (
	renewals   = 20
	renewPause = 20 * time.Millisecond
)

func (s postgresInbox) Renew(ctx context.Context, leases []queue.Lease, lease time.Duration) (lost []queue.Lease, err error) {
	todo := leases
	for try := 0; len(todo) > 0; try++ {
		if try == renewals || try > 0 && !pause(ctx, renewPause) {
			break
		}
		gone, busy, err := s.renew(ctx, todo, lease)
		if err != nil {
			return nil, fmt.Errorf("renew leases: %w", err)
		}
		lost, todo = append(lost, gone...), busy
	}
	if len(todo) == 0 {
		return lost, nil
	}
	return nil, fmt.Errorf("renew leases: %d deliveries are being moved by somebody else", len(todo))
}

// renew tries once; busy are those that somebody else moves at the moment.
func (s postgresInbox) renew(ctx context.Context, leases []queue.Lease, lease time.Duration) (lost, busy []queue.Lease, err error) {
	ids, fences := leaseArgs(leases)
	err = s.write(ctx, quick, func(b *pgx.Batch) {
		b.Queue(renewSQL, ids, fences, lease.Microseconds()).Query(func(rows pgx.Rows) error {
			left := map[queue.Lease]bool{} // and whether it is lost
			var l queue.Lease
			var gone bool
			if _, err := pgx.ForEachRow(rows, []any{&l.Key, &l.Token, &gone}, func() error { left[l] = gone; return nil }); err != nil {
				return err
			}
			for _, l := range leases {
				switch gone, is := left[queue.Lease{Key: l.Key, Token: l.Token}]; {
				case gone:
					lost = append(lost, l)
				case is:
					busy = append(busy, l)
				}
			}
			return nil
		})
	})
	return lost, busy, err
}

// releaseSQL leaves a head the head of its lane.
const releaseSQL = `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS i(id, fence)
), held AS MATERIALIZED (
  SELECT d.id FROM postern_deliveries d JOIN input i ON d.id = i.id AND d.fence = i.fence WHERE d.state = 'processing' ORDER BY d.id FOR UPDATE OF d
), moved AS (
  UPDATE postern_deliveries d SET state = CASE WHEN d.attempt > 1 THEN 'retrying' ELSE 'received' END, due = now(), fence = d.fence + 1, attempt = d.attempt - 1, wait = 0, reason = $3
  FROM held h WHERE d.id = h.id AND d.state = 'processing'
  RETURNING d.id, d.fence, d.state, d.attempt, d.reason
)
INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
SELECT (now() AT TIME ZONE 'UTC')::date, id, fence, clock_timestamp(), 'processing', state, attempt, 0, 0, reason, '', '', $4 FROM moved`

func (s postgresInbox) Release(ctx context.Context, leases []queue.Lease) error {
	if len(leases) == 0 {
		return nil
	}
	ids, fences := leaseArgs(leases)
	if err := s.write(ctx, quick, func(b *pgx.Batch) { b.Queue(releaseSQL, ids, fences, releaseReason, s.replica) }); err != nil {
		return fmt.Errorf("give back deliveries: %w", err)
	}
	s.announce()
	return nil
}

func leaseArgs(leases []queue.Lease) (ids, fences []int64) {
	for _, l := range leases {
		ids, fences = append(ids, l.Key), append(fences, l.Token)
	}
	return ids, fences
}
