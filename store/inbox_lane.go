package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// waiting is added to the due of a delivery that waits behind the head of its
// lane: it is never due, and yet it is known when it would be.
const waiting = 1 << 62

// openLane is the condition of what is open in a lane; with inLine it is that of
// the partial index on its order, and headOfLane that of the one which lets a lane
// have one head only; outOfLine is that of the index on those that have stepped
// aside or hold their lane. SQLite uses them if a query repeats their words.
const (
	openLane   = "lane <> '' AND state IN ('received', 'processing', 'retrying')"
	inLine     = " AND standing = 0"
	outOfLine  = "lane <> '' AND standing <> 0"
	headOfLane = openLane + " AND due < 4611686018427387904"

	leaderSQL    = "SELECT id, due, state = 'processing', standing FROM deliveries WHERE target = ? AND lane = ? AND "
	holderOfLane = outOfLine + " AND due < 4611686018427387904 AND state = 'failed' LIMIT 1" // however many have stepped aside and wait
	firstOfLane  = openLane + inLine + " ORDER BY id LIMIT 1"
	asideOfLane  = outOfLine + " AND state IN ('received', 'processing', 'retrying') AND due >= 4611686018427387904 ORDER BY due LIMIT 1"
)

// lane is what deliveries are in order with.
type lane struct{ target, name string }

// leader is a delivery that leads its lane or may be next.
type leader struct {
	id, due  int64 // due as if it led
	claimed  bool
	standing inbound.Standing
}

func (l leader) live(now int64) bool { return l.id != 0 && (l.claimed || l.due <= now) }

func (t *tx) leader(condition string, l lane) (found leader, err error) {
	err = t.each(func(r *sql.Rows) error {
		err := r.Scan(&found.id, &found.due, &found.claimed, &found.standing)
		if found.due >= waiting {
			found.due -= waiting
		}
		return err
	}, leaderSQL+condition, l.target, l.name)
	return found, err
}

// head returns that of a lane, the zero leader if it has none.
func (t *tx) head(l lane) (leader, error) { return t.leader(headOfLane, l) }

// holder returns what has failed and holds its lane.
func (t *tx) holder(l lane) (leader, error) {
	return t.leader(holderOfLane, l)
}

// place returns the due of a new delivery of a lane, and whether the lane has to be
// settled when it is there.
func (t *tx) place(l lane, state inbound.State) (due int64, settle bool, err error) {
	due = time.Now().UnixMicro()
	if l.name == "" || !state.Open() {
		return due, false, nil
	}
	head, err := t.head(l)
	if err == nil && head.id == 0 {
		head, err = t.holder(l)
	}
	if head.id != 0 {
		due += waiting
	}
	return due, head.standing == inbound.Aside, err
}

// settle gives a lane the head that it should have: a live one keeps its place,
// otherwise it is the first open delivery, or one that has stepped aside and fell
// due before that, and none while one that has failed holds the lane. It falls due
// now at the earliest, so that a lane which has much to do lines up behind the
// others after each of its deliveries. Whoever opens a delivery of a lane or moves
// its head calls it within the same transaction.
func (t *tx) settle(l lane, now int64) error {
	if l.name == "" {
		return nil
	}
	head, err := t.head(l)
	if err != nil || head.live(now) {
		return err
	}
	next, err := t.next(l, head)
	if err != nil || next.id == head.id {
		return err
	}
	if head.id != 0 {
		if err := t.exec("UPDATE deliveries SET due = due + ? WHERE id = ?", int64(waiting), head.id); err != nil {
			return err
		}
	}
	if next.id == 0 {
		return nil
	}
	return t.exec("UPDATE deliveries SET due = max(due - ?, ?) WHERE id = ?", int64(waiting), now, next.id)
}

// next returns what should lead a lane whose head is not live.
func (t *tx) next(l lane, head leader) (next leader, err error) {
	if holder, err := t.holder(l); err != nil || holder.id != 0 {
		return leader{}, err
	}
	first, err := t.leader(firstOfLane, l)
	if err != nil {
		return leader{}, err
	}
	aside, err := t.leader(asideOfLane, l)
	if err != nil {
		return leader{}, err
	}
	if head.standing == inbound.Aside && (aside.id == 0 || head.due < aside.due) {
		aside = head
	}
	if first.id == 0 || aside.id != 0 && aside.due < first.due {
		return aside, nil
	}
	return first, nil
}

