package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// Inbox returns s as the store of an inbox.
func (s *SQLite) Inbox() inbound.Store { return inbox{s} }

type inbox struct{ *SQLite }

// The id of a delivery is the seq of its event and its number among the targets.
const perEvent = 256

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

// row is a delivery as a move finds it.
type row struct {
	id, fence int64
	lane      lane
	state     inbound.State
	attempt   int
	standing  inbound.Standing
}

// rowColumns are what [row.scan] reads.
const rowColumns = "d.id, d.fence, d.target, d.lane, d.state, d.attempt, d.standing"

func (r *row) scan(rows *sql.Rows, more ...any) error {
	return rows.Scan(append([]any{&r.id, &r.fence, &r.lane.target, &r.lane.name, &r.state, &r.attempt, &r.standing}, more...)...)
}

// delivery reads one delivery; false if it is gone.
func (t *tx) delivery(id int64) (r row, found bool, err error) {
	err = t.each(func(rows *sql.Rows) error {
		found = true
		return r.scan(rows)
	}, "SELECT "+rowColumns+" FROM deliveries d WHERE d.id = ?", id)
	return r, found, err
}

var insertTrail = rowsSQL{
	"INSERT OR FAIL INTO transitions (delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica) VALUES ",
	"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "",
}

// step is a move as the audit trail keeps it.
type step struct {
	delivery, fence int64 // after it
	inbound.Transition
}

// trail writes moves into the audit trail.
func (t *tx) trail(all ...step) error {
	_, err := t.rows(&insertTrail, len(all), func(to []any, i int) []any {
		m := &all[i]
		return append(to, m.delivery, m.fence, m.At.UnixMicro(), string(m.From), string(m.To), m.Attempt, m.Status, m.Took.Microseconds(), m.Reason, m.Detail, m.By, t.w.replica)
	}, nil)
	return err
}

// move makes a move of r and writes it into the audit trail. The update repeats
// the guard, so that it can never be made from another state than r's.
func (t *tx) move(r row, to inbound.Transition, due int64, wait time.Duration, origin inbound.Origin) error {
	if !inbound.Legal(r.state, to.To) {
		return errIllegal(r.state, to.To)
	}
	n, err := t.change(`UPDATE deliveries SET state = ?, due = ?, fence = fence + 1, attempt = ?, wait = ?, reason = ?, origin = CASE ? WHEN '' THEN origin ELSE ? END
WHERE id = ? AND fence = ? AND state = ?`,
		string(to.To), due, to.Attempt, wait.Microseconds(), to.Reason, string(origin), string(origin), r.id, r.fence, string(r.state))
	if err != nil {
		return err
	}
	if n != 1 {
		return queue.ErrStale
	}
	t.count(r.lane.target, r.state, -1)
	t.count(r.lane.target, to.To, 1)
	to.From = r.state
	return t.trail(step{r.id, r.fence + 1, to})
}

// leased reads the delivery of a lease; false if the lease is lost.
func (t *tx) leased(l queue.Lease) (row, bool, error) {
	r, found, err := t.delivery(l.Key)
	return r, found && r.fence == l.Token && r.state == inbound.Processing, err
}

func (s inbox) Act(ctx context.Context, a inbound.Action, f inbound.Filter, by string) (done inbound.Acted, err error) {
	page, err := s.List(ctx, f)
	if err != nil {
		return done, err
	}
	err = s.do(ctx, 0, func(t *tx) error {
		done = inbound.Acted{Events: len(page.Events), Next: page.Next}
		lanes := map[lane]bool{}
		for i := range page.Events {
			if err := t.act(&page.Events[i], a, by, &f, &done, lanes); err != nil {
				return err
			}
		}
		for l := range lanes { // after all of them, so that the first of each leads
			if err := t.settle(l, time.Now().UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return inbound.Acted{}, err
	}
	return done, nil
}

// act does a to every delivery of one event that f means and notes whose lanes have to be
// settled. What the list said may be old: the states are read anew.
func (t *tx) act(e *inbound.Record, a inbound.Action, by string, f *inbound.Filter, done *inbound.Acted, lanes map[lane]bool) error {
	var rows []row
	var origins []inbound.Origin
	var emptied int64
	err := t.each(func(r *sql.Rows) error {
		var d row
		var origin inbound.Origin
		var due int64
		var reason string
		err := d.scan(r, &origin, &due, &reason, &emptied)
		if !f.Means(d.state, reason) || !d.state.Open() && !f.Unmoved.IsZero() && due >= micro(f.Unmoved) {
			done.Skipped++
			return err
		}
		rows, origins = append(rows, d), append(origins, origin)
		return err
	}, "SELECT "+rowColumns+`, d.origin, d.due, d.reason, e.emptied FROM events e JOIN deliveries d ON d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 WHERE e.id = ?`, e.ID)
	if err != nil {
		return err
	}
	for i, r := range rows {
		to, ok := a.Move(r.state)
		if !ok {
			done.Skipped++
			continue
		}
		if to.Open() && emptied > 0 {
			done.Emptied++
			continue
		}
		now := time.Now()
		made := inbound.Transition{
			Event: e.ID, Webhook: e.Webhook, Target: r.lane.target, Received: e.Received, At: now, From: r.state, To: to, Reason: string(a), By: by, Replica: t.w.replica,
		}
		due := now.UnixMicro()
		if r.lane.name != "" && to.Open() {
			due += waiting
		}
		if err := t.move(r, made, due, 0, a.Origin(origins[i])); err != nil {
			return err
		}
		if err := t.stand(r, inbound.InLine); err != nil {
			return err
		}
		lanes[r.lane] = true
		done.Moved = append(done.Moved, made)
	}
	return nil
}

// uncount takes the deliveries of an event that is deleted out of the tally.
func (t *tx) uncount(seq int64) error {
	return t.each(func(r *sql.Rows) error {
		var p place
		err := r.Scan(&p.target, &p.state)
		t.count(p.target, p.state, -1)
		return err
	}, "SELECT target, state FROM deliveries WHERE id BETWEEN ? * 256 AND ? * 256 + 255", seq, seq)
}
