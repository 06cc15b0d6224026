package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	lookAhead = 3      // days for which partitions are made in advance
	movable   = 20_000 // rows of a day that are moved out of the default partition at once
	idleLanes = 1000   // lanes that are forgotten at once
	homing    = 200    // events that are moved to a newer partition at once
)

// parted are the tables that have a partition for each day.
var parted = [...]string{"postern_bodies", "postern_trail"}

func partition(table string, day time.Time) string { return table + day.Format("_20060102") }

// Maintain makes the partitions of the days to come, drops those that nothing
// refers to any more, and tidies. It does not matter if several replicas do so at
// once, or if it is cut off.
func (p *Postgres) Maintain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	return errors.Join(p.tidy(ctx), p.maintainConnections(ctx), p.maintainAnswers(ctx), p.maintainStale(ctx), p.makePartitions(ctx), p.dropPartitions(ctx))
}

// tidy removes what has no more use: the idle lanes, replicas that are long gone,
// and what adds up to one row.
func (p *Postgres) tidy(ctx context.Context) error {
	for n := int64(idleLanes); n == idleLanes; {
		b := &pgx.Batch{}
		b.Queue("DELETE FROM postern_lanes WHERE lane IN (SELECT lane FROM postern_lanes WHERE head = 0 AND (until IS NULL OR until <= now()) ORDER BY lane LIMIT $1 FOR UPDATE SKIP LOCKED)", idleLanes).Exec(func(t pgconn.CommandTag) error {
			n = t.RowsAffected()
			return nil
		})
		if err := p.send(ctx, patient, b); err != nil {
			return fmt.Errorf("tidy lanes: %w", err)
		}
	}
	b := &pgx.Batch{}
	b.Queue("DELETE FROM postern_replicas WHERE seen < now() - interval '1 hour'")
	b.Queue(`WITH old AS (DELETE FROM postern_tally RETURNING webhook, state, n)
INSERT INTO postern_tally (webhook, state, n) SELECT webhook, state, sum(n) FROM old GROUP BY webhook, state HAVING sum(n) <> 0`)
	if err := p.send(ctx, patient, b); err != nil {
		return fmt.Errorf("tidy: %w", err)
	}
	return nil
}

// days reads days.
func (p *Postgres) days(ctx context.Context, query string, args ...any) (days []time.Time, err error) {
	err = p.read(ctx, func(r pgx.Rows) error {
		var day time.Time
		err := r.Scan(&day)
		days = append(days, day)
		return err
	}, query, args...)
	return days, err
}

const partitionsOf = `SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = $1::text::regclass AND c.relname ~ '_[0-9]{8}$'`

// makePartitions makes those that are not there for today, the next days, and
// every day that is in the default partition.
func (p *Postgres) makePartitions(ctx context.Context) error {
	for _, table := range parted {
		missing, err := p.days(ctx, `
SELECT day FROM (
  SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, $2::int) n UNION SELECT DISTINCT day FROM `+table+`_default
) AS d WHERE day NOT IN (`+partitionsOf+`) ORDER BY day`, table, lookAhead)
		if err != nil {
			return fmt.Errorf("look for partitions of %s: %w", table, err)
		}
		for _, day := range missing {
			if err := p.makePartition(ctx, table, day); err != nil {
				return fmt.Errorf("make the partition %s: %w", partition(table, day), err)
			}
		}
	}
	return nil
}

// makePartition makes one, and moves what is in the default partition into it. A
// day that has too much there stays there: moving it would hold up everybody.
// Nobody is held up for long by the wait for the lock either; if it is not had,
// the next time will do.
func (p *Postgres) makePartition(ctx context.Context, table string, day time.Time) error {
	name, from, to := partition(table, day), day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)
	err := p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		if err := lockBriefly(ctx, tx); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+table+"_default WHERE day = $1 LIMIT $2) AS found", day, movable+1).Scan(&n); err != nil || n > movable {
			return err
		}
		for _, statement := range []string{
			"LOCK TABLE " + table + "_default IN ACCESS EXCLUSIVE MODE",
			"CREATE TABLE IF NOT EXISTS " + name + " (LIKE " + table + " INCLUDING ALL)",
			"WITH moved AS (DELETE FROM " + table + "_default WHERE day = '" + from + "' RETURNING *) INSERT INTO " + name + " SELECT * FROM moved",
			"ALTER TABLE " + table + " ATTACH PARTITION " + name + " FOR VALUES FROM ('" + from + "') TO ('" + to + "')",
		} {
			if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeExec); err != nil {
				return err
			}
		}
		return nil
	})
	if code(err) == "42809" || code(err) == "42P07" || code(err) == "42P17" { // another replica has made it
		return nil
	}
	return later(err)
}

