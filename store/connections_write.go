package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// Connections returns s as the store of connections.
func (s *SQLite) Connections() connection.Store { return sqliteConnections{s} }

type sqliteConnections struct{ *SQLite }

// connectionValues are the columns that a write sets, without those of the key
// and of time, in the order of [insertConnection] and [updateConnection].
func connectionValues(r *connection.Row) ([]any, error) {
	lists := make([]string, 3)
	for i, list := range [][]string{r.Hosts, r.Needs, r.Granted} {
		text, err := json.Marshal(eachOf(escaped, list)) // JSON has no bytes that are not UTF-8
		if err != nil {
			return nil, err
		}
		lists[i] = string(text)
	}
	return []any{
		string(r.State), r.Generation, notNil(r.Access), notNil(r.Refresh), notNil(r.Extra), lists[0], r.BaseURL, lists[1], lists[2],
		micro(r.Obtained), micro(r.Expiry), micro(r.RefreshExpiry), r.Tries, r.Failures, r.Failure, micro(r.RevokeDue), r.Holder, micro(r.Until),
	}, nil
}

const (
	insertConnection = `INSERT INTO connections (state, generation, access, refresh, extra, hosts, base_url, needs, granted,
  obtained, expiry, refresh_expiry, tries, failures, failure, revoke_due, holder, until, provider, account, credential, fence, created, changed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (provider, account, credential) DO NOTHING RETURNING id, created`

	updateConnection = `UPDATE connections SET state = ?, generation = ?, access = ?, refresh = ?, extra = ?, hosts = ?, base_url = ?, needs = ?, granted = ?,
  obtained = ?, expiry = ?, refresh_expiry = ?, tries = ?, failures = ?, failure = ?, revoke_due = ?, holder = ?, until = ?, changed = ?, fence = fence + 1
WHERE provider = ? AND account = ? AND credential = ? AND fence = ? RETURNING id, created`

	insertConnectionMove = `INSERT INTO connection_moves (connection, fence, at, from_state, to_state, generation, reason, actor, replica)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func (s sqliteConnections) Save(ctx context.Context, r connection.Row, m connection.Move) (connection.Row, error) {
	if err := checkConnection(&r); err != nil {
		return connection.Row{}, err
	}
	r = kept(r)
	values, err := connectionValues(&r)
	if err != nil {
		return connection.Row{}, fmt.Errorf("save the connection of %s: %w", r.Provider, err)
	}
	var id, created, now int64
	err = s.do(ctx, len(r.Access)+len(r.Refresh)+len(r.Extra), func(t *tx) error {
		id, now = 0, time.Now().UnixMicro()
		query, args := updateConnection, append(values[:len(values):len(values)], now, r.Provider, r.Account, r.Credential, r.Fence)
		if r.Fence == 0 {
			query, args = insertConnection, append(values[:len(values):len(values)], r.Provider, r.Account, r.Credential, 1, now, now)
		}
		err := t.each(func(rows *sql.Rows) error { return rows.Scan(&id, &created) }, query, args...)
		if err != nil || id == 0 { // nothing was written
			return err
		}
		return t.exec(insertConnectionMove, id, r.Fence+1, now, string(m.From), string(m.To), m.Generation, m.Reason, m.By, s.replica)
	})
	switch {
	case err != nil:
		return connection.Row{}, fmt.Errorf("save the connection of %s: %w", r.Provider, err)
	case id == 0:
		return connection.Row{}, connection.ErrStale
	}
	return saved(r, fromMicro(created), fromMicro(now)), nil
}

func (s sqliteConnections) Keep(ctx context.Context, k connection.Ticket) error {
	if err := checkTicket(&k); err != nil {
		return err
	}
	fresh := false
	err := s.do(ctx, len(k.Sealed), func(t *tx) error {
		n, err := t.change("INSERT INTO tickets (id, sealed, expires) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", k.ID, notNil(k.Sealed), micro(k.Expires))
		fresh = n == 1
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("keep a ticket: %w", err)
	case !fresh:
		return errTicket
	}
	return nil
}

func (s sqliteConnections) Take(ctx context.Context, id []byte) (connection.Ticket, error) {
	var k connection.Ticket
	found := false
	err := s.do(ctx, 0, func(t *tx) error {
		found, k = false, connection.Ticket{ID: append([]byte(nil), id...)}
		return t.each(func(r *sql.Rows) error {
			var expires int64
			err := r.Scan(&k.Sealed, &expires)
			found, k.Expires = true, fromMicro(expires)
			return err
		}, "DELETE FROM tickets WHERE id = ? AND expires > ? RETURNING sealed, expires", notNil(id), time.Now().UnixMicro())
	})
	switch {
	case err != nil:
		return connection.Ticket{}, fmt.Errorf("take a ticket: %w", err)
	case !found:
		return connection.Ticket{}, connection.ErrUnknown
	}
	return k, nil
}

// What maintenance deletes, some rows at once.
const (
	pruneTickets = "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE expires <= ? LIMIT ?)"

	pruneOld = `DELETE FROM connection_moves WHERE (connection, fence) IN (
  SELECT m.connection, m.fence FROM connection_moves m JOIN connections c ON c.id = m.connection WHERE m.at < ? AND m.fence < c.fence LIMIT ?)`

	// pruneMany looks at few rows of each connection: the order of a CROSS JOIN is
	// never changed.
	pruneMany = `DELETE FROM connection_moves WHERE (connection, fence) IN (
  SELECT m.connection, m.fence FROM connections c CROSS JOIN connection_moves m ON m.connection = c.id AND m.fence <= c.fence - ? LIMIT ?)`
)

// maintainConnections removes tickets that have expired, and history that is too
// old or too much, a little at a time.
func (s *SQLite) maintainConnections(ctx context.Context) error {
	now := time.Now()
	err := errors.Join(s.prune(ctx, pruneTickets, now.UnixMicro()), s.prune(ctx, pruneMany, historyKept))
	if s.retain > 0 {
		err = errors.Join(err, s.prune(ctx, pruneOld, now.Add(-s.retain).UnixMicro()))
	}
	if err != nil {
		return fmt.Errorf("tidy connections: %w", err)
	}
	return nil
}

// prune deletes all that a query finds, some at a time.
func (s *SQLite) prune(ctx context.Context, query string, arg int64) error {
	for n := int64(prunedAtOnce); n == prunedAtOnce; {
		err := s.do(ctx, 0, func(t *tx) (err error) {
			n, err = t.change(query, arg, prunedAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
