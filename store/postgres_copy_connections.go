package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/connection"
)

func (p *Postgres) grants(ctx context.Context) (g grants, err error) {
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&g.connections, &g.tickets, &g.answers) },
		"SELECT (SELECT count(*) FROM postern_connections), (SELECT count(*) FROM postern_tickets WHERE taken IS NULL), (SELECT count(*) FROM postern_answers)")
	return g, err
}

func (p *Postgres) addConnections(ctx context.Context, all []wholeConnection) error {
	return p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		var moves [][]any
		for i := range all {
			r := &all[i].row
			var id int64
			err := tx.QueryRow(ctx, pgCopyConnection, append(pgConnectionArgs(r), r.Created, r.Changed)...).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) { // it is there from an earlier try
				continue
			}
			if err != nil {
				return fmt.Errorf("store the connection %q of %q: %w", r.Account, r.Provider, err)
			}
			for _, m := range all[i].turns {
				moves = append(moves, []any{id, m.fence, []byte{}, m.At, string(m.From), string(m.To), m.Generation, escaped(m.Reason), escaped(m.By), escaped(m.Replica)})
			}
		}
		columns := strings.Fields("connection fence write at from_state to_state generation reason actor replica")
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"postern_connection_moves"}, columns, pgx.CopyFromRows(moves))
		return err
	})
}

// tickets reads every ticket that nobody has taken, also those that have
// expired, in the order of their ids.
func (p *Postgres) tickets(ctx context.Context) (all []connection.Ticket, err error) {
	err = p.read(ctx, func(r pgx.Rows) error {
		var t connection.Ticket
		err := r.Scan(&t.ID, &t.Sealed, &t.Expires)
		all = append(all, t)
		return err
	}, "SELECT id, sealed, expires FROM postern_tickets WHERE taken IS NULL ORDER BY id")
	return all, err
}

func (p *Postgres) addTickets(ctx context.Context, all []connection.Ticket) error {
	return p.write(ctx, patient, func(b *pgx.Batch) {
		for _, t := range all {
			b.Queue("INSERT INTO postern_tickets (id, sealed, expires) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING", t.ID, notNil(t.Sealed), t.Expires)
		}
	})
}
