package store

import "github.com/postern-proxy/postern/outbox"

// Calls of a lane have turns, and the one with the least turn that is open is
// its head. Whoever opens or closes a call of a lane locks the row of the lane
// first; a call that is opened again goes to the end. So a call that was once
// the head is it until it is closed, and the others wait: their due is raised.

// lockLane waits for whoever else changes the lane.
func lockLane(q sqlStatements, lane string) error {
	_, err := q.change("UPDATE postern_outbox_lanes SET turn = turn WHERE lane = $1", lane)
	return err
}

// queueUp is the next turn of a lane, which is locked by it, and the due of a
// call that is due now but for those before it.
func (s outboxStore) queueUp(q sqlStatements, lane string, now int64) (turn, due int64, err error) {
	err = q.rows(func(into func(...any) error) error { return into(&turn) },
		"INSERT INTO postern_outbox_lanes (lane, turn) VALUES ($1, 1) ON CONFLICT (lane) DO UPDATE SET turn = postern_outbox_lanes.turn + 1 RETURNING turn", lane)
	if err != nil {
		return 0, 0, err
	}
	due = now
	err = q.rows(func(into func(...any) error) error {
		due = now + waiting
		var ignored int64
		return into(&ignored)
	}, "SELECT seq FROM postern_outbox WHERE lane = $1 AND lane <> '' AND "+openCall+" LIMIT 1", lane)
	return turn, due, err
}

// promote lets the head of a lane be due. The lane is locked.
func promote(q sqlStatements, lane string) error {
	_, err := q.change(`UPDATE postern_outbox SET due = due - 4611686018427387904 WHERE due >= 4611686018427387904 AND seq = (
  SELECT seq FROM postern_outbox WHERE lane = $1 AND lane <> '' AND `+openCall+` ORDER BY turn LIMIT 1)`, lane)
	return err
}

// closes reports whether a move takes a call out of its lane.
func closes(c *call, to outbox.State) bool { return c.Lane != "" && c.State.Open() && !to.Open() }
