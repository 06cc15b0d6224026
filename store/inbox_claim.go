package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// dueStates are the states in which a delivery falls due.
var dueStates = [...]inbound.State{inbound.Received, inbound.Retrying, inbound.Processing}

// candidate is a delivery that is due.
type candidate struct {
	row
	due    int64
	origin inbound.Origin
	wait   int64
}

func (s inbox) Claim(ctx context.Context, want map[string]int, lease time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, err error) {
	if items, next, err = s.peek(ctx, want); err != nil || items == nil {
		return nil, next, err // most turns of a quiet inbox end here, without a commit
	}
	err = s.do(ctx, 0, func(t *tx) error {
		items = nil
		now := time.Now()
		for target, n := range want {
			due, err := t.due(target, n, now)
			if err != nil {
				return err
			}
			for _, c := range due {
				it, err := t.claim(c, now, lease)
				if err != nil {
					return err
				}
				items = append(items, it)
			}
		}
		return nil
	})
	if err != nil {
		return nil, next, err
	}
	items, err = s.load(ctx, items)
	return items, next, err
}

// due returns up to n due deliveries of a target, the longest due first.
func (t *tx) due(target string, n int, now time.Time) (all []candidate, err error) {
	for _, state := range dueStates {
		err := t.each(func(r *sql.Rows) error {
			var c candidate
			err := c.scan(r, &c.due, &c.origin, &c.wait)
			all = append(all, c)
			return err
		}, "SELECT "+rowColumns+", d.due, d.origin, d.wait FROM deliveries d WHERE d.target = ? AND d.state = ? AND d.due <= ? ORDER BY d.due, d.id LIMIT ?",
			target, string(state), now.UnixMicro(), n)
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id)) })
	return all[:min(len(all), n)], nil
}

func (t *tx) claim(c candidate, now time.Time, lease time.Duration) (it queue.Item[inbound.Delivery], err error) {
	until, wait := now.Add(lease), time.Duration(c.wait)*time.Microsecond
	err = t.move(c.row, inbound.Transition{At: now, To: inbound.Processing, Attempt: c.attempt + 1, Reason: claimReason(c.state)}, until.UnixMicro(), wait, "")
	return queue.Item[inbound.Delivery]{
		Lease: queue.Lease{Key: c.id, Token: c.fence + 1, Until: until}, Target: c.lane.target, Lane: c.lane.name,
		Work: inbound.Delivery{Target: c.lane.target, From: c.state, Origin: c.origin, Attempt: c.attempt + 1, Wait: wait},
	}, err
}

// peek looks without writing: items is not nil if something is due, next is when
// something will be.
func (s inbox) peek(ctx context.Context, want map[string]int) (items []queue.Item[inbound.Delivery], next time.Time, err error) {
	now := time.Now().UnixMicro()
	for target := range want {
		for _, state := range dueStates {
			var due sql.NullInt64
			err := s.read.QueryRowContext(ctx, "SELECT min(due) FROM deliveries WHERE target = ? AND state = ?", target, string(state)).Scan(&due)
			switch {
			case err != nil:
				return nil, next, fmt.Errorf("look for due deliveries: %w", err)
			case !due.Valid, due.Int64 >= waiting:
			case due.Int64 <= now:
				items = []queue.Item[inbound.Delivery]{}
			case next.IsZero() || due.Int64 < next.UnixMicro():
				next = fromMicro(due.Int64)
			}
		}
	}
	return items, next, nil
}

// load fills in the events of claimed deliveries and returns those. One that has
// no body any more is given up, so that it keeps no other from being delivered.
func (s inbox) load(ctx context.Context, items []queue.Item[inbound.Delivery]) (whole []queue.Item[inbound.Delivery], err error) {
	for _, it := range items {
		e := &it.Work.Event
		var header string
		row := s.read.QueryRowContext(ctx, "SELECT "+eventColumns+", b.header, b.body FROM events e JOIN bodies b ON b.seq = e.seq WHERE e.seq = ?", it.Lease.Key/perEvent)
		err := scanEvent(row.Scan, e, nil, &header, &e.Body)
		if err == nil {
			err = json.Unmarshal([]byte(header), &e.Header)
		} else if errors.Is(err, sql.ErrNoRows) {
			err = errNoBody
		} else {
			return nil, fmt.Errorf("read a claimed event: %w", err)
		}
		if err == nil {
			whole = append(whole, it)
			continue
		}
		m := inbound.Move{To: inbound.Failed, Attempt: it.Work.Attempt, Reason: "it cannot be read: " + err.Error()}
		if err := s.Finish(ctx, it.Lease, m); err != nil {
			return nil, fmt.Errorf("give up a claimed event that cannot be read: %w", err)
		}
	}
	return whole, nil
}

func (s inbox) Renew(ctx context.Context, leases []queue.Lease, lease time.Duration) (lost []queue.Lease, err error) {
	err = s.do(ctx, 0, func(t *tx) error {
		lost = nil
		until := time.Now().Add(lease).UnixMicro()
		for _, l := range leases {
			n, err := t.change("UPDATE deliveries SET due = ? WHERE id = ? AND fence = ? AND state = 'processing'", until, l.Key, l.Token)
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

func (s inbox) Release(ctx context.Context, leases []queue.Lease) error {
	return s.do(ctx, 0, func(t *tx) error {
		for _, l := range leases {
			r, held, err := t.leased(l)
			if err != nil {
				return err
			}
			if !held {
				continue
			}
			now := time.Now()
			if err := t.move(r, inbound.Transition{At: now, To: releasedTo(r.attempt - 1), Attempt: r.attempt - 1, Reason: releaseReason}, now.UnixMicro(), 0, ""); err != nil {
				return err
			}
		}
		return nil
	})
}
