package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// bareSchema holds the rows that the inbox keeps of an event, with primary keys and nothing else: no further index, no
// partitions, no lanes, no audit trail.
const bareSchema = `
CREATE TABLE %[1]s_keys (dedupe bytea, variant integer, seq bigint, sha256 bytea, PRIMARY KEY (dedupe, variant));
CREATE TABLE %[1]s_events (seq bigint PRIMARY KEY, id text, webhook text, account text, event_id text, type text, key text,
	occurred timestamptz, received timestamptz, sha256 bytea, size bigint, day date);
CREATE TABLE %[1]s_bodies (day date, seq bigint, header text, body bytea);
CREATE TABLE %[1]s_deliveries (id bigint PRIMARY KEY, target text, state text, due timestamptz, fence bigint DEFAULT 0,
	attempt integer DEFAULT 0) WITH (fillfactor = 70);
`

// bareInsert stores a batch, without looking for duplicates.
const bareInsert = `
WITH input AS MATERIALIZED (
	SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::timestamptz[], $5::bytea[])
		AS u(seq, event, sum, received, body)
), keys AS (
	INSERT INTO %[1]s_keys SELECT sum, 1, seq, sum FROM input
), events AS (
	INSERT INTO %[1]s_events SELECT seq, 'id-' || event, 'bench', 'acct_bench', event, 'customer.updated', 'cus_0000000000000000',
		received, received, sum, octet_length(body), now()::date FROM input
), bodies AS (
	INSERT INTO %[1]s_bodies SELECT now()::date, seq, '{"Content-Type":["application/json"]}', body FROM input
)
INSERT INTO %[1]s_deliveries SELECT seq, 'bench', 'received', now() FROM input`

// bareMove is a step of a batch's life, by primary key.
const bareMove = `UPDATE %[1]s_deliveries SET state = $2, due = now(), fence = fence + 1, attempt = attempt + 1 WHERE id = ANY($1)`

// bare is the limit: grouped UNNEST inserts by as many writers, and in batches as large, as Postern makes.
type bare struct {
	pool   *pgxpool.Pool
	tables string
	life   bool // make the two moves of a life too
	queue  chan bareWaiting
}

type bareWaiting struct {
	seq      int64
	event    string
	sum      []byte
	received time.Time
	body     []byte
	done     chan error
}

const bareWriters = 2

func newBare(ctx context.Context, pool *pgxpool.Pool, tables string, life bool) (*bare, error) {
	if _, err := pool.Exec(ctx, fmt.Sprintf(bareSchema, tables)); err != nil {
		return nil, fmt.Errorf("making the tables of the baseline: %w", err)
	}
	b := &bare{pool: pool, tables: tables, life: life, queue: make(chan bareWaiting, groupEvents)}
	for range bareWriters {
		go b.run()
	}
	return b, nil
}

// keep returns when the event is on disk, and its life over if it has one.
func (b *bare) keep(seq int64, event string, body []byte) error {
	sum := sha256.Sum256([]byte(event))
	w := bareWaiting{seq: seq, event: event, sum: sum[:], received: time.Now(), body: body, done: make(chan error, 1)}
	b.queue <- w
	return <-w.done
}

func (b *bare) run() {
	for first := range b.queue {
		group := []bareWaiting{first}
	drain:
		for len(group) < groupEvents {
			select {
			case next := <-b.queue:
				group = append(group, next)
			default:
				break drain
			}
		}
		err := b.write(group)
		for _, w := range group {
			w.done <- err
		}
	}
}

func (b *bare) write(group []bareWaiting) error {
	n := len(group)
	seqs, events, sums, received, bodies := make([]int64, n), make([]string, n), make([][]byte, n), make([]time.Time, n), make([][]byte, n)
	for at, w := range group {
		seqs[at], events[at], sums[at], received[at], bodies[at] = w.seq, w.event, w.sum, w.received, w.body
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := b.pool.Exec(ctx, fmt.Sprintf(bareInsert, b.tables), seqs, events, sums, received, bodies); err != nil {
		return fmt.Errorf("inserting: %w", err)
	}
	if !b.life {
		return nil
	}
	for _, state := range []string{"processing", "applied"} {
		if _, err := b.pool.Exec(ctx, fmt.Sprintf(bareMove, b.tables), seqs, state); err != nil {
			return fmt.Errorf("moving: %w", err)
		}
	}
	return nil
}

func (b *bare) count(ctx context.Context) (int, error) {
	return ask(ctx, b.pool, "SELECT count(*) FROM "+b.tables+"_deliveries")
}

// ops are callers without a connection: each hands over an event and waits for it.
func (b *bare) ops(workers int) []op {
	ops := make([]op, workers)
	for i := range ops {
		body, at := eventBody(time.Now().Unix())
		ops[i] = func(n uint64) error {
			number(body[at:at+numberLen], n)
			return b.keep(int64(n), string(body[at-len("evt_"):at+numberLen]), body)
		}
	}
	return ops
}

// startUnnest gives the limits: the insert alone, the same with the moves of a life, and behind the HTTP of an inbox.
func startUnnest(ctx context.Context, set settings, f *field) ([]*peer, error) {
	if leftOut(set, "unnest") {
		return nil, nil
	}
	pool, err := f.cluster.database(ctx, "bare")
	if err != nil {
		return nil, err
	}
	ack := &peer{name: "unnest", side: "postgres", only: "postgres-ack", about: "the load generator inserts the same rows by UNNEST: no HTTP, no duplicates noticed, primary keys only"}
	life := &peer{name: "unnest", side: "postgres", only: "postgres-life", about: "the same, then one UPDATE per batch for the claim and one for the end: no HTTP, no application, no trail"}
	for p, tables := range map[*peer]string{ack: "ack", life: "life"} {
		b, err := newBare(ctx, pool, tables, p == life)
		if err != nil {
			return nil, err
		}
		p.local, p.stored, p.executed = b.ops, b.count, statements(pool)
	}
	url := f.cluster.server.URL("bare")
	c, at, err := startRole(ctx, f.dir, "unnest", "-dir", url)
	if err != nil {
		return nil, err
	}
	stored := func(ctx context.Context) (n int, err error) {
		err = fetchJSON(ctx, "http://"+at.Control+"/stored", &n)
		return n, err
	}
	http := &peer{
		name: "unnest-http", side: "postgres", only: "postgres-ack", child: c, inbox: at.Addr, path: "/now", heap: roleHeap(at), profile: profileURL(at.Control),
		stored: stored, about: "the same insert behind net/http, HMAC and JSON of an inbox", executed: statements(pool),
	}
	return []*peer{ack, life, http}, nil
}

// unnestRole is an inbox that keeps its events by the bare insert.
func unnestRole(args []string) error {
	return serveInbox(args, func(url string) (keep, func() (int, error), error) {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		b, err := newBare(ctx, pool, "http", false)
		if err != nil {
			return nil, nil, err
		}
		keep := func(e event) error {
			n, err := numberOf([]byte(e.ID[len("evt_"):]))
			if err != nil {
				return err
			}
			return b.keep(int64(n), e.ID, e.body)
		}
		return keep, func() (int, error) { return b.count(ctx) }, nil
	})
}
