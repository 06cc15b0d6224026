package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/queue"
)

func (s outboxStore) Claim(ctx context.Context, want map[string]int, lease time.Duration) (items []queue.Item[outbox.Call], next time.Time, err error) {
	due, next, err := s.peek(ctx, want)
	if err != nil || len(due) == 0 {
		return nil, next, err // most turns of a quiet outbox end here, without a commit
	}
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		items = nil
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		for _, target := range due {
			found, err := s.due(q, target, want[target], now)
			if err != nil {
				return err
			}
			for i := range found {
				it, err := s.claim(q, &found[i], now, lease)
				if err != nil {
					return err
				}
				items = append(items, it)
			}
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("claim calls: %w", err)
	}
	return items, next, nil
}

// peek looks without writing: at which targets something is due, and when the
// next thing will be.
func (s outboxStore) peek(ctx context.Context, want map[string]int) (due []string, next time.Time, err error) {
	q := s.reader(ctx)
	now, err := s.clock(q)
	if err != nil {
		return nil, next, fmt.Errorf("look for due calls: %w", err)
	}
	soon := int64(0)
	for target := range want {
		first := int64(-1)
		err := q.rows(func(into func(...any) error) error { return into(&first) },
			"SELECT due FROM postern_outbox WHERE target = $1 AND "+openCall+" ORDER BY due LIMIT 1", target)
		switch {
		case err != nil:
			return nil, next, fmt.Errorf("look for due calls: %w", err)
		case first < 0, first >= waiting:
		case first <= now:
			due = append(due, target)
		case soon == 0 || first < soon:
			soon = first
		}
	}
	slices.Sort(due) // processes go the same way
	if soon > 0 {
		next = time.Now().Add(time.Duration(soon-now) * time.Microsecond) // by the clock of this process
	}
	return due, next, nil
}

func (s outboxStore) due(q sqlStatements, target string, n int, now int64) (found []call, err error) {
	err = q.rows(func(into func(...any) error) error {
		var c call
		err := c.scan(into, &c.Request)
		found = append(found, c)
		return err
	}, "SELECT "+callColumns+", b.request FROM postern_outbox o JOIN postern_outbox_sealed b ON b.seq = o.seq WHERE o.target = $1 AND o."+openCall+
		" AND o.due <= $2 ORDER BY o.due, o.seq LIMIT $3"+s.skipping(), target, now, int64(n))
	return found, err
}

func (s outboxStore) claim(q sqlStatements, c *call, now int64, lease time.Duration) (it queue.Item[outbox.Call], err error) {
	reason := ""
	if c.State == outbox.Sending {
		reason = "the attempt before ended without a result"
	}
	until := now + lease.Microseconds()
	n, err := q.change("UPDATE postern_outbox SET state = 'sending', due = $1, fence = fence + 1, attempt = attempt + 1, forced = 0, reason = $2, changed = $3 WHERE seq = $4 AND fence = $5",
		until, reason, now, c.seq, c.fence)
	if err == nil && n != 1 {
		err = queue.ErrStale // it was locked, or there is one writer only
	}
	if err != nil {
		return it, err
	}
	c.Attempt++
	it = queue.Item[outbox.Call]{Lease: queue.Lease{Key: c.seq, Token: c.fence + 1, Until: fromMicro(until)}, Target: c.Target, Lane: c.Lane, Work: c.Call}
	return it, s.trail(q, c.seq, c.fence+1, now, c.State, &outbox.Transition{To: outbox.Sending, Attempt: c.Attempt, Reason: reason})
}

func (s outboxStore) Renew(ctx context.Context, leases []queue.Lease, lease time.Duration) (lost []queue.Lease, err error) {
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		lost = nil
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		for _, l := range leases {
			n, err := q.change("UPDATE postern_outbox SET due = $1 WHERE seq = $2 AND fence = $3 AND state = 'sending'", now+lease.Microseconds(), l.Key, l.Token)
			if err != nil {
				return err
			}
			if n == 0 {
				lost = append(lost, l)
			}
		}
		return nil
	})
	return lost, err
}

// releasedCall is the state of a claimed call that is given back.
func releasedCall(attempts int) outbox.State {
	if attempts > 0 {
		return outbox.Retrying
	}
	return outbox.Accepted
}

func (s outboxStore) Release(ctx context.Context, leases []queue.Lease) error {
	for _, l := range leases {
		err := s.move(ctx, l, func(c *call) outbox.Move {
			return outbox.Move{To: releasedCall(c.Attempt - 1), Attempt: c.Attempt - 1, Wait: c.Wait, Outcome: c.Outcome, Status: c.Status, Doubt: c.Doubt, Reason: releaseReason}
		})
		if err != nil && !errors.Is(err, queue.ErrStale) {
			return fmt.Errorf("give back calls: %w", err)
		}
	}
	return nil
}

func (s outboxStore) Finish(ctx context.Context, l queue.Lease, m outbox.Move) error {
	if m.To == outbox.Sending || !outbox.Legal(outbox.Sending, m.To) {
		return errIllegalCall(outbox.Sending, m.To)
	}
	return s.move(ctx, l, func(*call) outbox.Move { return m })
}

