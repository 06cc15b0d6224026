package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postern-proxy/postern/connection"
)

func (s *SQLite) grants(ctx context.Context) (g grants, err error) {
	err = s.read.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM connections), (SELECT count(*) FROM tickets), (SELECT count(*) FROM answers)").Scan(&g.connections, &g.tickets, &g.answers)
	return g, err
}

func (s *SQLite) addConnections(ctx context.Context, all []wholeConnection) error {
	return s.do(ctx, 0, func(t *tx) error {
		for i := range all {
			if err := t.addConnection(&all[i]); err != nil {
				return fmt.Errorf("store the connection %q of %q: %w", all[i].row.Account, all[i].row.Provider, err)
			}
		}
		return nil
	})
}

func (t *tx) addConnection(w *wholeConnection) error {
	r := &w.row
	values, err := connectionValues(r)
	if err != nil {
		return err
	}
	var id, created int64
	err = t.each(func(rows *sql.Rows) error { return rows.Scan(&id, &created) }, insertConnection,
		append(values, r.Provider, r.Account, r.Credential, r.Fence, micro(r.Created), micro(r.Changed))...)
	if err != nil || id == 0 { // it is there from an earlier try
		return err
	}
	for _, m := range w.turns {
		if err := t.exec(insertConnectionMove, id, m.fence, micro(m.At), string(m.From), string(m.To), m.Generation, m.Reason, m.By, m.Replica); err != nil {
			return err
		}
	}
	return nil
}

// tickets reads every ticket, also those that have expired, in the order of
// their ids.
func (s *SQLite) tickets(ctx context.Context) (all []connection.Ticket, err error) {
	err = s.scan(ctx, func(r *sql.Rows) error {
		var t connection.Ticket
		var expires int64
		err := r.Scan(&t.ID, &t.Sealed, &expires)
		t.Expires = fromMicro(expires)
		all = append(all, t)
		return err
	}, "SELECT id, sealed, expires FROM tickets ORDER BY id")
	return all, err
}

func (s *SQLite) addTickets(ctx context.Context, all []connection.Ticket) error {
	return s.do(ctx, 0, func(t *tx) error {
		for _, k := range all {
			if err := t.exec("INSERT INTO tickets (id, sealed, expires) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", k.ID, notNil(k.Sealed), micro(k.Expires)); err != nil {
				return err
			}
		}
		return nil
	})
}
