package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// candidate is a delivery that is due.
type candidate struct {
	row
	due    int64
	origin inbound.Origin
	wait   int64
}

func (s inbox) Claim(ctx context.Context, want map[string]int, lease time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, err error) {
	due, next, err := s.peek(ctx, want)
	if err != nil || len(due) == 0 {
		return nil, next, err // most turns of a quiet inbox end here, without a commit
	}
	err = s.submit(ctx, &op{brief: true, run: func(t *tx) error {
		items = nil
		now := time.Now()
		var all []candidate
		for _, target := range due {
			if err := t.due(target, want[target], now, &all); err != nil {
				return err
			}
		}
		for _, c := range all {
			items = append(items, c.item(now.Add(lease)))
		}
		return t.claim(all, now, now.Add(lease))
	}})
	if err != nil {
		return nil, next, err
	}
	items, err = s.load(ctx, items)
	return items, next, err
}

const dueSQL = "SELECT * FROM (SELECT " + rowColumns + ", d.due, d.origin, d.wait FROM deliveries d WHERE d.target = ?1 AND d.state = 'received' AND d.due <= ?2 ORDER BY d.due, d.id LIMIT ?3)" +
	" UNION ALL SELECT * FROM (SELECT " + rowColumns + ", d.due, d.origin, d.wait FROM deliveries d WHERE d.target = ?1 AND d.state = 'retrying' AND d.due <= ?2 ORDER BY d.due, d.id LIMIT ?3)" +
	" UNION ALL SELECT * FROM (SELECT " + rowColumns + ", d.due, d.origin, d.wait FROM deliveries d WHERE d.target = ?1 AND d.state = 'processing' AND d.due <= ?2 ORDER BY d.due, d.id LIMIT ?3)"

// due adds up to n due deliveries of a target, the longest due first.
func (t *tx) due(target string, n int, now time.Time, all *[]candidate) error {
	var found []candidate
	err := t.each(func(r *sql.Rows) error {
		var c candidate
		err := c.scan(r, &c.due, &c.origin, &c.wait)
		found = append(found, c)
		return err
	}, dueSQL, target, now.UnixMicro(), n)
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id)) })
	*all = append(*all, found[:min(len(found), n)]...)
	return err
}

// claimAll claims deliveries, and repeats the guard as [tx.move] does.
var claimAll = rowsSQL{
	"UPDATE OR FAIL deliveries SET state = 'processing', due = v.column4, fence = fence + 1, attempt = attempt + 1, reason = v.column5 FROM (VALUES ",
	"(?, ?, ?, ?, ?)",
	") AS v WHERE deliveries.id = v.column1 AND deliveries.fence = v.column2 AND deliveries.state = v.column3",
}

// claim leases all of these and writes that into the audit trail.
func (t *tx) claim(all []candidate, now, until time.Time) error {
	trail := make([]step, len(all))
	for i, c := range all {
		if !inbound.Legal(c.state, inbound.Processing) {
			return errIllegal(c.state, inbound.Processing)
		}
		trail[i] = step{c.id, c.fence + 1, inbound.Transition{At: now, From: c.state, To: inbound.Processing, Attempt: c.attempt + 1, Reason: claimReason(c.state)}}
		t.count(c.lane.target, c.state, -1)
		t.count(c.lane.target, inbound.Processing, 1)
	}
	n, err := t.rows(&claimAll, len(all), func(to []any, i int) []any {
		c := &all[i]
		return append(to, c.id, c.fence, string(c.state), until.UnixMicro(), trail[i].Reason)
	}, nil)
	if err != nil {
		return err
	}
	if n != int64(len(all)) {
		return queue.ErrStale
	}
	return t.trail(trail...)
}

// item is a candidate when it is claimed.
func (c *candidate) item(until time.Time) queue.Item[inbound.Delivery] {
	return queue.Item[inbound.Delivery]{
		Lease: queue.Lease{Key: c.id, Token: c.fence + 1, Until: until}, Target: c.lane.target, Lane: c.lane.name,
		Work: inbound.Delivery{Target: c.lane.target, From: c.state, Origin: c.origin, Attempt: c.attempt + 1, Wait: time.Duration(c.wait) * time.Microsecond},
	}
}

const peekSQL = `SELECT k.value, (SELECT min(due) FROM deliveries WHERE target = k.value AND state = 'received'),
  (SELECT min(due) FROM deliveries WHERE target = k.value AND state = 'retrying'), (SELECT min(due) FROM deliveries WHERE target = k.value AND state = 'processing') FROM json_each(?) k`

// peek looks without writing: due are the targets for which something is due, next is
// when something will be.
func (s inbox) peek(ctx context.Context, want map[string]int) (due []string, next time.Time, err error) {
	if len(want) == 0 {
		return nil, next, nil
	}
	targets, _ := json.Marshal(slices.Collect(maps.Keys(want))) // of strings
	now := time.Now().UnixMicro()
	rows, err := s.firstDue.QueryContext(ctx, string(targets))
	if err != nil {
		return nil, next, fmt.Errorf("look for due deliveries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var target string
		var first [3]sql.NullInt64
		if err := rows.Scan(&target, &first[0], &first[1], &first[2]); err != nil {
			return nil, next, fmt.Errorf("look for due deliveries: %w", err)
		}
		ready := false
		for _, at := range first {
			switch {
			case !at.Valid, at.Int64 >= waiting:
			case at.Int64 <= now:
				ready = true
			case next.IsZero() || at.Int64 < next.UnixMicro():
				next = fromMicro(at.Int64)
			}
		}
		if ready {
			due = append(due, target)
		}
	}
	return due, next, rows.Err()
}

// load fills in the events of claimed deliveries and returns those. One that has
// no body any more is given up, so that it keeps no other from being delivered.
func (s inbox) load(ctx context.Context, items []queue.Item[inbound.Delivery]) (whole []queue.Item[inbound.Delivery], err error) {
	if len(items) == 0 {
		return nil, nil
	}
	events, err := s.loadEvents(ctx, items)
	if err != nil {
		return nil, fmt.Errorf("read claimed events: %w", err)
	}
	for _, it := range items {
		err := errNoBody
		if l := events[it.Lease.Key/perEvent]; l != nil {
			it.Work.Event = l.Event
			err = json.Unmarshal([]byte(l.header), &it.Work.Event.Header)
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

// loaded is an event with its body, its headers not read yet.
type loaded struct {
	inbound.Event
	header string
}

const loadSQL = "SELECT " + eventColumns + ", b.header, b.body FROM json_each(?) k CROSS JOIN events e ON e.seq = k.value JOIN bodies b ON b.seq = e.seq"

// loadEvents reads the events of claimed deliveries, by seq.
func (s inbox) loadEvents(ctx context.Context, items []queue.Item[inbound.Delivery]) (map[int64]*loaded, error) {
	seqs := []byte{'['}
	for i, it := range items {
		if i > 0 {
			seqs = append(seqs, ',')
		}
		seqs = strconv.AppendInt(seqs, it.Lease.Key/perEvent, 10)
	}
	rows, err := s.whole.QueryContext(ctx, string(append(seqs, ']')))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	events := make(map[int64]*loaded, len(items))
	for rows.Next() {
		l, seq := &loaded{}, int64(0)
		if err := scanEvent(rows.Scan, &l.Event, &seq, &l.header, &l.Body); err != nil {
			return nil, err
		}
		events[seq] = l
	}
	return events, rows.Err()
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
