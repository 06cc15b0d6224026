package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
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

const insertEvent = `INSERT INTO events (id, webhook, account, event_id, variant, weak, verified, type, key, lane, occurred, received, sha256, size, proof, parent, misfit, rank, items, horizon)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (webhook, account, event_id, variant) DO NOTHING RETURNING seq`

func (s inbox) Insert(ctx context.Context, all ...*inbound.Arrival) error {
	size, headers := 0, make([]string, len(all))
	for i, a := range all {
		if err := checkPlacements(a.To); err != nil {
			return err
		}
		header, err := json.Marshal(a.Event.Header)
		if err != nil {
			return fmt.Errorf("encode the headers: %w", err)
		}
		size, headers[i] = size+len(a.Event.Body)+len(header), string(header)
	}
	done := make([]inbound.Arrival, len(all)) // the writer may come to it when nobody waits any more
	for i, a := range all {
		done[i] = *a
	}
	err := s.do(ctx, size, func(t *tx) error {
		for i := range done {
			if err := t.insert(&done[i], headers[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range done {
		all[i].ID, all[i].What, all[i].Old, all[i].Backfilled = done[i].ID, done[i].What, done[i].Old, done[i].Backfilled
	}
	return nil
}

func checkPlacements(to []inbound.Placement) error {
	if len(to) > perEvent {
		return fmt.Errorf("%d targets are more than %d", len(to), perEvent)
	}
	for _, p := range to {
		switch p.State {
		case "", inbound.Received, inbound.Quarantined, inbound.Ignored:
		default:
			return fmt.Errorf("no delivery begins in state %s", p.State)
		}
	}
	return nil
}

// insert stores one event with its deliveries, or finds the one that it repeats.
func (t *tx) insert(a *inbound.Arrival, header string) error {
	e := a.Event
	a.ID, a.What, a.Old = e.ID, inbound.Stored, 0
	if a.Anew {
		return t.insertAnew(a, header)
	}
	seq, err := t.insertVariant(e, 1)
	if err != nil {
		return err
	}
	if seq == 0 { // the key is known
		known, last, err := t.known(e)
		if err != nil {
			return err
		}
		if known.recognised(a) {
			return nil
		}
		a.What = inbound.Conflicted
		if seq, err = t.insertVariant(e, last+1); err != nil {
			return err
		}
	}
	return t.insertRest(a, seq, header)
}

// insertAnew stores a copy, once.
func (t *tx) insertAnew(a *inbound.Arrival, header string) error {
	known, last := false, 0
	err := t.each(func(r *sql.Rows) error { known = true; return nil }, "SELECT 1 FROM events WHERE id = ?", a.Event.ID)
	if err != nil {
		return err
	}
	if known {
		a.What = inbound.Duplicate
		return nil
	}
	if _, last, err = t.known(a.Event); err != nil {
		return err
	}
	seq, err := t.insertVariant(a.Event, last+1)
	if err != nil {
		return err
	}
	if err := t.insertRest(a, seq, header); err != nil {
		return err
	}
	for n, p := range a.To {
		if err := t.exec(trailSQL, seq*perEvent+int64(n), 0, time.Now().UnixMicro(), "", string(placed(p, a.What).State), 0, 0, 0, p.Reason, "", a.By, t.w.replica); err != nil {
			return err
		}
	}
	return nil
}

// insertRest stores what belongs to an event.
func (t *tx) insertRest(a *inbound.Arrival, seq int64, header string) error {
	e := a.Event
	if err := t.exec("INSERT INTO bodies (seq, header, body) VALUES (?, ?, ?)", seq, header, notNil(e.Body)); err != nil {
		return err
	}
	for n, p := range a.To {
		p, err := t.ranked(a, placed(p, a.What))
		if err != nil {
			return err
		}
		due, settle, err := t.place(lane{p.Target, e.Lane}, p.State)
		if err != nil {
			return err
		}
		if p.State.Open() && !p.Due.IsZero() {
			due += time.Until(p.Due).Microseconds()
		}
		if err := t.exec(`INSERT INTO deliveries (id, target, lane, state, due, fence, attempt, wait, origin, reason) VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, ?)`,
			seq*perEvent+int64(n), p.Target, e.Lane, string(p.State), due, string(p.Origin), p.Reason); err != nil {
			return err
		}
		t.count(p.Target, p.State, 1)
		if settle {
			if err := t.settle(lane{p.Target, e.Lane}, time.Now().UnixMicro()); err != nil {
				return err
			}
		}
	}
	return nil
}

// placed fills in what a placement leaves out.
func placed(p inbound.Placement, what inbound.Insertion) inbound.Placement {
	p.State, p.Origin = cmp.Or(p.State, inbound.Received), cmp.Or(p.Origin, inbound.Push)
	if what == inbound.Conflicted {
		p.State, p.Reason = inbound.Conflict, ""
	}
	return p
}

// proofText writes a proof as it is stored.
func proofText(p inbound.Proof) string {
	if p == (inbound.Proof{}) {
		return ""
	}
	text, _ := json.Marshal(p) // of strings, a time and flags
	return string(text)
}

// readProof reads it again. What cannot be read is no proof.
func readProof(text string) (p inbound.Proof) {
	if json.Unmarshal([]byte(text), &p) != nil {
		return inbound.Proof{}
	}
	return p
}

// notNil makes an empty body an empty BLOB rather than NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// insertVariant returns the seq of the new event, 0 if that variant is there.
func (t *tx) insertVariant(e *inbound.Event, variant int) (seq int64, err error) {
	err = t.each(func(r *sql.Rows) error { return r.Scan(&seq) }, insertEvent,
		e.ID, e.Webhook, e.Account, e.EventID, variant, e.Weak, e.Verified, e.Type, e.Key, e.Lane, micro(e.Occurred), micro(e.Received), e.SHA256[:], e.Size, proofText(e.Proof), e.Parent, e.Misfit, string(e.Rank), e.Items, micro(e.Horizon))
	return seq, err
}

// repeated is what comes of storing e when the event with this id and variant
// has its key and body. One that has e's id is e: its caller did not learn that
// it was stored, and asks again.
func repeated(e *inbound.Event, id string, variant int) inbound.Insertion {
	switch {
	case id != e.ID:
		return inbound.Duplicate
	case variant > 1:
		return inbound.Conflicted
	}
	return inbound.Stored
}

// known returns what is stored under the key of e, and its last variant.
func (t *tx) known(e *inbound.Event) (k variants, last int, err error) {
	err = t.each(func(r *sql.Rows) error {
		var id, proof string
		var sum []byte
		if err := r.Scan(&id, &last, &sum, &proof); err != nil {
			return err
		}
		k.see(e, id, last, sum, proof)
		return nil
	}, "SELECT id, variant, sha256, proof FROM events WHERE webhook = ? AND account = ? AND event_id = ? ORDER BY variant", e.Webhook, e.Account, e.EventID)
	return k, last, err
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

const trailSQL = `INSERT INTO transitions (delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

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
	return t.exec(trailSQL,
		r.id, r.fence+1, to.At.UnixMicro(), string(r.state), string(to.To), to.Attempt, to.Status, to.Took.Microseconds(), to.Reason, to.Detail, to.By, t.w.replica)
}

// leased reads the delivery of a lease; false if the lease is lost.
func (t *tx) leased(l queue.Lease) (row, bool, error) {
	r, found, err := t.delivery(l.Key)
	return r, found && r.fence == l.Token && r.state == inbound.Processing, err
}

func (s inbox) Finish(ctx context.Context, l queue.Lease, m inbound.Move) error {
	if !inbound.Legal(inbound.Processing, m.To) {
		return errIllegal(inbound.Processing, m.To)
	}
	stale := false
	err := s.do(ctx, 0, func(t *tx) error {
		r, held, err := t.leased(l)
		if stale = !held; err != nil || stale {
			return err
		}
		now, due := time.Now(), m.Due
		if !m.To.Open() {
			due = now
		}
		err = t.move(r, inbound.Transition{
			At: now, To: m.To, Attempt: m.Attempt, Status: m.Status, Took: m.Took, Reason: m.Reason, Detail: m.Detail,
		}, due.UnixMicro(), m.Wait, "")
		if err != nil {
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
	})
	if err == nil && stale {
		return queue.ErrStale
	}
	return err
}

func (s inbox) Act(ctx context.Context, a inbound.Action, f inbound.Filter, by string) (done inbound.Acted, err error) {
	page, err := s.List(ctx, f)
	if err != nil {
		return done, err
	}
	err = s.do(ctx, 0, func(t *tx) error {
		done = inbound.Acted{Next: page.Next}
		lanes := map[lane]bool{}
		for i := range page.Events {
			if err := t.act(&page.Events[i], a, by, f.Unmoved, &done, lanes); err != nil {
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

// act does a to every delivery of one event and notes whose lanes have to be
// settled. What the list said may be old: the states are read anew.
func (t *tx) act(e *inbound.Record, a inbound.Action, by string, unmoved time.Time, done *inbound.Acted, lanes map[lane]bool) error {
	var rows []row
	var origins []inbound.Origin
	var emptied int64
	err := t.each(func(r *sql.Rows) error {
		var d row
		var origin inbound.Origin
		var due int64
		err := d.scan(r, &origin, &due, &emptied)
		if !d.state.Open() && !unmoved.IsZero() && due >= micro(unmoved) {
			done.Skipped++
			return err
		}
		rows, origins = append(rows, d), append(origins, origin)
		return err
	}, "SELECT "+rowColumns+`, d.origin, d.due, e.emptied FROM events e JOIN deliveries d ON d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 WHERE e.id = ?`, e.ID)
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
