package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/connection"
)

// The database is told how long it is until a ticket expires, not when, and says
// how long it is: the clocks of replicas do not matter.
const (
	pgKeepTicket = `INSERT INTO postern_tickets (id, sealed, expires) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
ON CONFLICT (id) DO NOTHING RETURNING true`

	pgTicketLeft = "sealed, (extract(epoch FROM expires - clock_timestamp()) * 1000000)::bigint"

	// pgTakeTicket marks the ticket, so that a taker that lost the answer has it
	// when it asks again, and nobody else.
	pgTakeTicket = "UPDATE postern_tickets SET taken = $2 WHERE id = $1 AND expires > clock_timestamp() AND (taken IS NULL OR taken = $2) RETURNING " + pgTicketLeft
)

func (s postgresConnections) Keep(ctx context.Context, t connection.Ticket) error {
	if err := checkTicket(&t); err != nil {
		return err
	}
	mine := false
	into := func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&mine}, func() error { return nil })
		return err
	}
	err := s.untilDone(ctx, quick, func(ctx context.Context, first bool) error {
		err := s.write(ctx, quick, func(b *pgx.Batch) { b.Queue(pgKeepTicket, t.ID, notNil(t.Sealed), delay(t.Expires)).Query(into) })
		if err == nil && !mine && !first {
			err = s.write(ctx, quick, func(b *pgx.Batch) {
				b.Queue("SELECT sealed = $2 FROM postern_tickets WHERE id = $1", t.ID, notNil(t.Sealed)).Query(into)
				b.Queue(commitOfOurs)
			})
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("keep a ticket: %w", err)
	case !mine:
		return errTicket
	}
	return nil
}

// ticket reads the one row that pgTicketLeft is of, if there is one.
type ticket struct {
	connection.Ticket
	found bool
}

func (t *ticket) into(rows pgx.Rows) error {
	var left int64
	_, err := pgx.ForEachRow(rows, []any{&t.Sealed, &left}, func() error { return nil })
	if t.found = rows.CommandTag().RowsAffected() == 1; t.found {
		t.Expires = instant(time.Now().Add(time.Duration(left) * time.Microsecond))
	}
	return err
}

func (t *ticket) result(err error) (connection.Ticket, error) {
	switch {
	case err != nil:
		return connection.Ticket{}, fmt.Errorf("read a ticket: %w", err)
	case !t.found:
		return connection.Ticket{}, connection.ErrUnknown
	}
	return t.Ticket, nil
}

func (s postgresConnections) Look(ctx context.Context, id []byte) (connection.Ticket, error) {
	t := ticket{Ticket: connection.Ticket{ID: append([]byte(nil), id...)}}
	err := s.untilDone(ctx, quick, func(ctx context.Context, _ bool) error {
		b := &pgx.Batch{}
		b.Queue("SELECT "+pgTicketLeft+" FROM postern_tickets WHERE id = $1 AND expires > clock_timestamp() AND taken IS NULL", notNil(id)).Query(t.into)
		return s.send(ctx, quick, b)
	})
	return t.result(err)
}

func (s postgresConnections) Take(ctx context.Context, id []byte) (connection.Ticket, error) {
	t := ticket{Ticket: connection.Ticket{ID: append([]byte(nil), id...)}}
	taker := make([]byte, 16)
	_, _ = rand.Read(taker) // never fails
	err := s.untilDone(ctx, quick, func(ctx context.Context, _ bool) error {
		return s.write(ctx, quick, func(b *pgx.Batch) { b.Queue(pgTakeTicket, notNil(id), taker).Query(t.into) })
	})
	return t.result(err)
}
