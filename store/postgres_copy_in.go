package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// addition is what is added to each table.
type addition struct {
	keys, events, bodies, deliveries, trail [][]any

	lanes  map[string]int64 // digest of a lane: its head
	closed map[tallied]int64
}

type tallied struct{ webhook, state string }

// add stores bodies and trail with those of today, whatever day they are from:
// partitions of days that are over may be on their way out.
func (p *Postgres) add(ctx context.Context, after int64, all []whole) error {
	return p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		var day time.Time
		if err := tx.QueryRow(ctx, "SELECT (now() AT TIME ZONE 'UTC')::date").Scan(&day); err != nil {
			return err
		}
		a := &addition{lanes: map[string]int64{}, closed: map[tallied]int64{}}
		for i := range all {
			if err := a.event(&all[i], day); err != nil {
				return err
			}
		}
		if err := a.store(ctx, tx); err != nil {
			return err
		}
		done, err := tx.Exec(ctx, "UPDATE postern_copying SET seq = $1 WHERE seq = $2", all[len(all)-1].seq, after)
		if err == nil && done.RowsAffected() != 1 {
			err = errors.New("another copy is under way")
		}
		return err
	})
}

func (a *addition) event(w *whole, day time.Time) error {
	e := &w.event
	header, err := json.Marshal(eachText(escaped, e.Header))
	if err != nil {
		return fmt.Errorf("encode the headers of event %s: %w", e.ID, err)
	}
	a.keys = append(a.keys, []any{dedupeKey(e), e.Variant, w.seq, e.SHA256[:]})
	a.events = append(a.events, []any{
		w.seq, escaped(e.ID), escaped(e.Webhook), escaped(e.Account), escaped(e.EventID), e.Variant, e.Weak, e.Verified,
		escaped(e.Type), escaped(e.Key), escaped(e.Lane), moment(e.Occurred), e.Received, e.SHA256[:], int64(e.Size), day, proofText(e.Proof), escaped(e.Parent), escaped(e.Misfit), string(e.Rank), e.Items, moment(e.Horizon), moment(e.Emptied),
	})
	a.bodies = append(a.bodies, []any{day, w.seq, string(header), notNil(e.Body)})
	for n := range w.deliveries {
		d, id, lane := &w.deliveries[n], w.seq*perSeq+int64(n), laneKey(w.deliveries[n].Target, e.Lane)
		if lane != nil {
			id += laned
		}
		if lane != nil && (d.State.Open() && !d.waits || d.Stand == inbound.Holding) {
			a.lanes[string(lane)] = id
		}
		if !d.State.Open() {
			webhook, _, _ := strings.Cut(escaped(d.Target), "/")
			a.closed[tallied{webhook, string(d.State)}]++
		}
		a.deliveries = append(a.deliveries, []any{
			id, escaped(d.Target), lane, string(d.State), d.waits, d.Due, d.fence, d.Attempt, d.wait.Microseconds(), string(d.Origin), escaped(d.Reason), int16(d.Stand),
		})
		for i := range d.trail {
			a.move(id, &d.trail[i], day)
		}
	}
	return nil
}

func (a *addition) move(delivery int64, m *wholeMove, day time.Time) {
	a.trail = append(a.trail, []any{
		day, delivery, m.fence, m.At, string(m.From), string(m.To), m.Attempt, m.Status, m.Took.Microseconds(),
		escaped(m.Reason), escaped(m.Detail), escaped(m.By), escaped(m.Replica),
	})
}

func (a *addition) store(ctx context.Context, tx pgx.Tx) error {
	for _, t := range []struct {
		name, columns string
		rows          [][]any
	}{
		{"postern_keys", "dedupe variant seq sha256", a.keys},
		{"postern_events", "seq id webhook account event_id variant weak verified type key lane occurred received sha256 size day proof parent misfit rank items horizon emptied", a.events},
		{"postern_bodies", "day seq header body", a.bodies},
		{"postern_deliveries", "id target lane state waiting due fence attempt wait origin reason standing", a.deliveries},
		{"postern_trail", "day delivery fence at from_state to_state attempt status took reason detail actor replica", a.trail},
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, strings.Fields(t.columns), pgx.CopyFromRows(t.rows)); err != nil {
			return fmt.Errorf("copy into %s: %w", t.name, err)
		}
	}
	b := &pgx.Batch{}
	for lane, head := range a.lanes {
		b.Queue("INSERT INTO postern_lanes (lane, head) VALUES ($1, $2)", []byte(lane), head)
	}
	for c, n := range a.closed {
		b.Queue("INSERT INTO postern_tally (webhook, state, n) VALUES ($1, $2, $3)", c.webhook, c.state, n)
	}
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, b).Close()
}