// lockBriefly bounds how long a transaction waits for the lock of a table, and
// everybody behind it.
func lockBriefly(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'", pgx.QueryExecModeExec)
	return err
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// later makes nothing of a lock that could not be had.
func later(err error) error {
	if code(err) == "55P03" {
		return nil
	}
	return err
}

// dropPartitions drops those of days before the time up to which events are
// deleted. What of an event that is still here lies in them goes to the
// partition of today first.
func (p *Postgres) dropPartitions(ctx context.Context) error {
	for _, table := range parted {
		old, err := p.days(ctx, "SELECT day FROM ("+partitionsOf+`) AS o(day)
WHERE day < (SELECT (at AT TIME ZONE 'UTC')::date FROM postern_notes WHERE name = 'pruned') ORDER BY day`, table)
		if err != nil {
			return fmt.Errorf("look for old partitions of %s: %w", table, err)
		}
		for _, day := range old {
			if err := p.dropPartition(ctx, table, day); err != nil {
				return fmt.Errorf("drop the partition %s: %w", partition(table, day), err)
			}
		}
		if err := p.emptyDefault(ctx, table); err != nil {
			return fmt.Errorf("empty the partition %s_default: %w", table, err)
		}
	}
	return nil
}

func (p *Postgres) dropPartition(ctx context.Context, table string, day time.Time) error {
	move := p.moveBodies
	if table == "postern_trail" {
		move = p.moveTrail
	}
	for {
		n, err := move(ctx, day)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return later(p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		if err := lockBriefly(ctx, tx); err != nil {
			return err
		}
		// Events that are done but not deleted yet are in the way, until they are.
		var used bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM postern_events WHERE day <= $1)", day).Scan(&used)
		if err == nil && !used {
			_, err = tx.Exec(ctx, "DROP TABLE IF EXISTS "+partition(table, day), pgx.QueryExecModeExec)
		}
		return err
	}))
}

// moveBodies moves some bodies of a day, of events that stay for now, to today,
// and returns how many.
func (p *Postgres) moveBodies(ctx context.Context, day time.Time) (n int, err error) {
	err = p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
WITH stay AS MATERIALIZED (
  SELECT e.seq FROM postern_events e WHERE e.day = $1 AND EXISTS (
    SELECT 1 FROM `+ofEvent+` d WHERE d.state IN ('received', 'retrying', 'processing') OR d.due >= (SELECT at FROM postern_notes WHERE name = 'pruned'))
  ORDER BY e.seq LIMIT $2 FOR UPDATE OF e
), taken AS (
  DELETE FROM postern_bodies b USING stay WHERE b.day = $1 AND b.seq = stay.seq RETURNING b.seq, b.header, b.body
), put AS (
  INSERT INTO postern_bodies (day, seq, header, body) SELECT (now() AT TIME ZONE 'UTC')::date, seq, header, body FROM taken RETURNING seq
), told AS (
  UPDATE postern_events e SET day = (now() AT TIME ZONE 'UTC')::date FROM put WHERE e.seq = put.seq RETURNING 1
)
SELECT count(*) FROM told`, day, homing).Scan(&n)
	})
	return n, err
}

// moveTrail does the same with the trail, once no event has its body there.
func (p *Postgres) moveTrail(ctx context.Context, day time.Time) (n int, err error) {
	err = p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
WITH stay AS MATERIALIZED (
  SELECT t.delivery, t.fence FROM postern_trail t
  WHERE t.day = $1 AND NOT EXISTS (SELECT 1 FROM postern_events WHERE day <= $1) AND EXISTS (SELECT 1 FROM postern_events e WHERE e.seq = t.delivery / 512)
  LIMIT $2
), taken AS (
  DELETE FROM postern_trail t USING stay WHERE t.day = $1 AND t.delivery = stay.delivery AND t.fence = stay.fence RETURNING t.*
), put AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica FROM taken RETURNING 1
)
SELECT count(*) FROM put`, day, 10*homing).Scan(&n)
	})
	return n, err
}

// emptyDefault deletes what no event refers to from the default partition, which
// is never dropped.
func (p *Postgres) emptyDefault(ctx context.Context, table string) error {
	seq := "seq"
	if table == "postern_trail" {
		seq = "delivery / 512"
	}
	return p.transact(ctx, patient, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM "+table+"_default t WHERE day < (SELECT (at AT TIME ZONE 'UTC')::date FROM postern_notes WHERE name = 'pruned')"+
			" AND NOT EXISTS (SELECT 1 FROM postern_events e WHERE e.seq = t."+seq+")")
		return err
	})
}
