package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

const eventColumns = "e.id, e.webhook, e.account, e.event_id, e.variant, e.weak, e.verified, e.type, e.key, e.lane, e.occurred, e.received, e.sha256, e.size, e.proof, e.parent, e.misfit, e.rank, e.items, e.horizon, e.emptied, e.seq"

// scanEvent reads eventColumns and what follows them.
func scanEvent(scan func(...any) error, e *inbound.Event, seq *int64, more ...any) error {
	var occurred, received, horizon, emptied, ignored int64
	var sum []byte
	var proof string
	if seq == nil {
		seq = &ignored
	}
	err := scan(append([]any{
		&e.ID, &e.Webhook, &e.Account, &e.EventID, &e.Variant, &e.Weak, &e.Verified, &e.Type, &e.Key, &e.Lane, &occurred, &received, &sum, &e.Size, &proof, &e.Parent, &e.Misfit, &e.Rank, &e.Items, &horizon, &emptied, seq,
	}, more...)...)
	e.Occurred, e.Received, e.Horizon, e.Emptied = fromMicro(occurred), fromMicro(received), fromMicro(horizon), fromMicro(emptied)
	copy(e.SHA256[:], sum)
	e.Proof = readProof(proof)
	return err
}

// deliveries fills in where the deliveries of an event stand.
func (s inbox) deliveries(ctx context.Context, r *inbound.Record, seq int64) error {
	return deliveriesOf(ctx, s.read, r, seq)
}

// reader is a database, or a transaction of it.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func deliveriesOf(ctx context.Context, from reader, r *inbound.Record, seq int64) error {
	rows, err := from.QueryContext(ctx, "SELECT target, state, origin, attempt, due, reason, standing FROM deliveries WHERE id BETWEEN ? * 256 AND ? * 256 + 255 ORDER BY id", seq, seq)
	if err != nil {
		return fmt.Errorf("read the deliveries of event %s: %w", r.ID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var d inbound.DeliveryStatus
		if err := scanDelivery(rows, &d); err != nil {
			return fmt.Errorf("read the deliveries of event %s: %w", r.ID, err)
		}
		r.Deliveries = append(r.Deliveries, d)
	}
	r.Status = statusOf(r.Deliveries)
	return rows.Err()
}

// scanDelivery reads target, state, origin, attempt, due, reason and standing, after what
// goes before them.
func scanDelivery(rows *sql.Rows, d *inbound.DeliveryStatus, before ...any) error {
	var due int64
	err := rows.Scan(append(before, &d.Target, &d.State, &d.Origin, &d.Attempt, &due, &d.Reason, &d.Stand)...)
	if due < waiting {
		d.Due = fromMicro(due)
	}
	return err
}

func statusOf(deliveries []inbound.DeliveryStatus) inbound.State {
	states := make([]inbound.State, len(deliveries))
	for i, d := range deliveries {
		states[i] = d.State
	}
	return inbound.Status(states)
}

// find reads one event, with header and body if they are asked for.
func (s inbox) find(ctx context.Context, id string, more ...any) (e inbound.Event, seq int64, err error) {
	query := "SELECT " + eventColumns + " FROM events e WHERE e.id = ? AND e.gone = 0"
	if len(more) > 0 {
		query = "SELECT " + eventColumns + ", b.header, b.body FROM events e JOIN bodies b ON b.seq = e.seq WHERE e.id = ? AND e.gone = 0"
	}
	err = scanEvent(s.read.QueryRowContext(ctx, query, id).Scan, &e, &seq, more...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return e, 0, inbound.ErrNotFound
	case err != nil:
		return e, 0, fmt.Errorf("read event %s: %w", id, err)
	}
	return e, seq, nil
}

func (s inbox) Body(ctx context.Context, id string) (*inbound.Event, error) {
	var header string
	var body []byte
	e, _, err := s.find(ctx, id, &header, &body)
	if err != nil {
		return nil, err
	}
	if !e.Emptied.IsZero() {
		return nil, fmt.Errorf("read event %s: %w", id, inbound.ErrEmptied)
	}
	e.Body = body
	if err := json.Unmarshal([]byte(header), &e.Header); err != nil {
		return nil, fmt.Errorf("read the headers of event %s: %w", id, err)
	}
	return &e, nil
}

func (s inbox) Show(ctx context.Context, id string) (*inbound.Record, error) {
	e, seq, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &inbound.Record{Event: e}
	var header string
	if err := s.read.QueryRowContext(ctx, "SELECT header FROM bodies WHERE seq = ?", seq).Scan(&header); err != nil {
		return nil, fmt.Errorf("read event %s: %w", id, err)
	}
	if err := json.Unmarshal([]byte(header), &r.Header); err != nil {
		return nil, fmt.Errorf("read the headers of event %s: %w", id, err)
	}
	if err := s.deliveries(ctx, r, seq); err != nil {
		return nil, err
	}
	return r, s.trail(ctx, r, seq)
}

// trail fills in the audit trail of an event, by delivery in the order of the
// fence: that order is right whatever the clock did.
func (s inbox) trail(ctx context.Context, r *inbound.Record, seq int64) error {
	rows, err := s.read.QueryContext(ctx, `SELECT t.delivery, t.at, t.from_state, t.to_state, t.attempt, t.status, t.took, t.reason, t.detail, t.actor, t.replica
FROM transitions t WHERE t.delivery BETWEEN ? * 256 AND ? * 256 + 255 ORDER BY t.delivery, t.fence`, seq, seq)
	if err != nil {
		return fmt.Errorf("read the trail of event %s: %w", r.ID, err)
	}
	defer rows.Close()
	for rows.Next() {
		t := inbound.Transition{Event: r.ID, Webhook: r.Webhook, Received: r.Received}
		var delivery, at, took int64
		if err := rows.Scan(&delivery, &at, &t.From, &t.To, &t.Attempt, &t.Status, &took, &t.Reason, &t.Detail, &t.By, &t.Replica); err != nil {
			return fmt.Errorf("read the trail of event %s: %w", r.ID, err)
		}
		t.At, t.Took = fromMicro(at), time.Duration(took)*time.Microsecond
		if n := delivery % perEvent; n < int64(len(r.Deliveries)) {
			t.Target = r.Deliveries[n].Target
		}
		r.Trail = append(r.Trail, t)
	}
	return rows.Err()
}
