package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/connection"
)

// pgConnections reads connections with the time at which they were read.
const pgConnections = `SELECT provider, account, credential, state, fence, generation, access, refresh, extra, hosts, base_url, needs, granted,
  obtained, expiry, refresh_expiry, tries, failures, failure, revoke_due, holder, until, created, changed, clock_timestamp() FROM postern_connections `

func pgScanConnection(rows pgx.Rows) (r connection.Row, err error) {
	var times [5]*time.Time
	var tries, failures int64
	err = rows.Scan(&r.Provider, &r.Account, &r.Credential, &r.State, &r.Fence, &r.Generation, &r.Access, &r.Refresh, &r.Extra, &r.Hosts, &r.BaseURL, &r.Needs, &r.Granted,
		&times[0], &times[1], &times[2], &tries, &failures, &r.Failure, &times[3], &r.Holder, &times[4], &r.Created, &r.Changed, &r.Now)
	if err != nil {
		return r, err
	}
	r.Tries, r.Failures = int(tries), int(failures)
	for _, text := range []*string{&r.Provider, &r.Account, &r.Credential, &r.BaseURL, &r.Failure, &r.Holder} {
		*text = unescaped(*text)
	}
	for _, list := range []*[]string{&r.Hosts, &r.Needs, &r.Granted} {
		*list = eachOf(unescaped, *list)
	}
	for i, into := range []*time.Time{&r.Obtained, &r.Expiry, &r.RefreshExpiry, &r.RevokeDue, &r.Until} {
		if times[i] != nil {
			*into = *times[i]
		}
	}
	return kept(r), nil
}

// rows reads connections.
func (s postgresConnections) rows(ctx context.Context, query string, args ...any) (all []connection.Row, err error) {
	err = s.Postgres.read(ctx, func(rows pgx.Rows) error {
		r, err := pgScanConnection(rows)
		all = append(all, r)
		return err
	}, pgConnections+query, args...)
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return all, nil
}

func (s postgresConnections) Load(ctx context.Context, k connection.Key) (connection.Row, error) {
	all, err := s.rows(ctx, "WHERE provider = $1 AND account = $2 AND credential = $3", escaped(k.Provider), escaped(k.Account), escaped(k.Credential))
	switch {
	case err != nil:
		return connection.Row{}, err
	case len(all) == 0:
		return connection.Row{}, connection.ErrUnknown
	}
	return all[0], nil
}

func (s postgresConnections) List(ctx context.Context, f connection.Filter) ([]connection.Row, error) {
	query := "WHERE (provider, account, credential) > ($1, $2, $3)"
	args := []any{escaped(f.After.Provider), escaped(f.After.Account), escaped(f.After.Credential)}
	add := func(condition string, value any) {
		args = append(args, value)
		query += strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args)))
	}
	for _, c := range []struct{ column, value string }{{"provider", f.Provider}, {"account", f.Account}, {"state", string(f.State)}} {
		if c.value != "" {
			add(" AND "+c.column+" = ?", escaped(c.value))
		}
	}
	if !f.RevokeBefore.IsZero() {
		add(" AND revoke_due <= ?", f.RevokeBefore)
	}
	query += " ORDER BY provider, account, credential"
	if f.Limit > 0 {
		add(" LIMIT ?", f.Limit)
	}
	return s.rows(ctx, query, args...)
}

func (s postgresConnections) Stats(ctx context.Context) (all []connection.Stat, err error) {
	err = s.Postgres.read(ctx, func(r pgx.Rows) error {
		var c connection.Stat
		var n int64
		err := r.Scan(&c.Provider, &c.State, &n)
		c.Provider, c.Count = unescaped(c.Provider), int(n)
		all = append(all, c)
		return err
	}, "SELECT provider, state, count(*) FROM postern_connections GROUP BY provider, state ORDER BY provider, state")
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	return all, nil
}

// Changed asks for the time before it reads: what is committed meanwhile is for
// the next time.
func (s postgresConnections) Changed(ctx context.Context, since time.Time) (all []connection.Row, now time.Time, err error) {
	query, args := pgConnections, []any(nil)
	if at := moment(since); at != nil {
		query, args = query+"WHERE changed >= $1", []any{at}
	}
	err = s.untilDone(ctx, quick, func(ctx context.Context, _ bool) error {
		all = nil
		b := &pgx.Batch{}
		b.Queue("SELECT clock_timestamp()").QueryRow(func(r pgx.Row) error { return r.Scan(&now) })
		b.Queue(query, args...).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				r, err := pgScanConnection(rows)
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			return rows.Err()
		})
		return s.send(ctx, quick, b)
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read changed connections: %w", err)
	}
	return all, now, nil
}

func (s postgresConnections) History(ctx context.Context, k connection.Key, limit int) ([]connection.Move, error) {
	all, err := s.turns(ctx, k, limit)
	if err != nil {
		return nil, err
	}
	return movesOf(all), nil
}

// turns reads the last moves of a connection, the newest first; with a limit of
// 0 all of them.
func (p *Postgres) turns(ctx context.Context, k connection.Key, limit int) (all []turn, err error) {
	var most *int // none
	if limit > 0 {
		most = &limit
	}
	err = p.read(ctx, func(r pgx.Rows) error {
		var m turn
		err := r.Scan(&m.fence, &m.At, &m.From, &m.To, &m.Generation, &m.Reason, &m.By, &m.Replica)
		for _, text := range []*string{&m.Reason, &m.By, &m.Replica} {
			*text = unescaped(*text)
		}
		all = append(all, m)
		return err
	}, `SELECT m.fence, m.at, m.from_state, m.to_state, m.generation, m.reason, m.actor, m.replica FROM postern_connections c JOIN postern_connection_moves m ON m.connection = c.id
WHERE c.provider = $1 AND c.account = $2 AND c.credential = $3 ORDER BY m.fence DESC LIMIT $4`, escaped(k.Provider), escaped(k.Account), escaped(k.Credential), most)
	if err != nil {
		return nil, fmt.Errorf("read the history of a connection: %w", err)
	}
	return all, nil
}
