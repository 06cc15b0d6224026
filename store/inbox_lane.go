package store

import (
	"database/sql"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// waiting is added to the due of a delivery that waits behind the head of its
// lane: it is never due, and yet it is known when it would be.
const waiting = 1 << 62

// openLane is the condition of the partial indexes on lanes, and headOfLane that
// of the one which lets a lane have one head only. SQLite uses them if a query
// repeats their words.
const (
	openLane   = "lane <> '' AND state IN ('received', 'processing', 'retrying')"
	headOfLane = openLane + " AND due < 4611686018427387904"
)

// lane is what deliveries are in order with.
type lane struct{ target, name string }

// head returns the id of the head of a lane, 0 if it has none, and whether
// somebody has it or may have it now.
func (t *tx) head(l lane, now int64) (id int64, live bool, err error) {
	err = t.each(func(r *sql.Rows) error {
		var due int64
		var claimed bool
		err := r.Scan(&id, &due, &claimed)
		live = claimed || due <= now
		return err
	}, "SELECT id, due, state = 'processing' FROM deliveries WHERE target = ? AND lane = ? AND "+headOfLane, l.target, l.name)
	return id, live, err
}

// place returns the due of a new delivery of a lane.
func (t *tx) place(l lane, state inbound.State) (due int64, err error) {
	due = time.Now().UnixMicro()
	if l.name == "" || !state.Open() {
		return due, nil
	}
	head, _, err := t.head(l, due)
	if head != 0 {
		due += waiting
	}
	return due, err
}

// settle gives a lane the head that it should have: a live one keeps its place,
// otherwise it is the first open delivery. It falls due now at the earliest, so
// that a lane which has much to do lines up behind the others after each of its
// deliveries. Whoever opens a delivery of a lane or moves its head calls it within
// the same transaction.
func (t *tx) settle(l lane, now int64) error {
	if l.name == "" {
		return nil
	}
	head, live, err := t.head(l, now)
	if err != nil || live {
		return err
	}
	var first int64
	err = t.each(func(r *sql.Rows) error { return r.Scan(&first) },
		"SELECT id FROM deliveries WHERE target = ? AND lane = ? AND "+openLane+" ORDER BY id LIMIT 1", l.target, l.name)
	if err != nil || first == head {
		return err
	}
	if head != 0 {
		if err := t.exec("UPDATE deliveries SET due = due + ? WHERE id = ?", int64(waiting), head); err != nil {
			return err
		}
	}
	return t.exec("UPDATE deliveries SET due = max(due - ?, ?) WHERE id = ?", int64(waiting), now, first)
}
