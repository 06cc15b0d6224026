package store

import (
	"context"
	"encoding/json"

	"github.com/postern-proxy/postern/outbox"
)

// copyCallsAtOnce is how many calls, of up to 8 MiB each, are in memory at once.
const copyCallsAtOnce = 16

// wholeCall is everything that is kept of one call.
type wholeCall struct {
	seq    int64 // in the database that it was read from
	fields []any // outboxCopied, then request and result
	lane   string
	moves  [][]any // outboxMoved
}

// Columns that are the same in every database. seq is not: each numbers calls for
// itself, in the same order.
const (
	outboxCopied = "id, kind, of_id, provider, client, account, endpoint, method, target, lane, turn, once, mark, print, state, outcome, status, reason, attempt, wait, created, changed, due, expires, doubt, forced, fence"
	outboxMoved  = "fence, at, from_state, to_state, attempt, outcome, status, took, reason, actor, replica"
)

// insertCopied returns no row if the call is there already.
const insertCopied = "INSERT INTO postern_outbox (" + outboxCopied + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27) " +
	"ON CONFLICT DO NOTHING RETURNING seq"

// texts returns where to scan columns of these kinds to, and a function that takes them.
func texts(kinds string) (into []any, take func() []any) {
	for _, k := range kinds {
		switch k {
		case 't':
			into = append(into, new(string))
		case 'n':
			into = append(into, new(int64))
		default:
			into = append(into, new([]byte))
		}
	}
	return into, func() (all []any) {
		for _, p := range into {
			switch p := p.(type) {
			case *string:
				all = append(all, *p)
			case *int64:
				all = append(all, *p)
			case *[]byte:
				all = append(all, notNil(*p))
			}
		}
		return all
	}
}

// The kinds of the columns above: text, number, bytes.
const (
	copiedKinds = "ttttttttttn" + "bbb" + "ttntnn" + "nnnnnnn" + "bb" // request and result last
	movedKinds  = "nnttntnnttt"
)

// copiedCalls is the outbox.
func copiedCalls() copyPart {
	return copiedRows[wholeCall]{
		name: "calls of the outbox", some: someCalls, add: addCalls,
		write: func(f *fields, w *wholeCall) error { return json.NewEncoder(f).Encode([]any{w.fields, w.moves}) },
		moves: func(w *wholeCall) int { return len(w.moves) },
		told:  func(sum *Summary, n copyCount) { sum.Calls, sum.CallMoves = n[0], n[1] },
	}
}

func someCalls(ctx context.Context, db copyable, last *wholeCall) (all []wholeCall, err error) {
	q := db.Outbox().(outboxStore).reader(ctx)
	var after int64
	if last != nil {
		after = last.seq
	}
	err = q.rows(func(scan func(...any) error) error {
		var seq int64
		into, take := texts(copiedKinds)
		err := scan(append([]any{&seq}, into...)...)
		w := wholeCall{seq: seq, fields: take()}
		w.lane, _ = w.fields[9].(string)
		all = append(all, w)
		return err
	}, "SELECT o.seq, "+outboxCopied+", b.request, b.result FROM postern_outbox o JOIN postern_outbox_sealed b ON b.seq = o.seq WHERE o.seq > $1 ORDER BY o.seq LIMIT $2", after, int64(copyCallsAtOnce))
	for i := 0; err == nil && i < len(all); i++ {
		err = q.rows(func(scan func(...any) error) error {
			into, take := texts(movedKinds)
			err := scan(into...)
			all[i].moves = append(all[i].moves, take())
			return err
		}, "SELECT "+outboxMoved+" FROM postern_outbox_moves WHERE seq = $1 ORDER BY fence", all[i].seq)
	}
	return all, err
}

func addCalls(ctx context.Context, db copyable, all []wholeCall) error {
	return db.Outbox().(outboxStore).transaction(ctx, 0, func(q sqlStatements) error {
		for i := range all {
			if err := all[i].insert(q); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *wholeCall) insert(q sqlStatements) error {
	var seq int64
	columns := len(w.fields) - 2
	if err := q.rows(func(scan func(...any) error) error { return scan(&seq) }, insertCopied, w.fields[:columns]...); err != nil || seq == 0 {
		return err
	}
	if _, err := q.change("INSERT INTO postern_outbox_sealed (seq, request, result) VALUES ($1, $2, $3)", seq, w.fields[columns], w.fields[columns+1]); err != nil {
		return err
	}
	for _, m := range w.moves {
		if _, err := q.change("INSERT INTO postern_outbox_moves (seq, "+outboxMoved+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", append([]any{seq}, m...)...); err != nil {
			return err
		}
	}
	if w.lane == "" {
		return nil
	}
	_, err := q.change("INSERT INTO postern_outbox_lanes (lane, turn) VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE SET turn = CASE WHEN postern_outbox_lanes.turn < $2 THEN $2 ELSE postern_outbox_lanes.turn END", w.lane, w.fields[10])
	return err
}

// foreignCalls is an error if a destination has calls of its own.
func foreignCalls(ctx context.Context, db Database) error {
	n, err := db.Outbox().Count(ctx, outbox.Filter{})
	if err == nil && n > 0 {
		err = errForeign(int64(n), "calls of the outbox")
	}
	return err
}