// move ends the attempt of a claimed call. What was ended by a try of which the
// answer was lost is found ended: only the holder of the lease could do that.
func (s outboxStore) move(ctx context.Context, l queue.Lease, next func(*call) outbox.Move) error {
	stale, opened := false, false
	err := s.transaction(ctx, 0, func(q sqlStatements) error {
		stale, opened = false, false
		c, found, err := findCall(q, "o.seq = $1", l.Key)
		if err != nil {
			return err
		}
		m := next(&c)
		if !found || c.fence != l.Token || c.State != outbox.Sending {
			stale = !found || c.fence != l.Token+1 || c.State != m.To
			return nil
		}
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		opened = m.To.Open() || m.Then != nil || c.Lane != ""
		stale, err = s.end(q, &c, m, now)
		return err
	})
	if err == nil && stale {
		return queue.ErrStale
	}
	if err == nil && opened {
		s.announce()
	}
	return err
}

// end makes the move m of a claimed call.
func (s outboxStore) end(q sqlStatements, c *call, m outbox.Move, now int64) (stale bool, err error) {
	if c.Lane != "" {
		if err := lockLane(q, c.Lane); err != nil {
			return false, err
		}
	}
	due := now
	if m.To.Open() && !m.Due.IsZero() {
		due = now + max(time.Until(m.Due), 0).Microseconds() // the clock of the database decides
	}
	n, err := q.change(`UPDATE postern_outbox SET state = $1, due = $2, fence = fence + 1, attempt = $3, wait = $4, outcome = $5, status = $6, reason = $7, doubt = $8, changed = $9
WHERE seq = $10 AND fence = $11 AND state = 'sending'`,
		string(m.To), due, int64(m.Attempt), m.Wait.Microseconds(), string(m.Outcome), int64(m.Status), escaped(m.Reason), micro(m.Doubt), now, c.seq, c.fence)
	if err != nil || n != 1 {
		return n != 1, err
	}
	t := outbox.Transition{To: m.To, Attempt: m.Attempt, Outcome: m.Outcome, Status: m.Status, Took: m.Took, Reason: m.Reason}
	if err := s.trail(q, c.seq, c.fence+1, now, outbox.Sending, &t); err != nil {
		return false, err
	}
	if m.Result != nil {
		if _, err := q.change("UPDATE postern_outbox_sealed SET result = $1 WHERE seq = $2", m.Result, c.seq); err != nil {
			return false, err
		}
	}
	if closes(c, m.To) {
		if err := promote(q, c.Lane); err != nil {
			return false, err
		}
	}
	if m.Then != nil {
		if _, err := s.insert(q, m.Then, now); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (s outboxStore) Act(ctx context.Context, id string, a outbox.Action) (made *outbox.Transition, err error) {
	for _, from := range a.From {
		if !outbox.Legal(from, a.To) {
			return nil, errIllegalCall(from, a.To)
		}
	}
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		made = nil
		c, found, err := findCall(q, "o.id = $1", id)
		if err == nil && found && c.Lane != "" { // what is read after the lock is the truth
			if err = lockLane(q, c.Lane); err == nil {
				c, found, err = findCall(q, "o.id = $1", id)
			}
		}
		switch {
		case err != nil:
			return err
		case !found:
			return outbox.ErrNotFound
		case c.State == outbox.Sending || !slices.Contains(a.From, c.State):
			return nil
		}
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		made, err = s.act(q, &c, a, now)
		return err
	})
	if err == nil && made != nil {
		s.announce()
	}
	return made, err
}

func (s outboxStore) act(q sqlStatements, c *call, a outbox.Action, now int64) (made *outbox.Transition, err error) {
	due, turn, expires, forced := now, c.turn, micro(c.Expires), int64(0)
	if a.To.Open() {
		c.Attempt = 0
		if due += a.Due.Microseconds(); c.Lane != "" {
			if turn, due, err = s.queueUp(q, c.Lane, due); err != nil {
				return nil, err
			}
		}
		if a.Life > 0 {
			expires = now + a.Life.Microseconds()
		}
	}
	if a.Clear {
		c.Doubt = time.Time{}
	}
	if a.Force {
		forced = 1
	}
	if a.Out != "" {
		c.Outcome = a.Out
	}
	n, err := q.change(`UPDATE postern_outbox SET state = $1, due = $2, turn = $3, fence = fence + 1, attempt = $4, wait = 0, outcome = $5, reason = $6, doubt = $7, forced = $8, expires = $9, changed = $10
WHERE seq = $11 AND fence = $12`,
		string(a.To), due, turn, int64(c.Attempt), string(c.Outcome), escaped(a.Reason), micro(c.Doubt), forced, expires, now, c.seq, c.fence)
	if err != nil || n != 1 { // claimed meanwhile
		return nil, err
	}
	t := outbox.Transition{
		ID: c.ID, Kind: c.Kind, Provider: c.Provider, Account: c.Account, At: fromMicro(now), From: c.State, To: a.To, Attempt: c.Attempt,
		Outcome: c.Outcome, Status: c.Status, Reason: a.Reason, By: a.By, Replica: s.who(),
	}
	if err := s.trail(q, c.seq, c.fence+1, now, c.State, &t); err != nil {
		return nil, err
	}
	if closes(c, a.To) {
		return &t, promote(q, c.Lane)
	}
	return &t, nil
}