// stand notes the place of a delivery in its lane, if that is another.
func (t *tx) stand(r row, s inbound.Standing) error {
	if r.standing == s {
		return nil
	}
	return t.exec("UPDATE deliveries SET standing = ? WHERE id = ?", s, r.id)
}

func (s inbox) Lane(ctx context.Context, l queue.Lease) (out inbound.Lane, err error) {
	var target, name string
	row := s.read.QueryRowContext(ctx, `SELECT d.target, d.lane, e.seq, e.id FROM deliveries d JOIN events e ON e.seq = d.id / 256
WHERE d.id = ? AND d.fence = ? AND d.state = 'processing'`, l.Key, l.Token)
	err = row.Scan(&target, &name, &out.Place, &out.NewestEvent)
	if errors.Is(err, sql.ErrNoRows) {
		return out, queue.ErrStale
	}
	out.Newest = out.Place
	if err != nil || name == "" {
		return out, laneError(err)
	}
	row = s.read.QueryRowContext(ctx, `SELECT e.seq, e.id FROM events e WHERE e.seq = (
  SELECT max(id) FROM (SELECT max(id) AS id FROM deliveries WHERE target = ?1 AND lane = ?2 AND `+openLane+inLine+`
    UNION ALL SELECT max(id) FROM deliveries WHERE target = ?1 AND lane = ?2 AND `+outOfLine+` AND state IN ('received', 'processing', 'retrying'))) / 256`, target, name)
	if err := row.Scan(&out.Newest, &out.NewestEvent); err != nil {
		return out, laneError(err)
	}
	out.Mark, err = scanMark(s.read.QueryRowContext(ctx, "SELECT "+markColumns+" FROM marks WHERE lane = ? AND until > ?", laneKey(target, name), time.Now().UnixMicro()).Scan)
	return out, laneError(err)
}

func laneError(err error) error {
	if err != nil {
		err = fmt.Errorf("read a lane: %w", err)
	}
	return err
}

func (s inbox) Sweep(ctx context.Context, l queue.Lease, upTo int64, reason string) (moved []inbound.Transition, err error) {
	stale := false
	err = s.do(ctx, 0, func(t *tx) error {
		moved = nil
		r, held, err := t.leased(l)
		if stale = !held; err != nil || stale || r.lane.name == "" {
			return err
		}
		for _, condition := range [...]string{openLane + inLine, outOfLine + " AND state IN ('received', 'processing', 'retrying')"} {
			if err := t.sweep(r, condition, upTo, reason, &moved); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && stale {
		return nil, queue.ErrStale
	}
	return moved, err
}

func (t *tx) sweep(by row, condition string, upTo int64, reason string, moved *[]inbound.Transition) error {
	var rows []row
	var events []inbound.Transition
	err := t.each(func(r *sql.Rows) error {
		var d row
		var e inbound.Transition
		var received int64
		err := d.scan(r, &e.Event, &e.Webhook, &received)
		e.Received = fromMicro(received)
		rows, events = append(rows, d), append(events, e)
		return err
	}, "SELECT "+rowColumns+", e.id, e.webhook, e.received FROM deliveries d JOIN events e ON e.seq = d.id / 256 WHERE d.id IN (SELECT id FROM deliveries WHERE target = ? AND lane = ? AND "+condition+" AND state <> 'processing' AND id < ?) ORDER BY d.id",
		by.lane.target, by.lane.name, (upTo+1)*perEvent)
	if err != nil {
		return err
	}
	for i, r := range rows {
		made := events[i]
		made.Target, made.At, made.From, made.To, made.Attempt, made.Reason, made.Replica = r.lane.target, time.Now(), r.state, inbound.Ignored, r.attempt, reason, t.w.replica
		if err := t.move(r, made, made.At.UnixMicro(), 0, ""); err != nil {
			return err
		}
		if err := t.stand(r, inbound.InLine); err != nil {
			return err
		}
		*moved = append(*moved, made)
	}
	return nil
}
