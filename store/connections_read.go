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

// connectionColumns are what [scanConnection] reads.
const connectionColumns = `provider, account, credential, state, fence, generation, access, refresh, extra, hosts, base_url, needs, granted,
  obtained, expiry, refresh_expiry, tries, failures, failure, revoke_due, holder, until, created, changed`

// scanConnection reads a row at a time.
func scanConnection(scan func(...any) error, now time.Time) (r connection.Row, err error) {
	var lists [3]string
	var times [7]int64
	err = scan(&r.Provider, &r.Account, &r.Credential, &r.State, &r.Fence, &r.Generation, &r.Access, &r.Refresh, &r.Extra, &lists[0], &r.BaseURL, &lists[1], &lists[2],
		&times[0], &times[1], &times[2], &r.Tries, &r.Failures, &r.Failure, &times[3], &r.Holder, &times[4], &times[5], &times[6])
	if err != nil {
		return r, err
	}
	for i, into := range []*[]string{&r.Hosts, &r.Needs, &r.Granted} {
		if err := json.Unmarshal([]byte(lists[i]), into); err != nil {
			return r, fmt.Errorf("its lists: %w", err)
		}
		*into = eachOf(unescaped, *into)
	}
	for i, into := range []*time.Time{&r.Obtained, &r.Expiry, &r.RefreshExpiry, &r.RevokeDue, &r.Until, &r.Created, &r.Changed} {
		*into = fromMicro(times[i])
	}
	r = kept(r)
	r.Now = instant(now)
	return r, nil
}

// rows reads connections.
func (s sqliteConnections) rows(ctx context.Context, query string, args ...any) (all []connection.Row, err error) {
	now := time.Now()
	err = s.scan(ctx, func(rows *sql.Rows) error {
		r, err := scanConnection(rows.Scan, now)
		all = append(all, r)
		return err
	}, "SELECT "+connectionColumns+" FROM connections "+query, args...)
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return all, nil
}

func (s sqliteConnections) Load(ctx context.Context, k connection.Key) (connection.Row, error) {
	all, err := s.rows(ctx, "WHERE provider = ? AND account = ? AND credential = ?", k.Provider, k.Account, k.Credential)
	switch {
	case err != nil:
		return connection.Row{}, err
	case len(all) == 0:
		return connection.Row{}, connection.ErrUnknown
	}
	return all[0], nil
}

func (s sqliteConnections) List(ctx context.Context, f connection.Filter) ([]connection.Row, error) {
	query := "WHERE (provider, account, credential) > (?, ?, ?)"
	args := []any{f.After.Provider, f.After.Account, f.After.Credential}
	for _, c := range []struct{ column, value string }{{"provider", f.Provider}, {"account", f.Account}, {"state", string(f.State)}} {
		if c.value != "" {
			query += " AND " + c.column + " = ?"
			args = append(args, c.value)
		}
	}
	if !f.RevokeBefore.IsZero() {
		query += " AND revoke_due > 0 AND revoke_due <= ?"
		args = append(args, micro(f.RevokeBefore))
	}
	query += " ORDER BY provider, account, credential"
	if f.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, f.Limit)
	}
	return s.rows(ctx, query, args...)
}

func (s sqliteConnections) Stats(ctx context.Context) (all []connection.Stat, err error) {
	err = s.scan(ctx, func(r *sql.Rows) error {
		var c connection.Stat
		err := r.Scan(&c.Provider, &c.State, &c.Count)
		all = append(all, c)
		return err
	}, "SELECT provider, state, count(*) FROM connections GROUP BY provider, state ORDER BY provider, state")
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	return all, nil
}

func (s sqliteConnections) Changed(ctx context.Context, since time.Time) ([]connection.Row, time.Time, error) {
	now := instant(time.Now()) // before it is read: what is written meanwhile is for the next time
	all, err := s.rows(ctx, "WHERE changed >= ?", micro(since))
	return all, now, err
}

func (s sqliteConnections) History(ctx context.Context, k connection.Key, limit int) ([]connection.Move, error) {
	all, err := s.turns(ctx, k, limit)
	if err != nil {
		return nil, err
	}
	return movesOf(all), nil
}

// turns reads the last moves of a connection, the newest first; with a limit of
// 0 all of them.
func (s *SQLite) turns(ctx context.Context, k connection.Key, limit int) (all []turn, err error) {
	if limit <= 0 {
		limit = -1 // none
	}
	err = s.scan(ctx, func(r *sql.Rows) error {
		var m turn
		var at int64
		err := r.Scan(&m.fence, &at, &m.From, &m.To, &m.Generation, &m.Reason, &m.By, &m.Replica)
		m.At = fromMicro(at)
		all = append(all, m)
		return err
	}, `SELECT m.fence, m.at, m.from_state, m.to_state, m.generation, m.reason, m.actor, m.replica FROM connections c JOIN connection_moves m ON m.connection = c.id
WHERE c.provider = ? AND c.account = ? AND c.credential = ? ORDER BY m.fence DESC LIMIT ?`, k.Provider, k.Account, k.Credential, limit)
	if err != nil {
		return nil, fmt.Errorf("read the history of a connection: %w", err)
	}
	return all, nil
}

func (s sqliteConnections) Look(ctx context.Context, id []byte) (connection.Ticket, error) {
	k, expires := connection.Ticket{ID: append([]byte(nil), id...)}, int64(0)
	err := s.read.QueryRowContext(ctx, "SELECT sealed, expires FROM tickets WHERE id = ? AND expires > ?", notNil(id), time.Now().UnixMicro()).Scan(&k.Sealed, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return connection.Ticket{}, connection.ErrUnknown
	case err != nil:
		return connection.Ticket{}, fmt.Errorf("look for a ticket: %w", err)
	}
	k.Expires = fromMicro(expires)
	return k, nil
}
