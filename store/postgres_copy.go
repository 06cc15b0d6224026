package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// vacate refuses a database that a replica lives on, and ends the leases of those
// that died.
func (p *Postgres) vacate(ctx context.Context) error {
	var names []string
	err := p.read(ctx, func(r pgx.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, unescaped(name))
		return err
	}, "SELECT id FROM postern_replicas WHERE seen > now() - interval '10 seconds' ORDER BY id")
	if err != nil {
		return fmt.Errorf("look for replicas: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("a running Postern uses it (%s): stop it first", strings.Join(names, ", "))
	}
	return p.write(ctx, patient, func(b *pgx.Batch) {
		b.Queue("UPDATE postern_deliveries SET due = now() WHERE state = 'processing' AND due > now()")
		b.Queue("UPDATE postern_connections SET until = now() WHERE until > now()")
		b.Queue("UPDATE postern_answers SET until = now() WHERE state = 'sent' AND until > now()")
		b.Queue("UPDATE postern_outbox SET due = (extract(epoch FROM now()) * 1000000)::bigint WHERE state = 'sending' AND due > (extract(epoch FROM now()) * 1000000)::bigint")
	})
}

func (p *Postgres) events(ctx context.Context) (n int64, err error) {
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&n) }, "SELECT count(*) FROM postern_events")
	return n, err
}

// copyFrom returns the name of the source of an unfinished copy and its
// position, "" if there is none.
func (p *Postgres) copyFrom(ctx context.Context) (source string, after int64, err error) {
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&source, &after) }, "SELECT source, seq FROM postern_copying")
	if code(err) == "42P01" { // undefined_table
		return "", 0, nil
	}
	return source, after, err
}

// refuseHalf refuses a database into which a copy is unfinished, unless it is
// opened to go on with that.
func (p *Postgres) refuseHalf(ctx context.Context) error {
	if p.opt.copying {
		return nil
	}
	source, _, err := p.copyFrom(ctx)
	if err == nil && source != "" {
		err = errUnfinished
	}
	return err
}

func (p *Postgres) begin(ctx context.Context, source string) (after int64, err error) {
	known, after, err := p.copyFrom(ctx)
	if err != nil || known == source {
		return after, err
	}
	if known != "" {
		return 0, errOtherSource(known)
	}
	if n, err := p.events(ctx); err != nil {
		return 0, err
	} else if n > 0 {
		return 0, errForeign(n, "events")
	}
	if g, err := p.grants(ctx); err != nil {
		return 0, err
	} else if err := g.foreign(); err != nil {
		return 0, err
	}
	if err := foreignCalls(ctx, p); err != nil {
		return 0, err
	}
	if err := p.makePartitions(ctx); err != nil { // while there is nothing to move
		return 0, err
	}
	return 0, p.transact(ctx, quick, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TABLE postern_copying (source text NOT NULL, seq bigint NOT NULL)", pgx.QueryExecModeExec); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO postern_copying (source, seq) VALUES ($1, 0)", pgx.QueryExecModeExec, source)
		return err
	})
}

// end also lets new events follow those that were copied.
func (p *Postgres) end(ctx context.Context) error {
	return p.transact(ctx, quick, func(ctx context.Context, tx pgx.Tx) error {
		for _, statement := range []string{
			"SELECT setval('postern_seq', greatest(nextval('postern_seq'), (SELECT coalesce(max(seq), 1) FROM postern_events), (SELECT coalesce(max(seq), 1) FROM postern_keys)))",
			"DROP TABLE postern_copying",
		} {
			if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeExec); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Postgres) export(ctx context.Context, after int64) (all []whole, err error) {
	var last int64
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&last) }, `SELECT coalesce(max(seq), 0) FROM (
  SELECT seq, size, sum(size) OVER (ORDER BY seq) AS total FROM (SELECT seq, size FROM postern_events WHERE seq > $1 ORDER BY seq LIMIT $2) AS next
) AS summed WHERE total - size < $3`, after, copyEvents, copyBytes)
	if err != nil || last == 0 {
		return nil, err
	}
	var b batch
	err = p.read(ctx, func(r pgx.Rows) error {
		var e pgEvent
		var header string
		var body []byte
		fields, set := e.into()
		if err := r.Scan(append(fields, &header, &body)...); err != nil {
			return err
		}
		set()
		e.Body = body
		if err := json.Unmarshal([]byte(header), &e.Header); err != nil {
			return fmt.Errorf("the headers of event %s: %w", e.ID, err)
		}
		e.Header = eachText(unescaped, e.Header)
		b.event(whole{seq: e.seq, event: e.Event})
		return nil
	}, "SELECT "+pgEventColumns+", b.header, b.body FROM postern_events e JOIN postern_bodies b ON b.day = e.day AND b.seq = e.seq WHERE e.seq > $1 AND e.seq <= $2 ORDER BY e.seq", after, last)
	if err != nil {
		return nil, fmt.Errorf("read the events after %d: %w", after, err)
	}
	first, end := (after+1)*perSeq, (last+1)*perSeq
	if err := p.exportDeliveries(ctx, &b, first, end); err != nil {
		return nil, fmt.Errorf("read the deliveries of the events after %d: %w", after, err)
	}
	if err := p.exportTrail(ctx, &b, first, end); err != nil {
		return nil, fmt.Errorf("read the trail of the events after %d: %w", after, err)
	}
	return b.all, nil
}

func (p *Postgres) exportDeliveries(ctx context.Context, b *batch, first, end int64) error {
	return p.read(ctx, func(r pgx.Rows) error {
		var id, wait int64
		var d wholeDelivery
		if err := r.Scan(&id, &d.Target, &d.State, &d.Origin, &d.Attempt, &d.Due, &d.Reason, &d.fence, &wait, &d.waits, &d.Stand); err != nil {
			return err
		}
		d.Target, d.Reason, d.wait = unescaped(d.Target), unescaped(d.Reason), time.Duration(wait)*time.Microsecond
		return b.delivery(id/perSeq, d)
	}, "SELECT id, target, state, origin, attempt, due, reason, fence, wait, waiting, standing FROM postern_deliveries WHERE id >= $1 AND id < $2 ORDER BY id", first, end)
}

func (p *Postgres) exportTrail(ctx context.Context, b *batch, first, end int64) error {
	return p.read(ctx, func(r pgx.Rows) error {
		var id, took int64
		var m wholeMove
		if err := r.Scan(&id, &m.fence, &m.At, &m.From, &m.To, &m.Attempt, &m.Status, &took, &m.Reason, &m.Detail, &m.By, &m.Replica); err != nil {
			return err
		}
		for _, text := range []*string{&m.Reason, &m.Detail, &m.By, &m.Replica} {
			*text = unescaped(*text)
		}
		m.Took = time.Duration(took) * time.Microsecond
		return b.move(id/perSeq, id%perEvent, m)
	}, `SELECT delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica
FROM postern_trail WHERE delivery >= $1 AND delivery < $2 ORDER BY delivery, fence`, first, end)
}
