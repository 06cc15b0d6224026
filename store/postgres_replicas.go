package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/replica"
)

type postgresReplicas struct{ *Postgres }

const beatSQL = `
WITH self AS (
  INSERT INTO postern_replicas (id, name, version, started, seen) VALUES ($1, $2, $3, $4, now())
  ON CONFLICT (id) DO UPDATE SET seen = excluded.seen
)
SELECT $1::text, $2::text, $3::text, $4::timestamptz, now()
UNION ALL
SELECT id, name, version, started, seen FROM postern_replicas WHERE id <> $1 AND seen > now() - $5 * interval '1 microsecond'`

func (s postgresReplicas) Beat(ctx context.Context, self replica.Replica, within time.Duration) (all []replica.Replica, err error) {
	err = s.read(ctx, func(r pgx.Rows) error {
		var m replica.Replica
		err := r.Scan(&m.ID, &m.Name, &m.Version, &m.Started, &m.Seen)
		m.ID, m.Name, m.Version = unescaped(m.ID), unescaped(m.Name), unescaped(m.Version)
		all = append(all, m)
		return err
	}, beatSQL, escaped(self.ID), escaped(self.Name), escaped(self.Version), self.Started, within.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("tell that this replica lives: %w", err)
	}
	s.alone.Store(len(all) == 1)
	return all, nil
}

func (s postgresReplicas) Leave(ctx context.Context, id string) error {
	if err := s.write(ctx, quick, func(b *pgx.Batch) { b.Queue("DELETE FROM postern_replicas WHERE id = $1", escaped(id)) }); err != nil {
		return fmt.Errorf("take leave: %w", err)
	}
	return nil
}

// Hold compares with the time after a lock was waited for, not that of the
// beginning of the statement.
func (s postgresReplicas) Hold(ctx context.Context, name, holder string, lease time.Duration) (held bool, until time.Time, err error) {
	start := time.Now()
	err = s.write(ctx, quick, func(b *pgx.Batch) {
		b.Queue(`INSERT INTO postern_leases AS l (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = clock_timestamp() + $3 * interval '1 microsecond',
  fence = CASE l.holder WHEN excluded.holder THEN l.fence ELSE l.fence + 1 END
WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
RETURNING true`, escaped(name), escaped(holder), lease.Microseconds()).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&held}, func() error { return nil })
			return err
		})
	})
	if err != nil {
		return false, time.Time{}, fmt.Errorf("hold the lease %s: %w", name, err)
	}
	return held, start.Add(lease), nil
}

func (s postgresReplicas) Yield(ctx context.Context, name, holder string) error {
	err := s.write(ctx, quick, func(b *pgx.Batch) {
		b.Queue("UPDATE postern_leases SET until = clock_timestamp() WHERE name = $1 AND holder = $2", escaped(name), escaped(holder))
	})
	if err != nil {
		return fmt.Errorf("yield the lease %s: %w", name, err)
	}
	return nil
}
