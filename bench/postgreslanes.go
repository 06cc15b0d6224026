package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
)

// The shape of the scenario postgres-lanes: events two deep in each lane, so that what follows the head is claimed too.
const (
	laneDepth    = 2
	laneWorkers  = 2 // claim at the same time
	lanesASecond = 3400
)

// claimer is a queue that the scenario fills and empties.
type claimer interface {
	fill(ctx context.Context, lanes int) error // laneDepth events for each
	claim(ctx context.Context) ([]claimed, error)
	finish(ctx context.Context, all []claimed) error
}

type claimed struct {
	lane  string
	lease queue.Lease
}

// claimingShare measures claims: the rate is what the workers claim while they claim, the lives count the ends too.
func claimingShare(q claimer, strict bool) func(context.Context, *field, scenario, *peer, time.Duration) (sample, error) {
	return func(ctx context.Context, f *field, s scenario, p *peer, length time.Duration) (sample, error) {
		lanes := max(groupEvents, int(length.Seconds()*lanesASecond))
		if err := q.fill(ctx, lanes); err != nil {
			return broken(err), nil
		}
		var claiming time.Duration
		before, err := p.executed(ctx)
		if err != nil {
			return sample{}, err
		}
		c0, err := f.clocks(p)
		if err != nil {
			return sample{}, err
		}
		events := lanes * laneDepth
		for left := events; left > 0; {
			began := time.Now()
			got, err := claimAll(ctx, q, min(left, lanes))
			left -= len(got)
			claiming += time.Since(began)
			if err == nil && strict {
				err = oneEach(got, lanes)
			}
			if err == nil {
				err = q.finish(ctx, got)
			}
			if err != nil {
				return broken(err), nil
			}
		}
		c1, err := f.clocks(p)
		if err != nil {
			return sample{}, err
		}
		after, err := p.executed(ctx)
		if err != nil {
			return sample{}, err
		}
		out := summarize(s, driven{done: events, elapsed: claiming}, c0, c1)
		out.CPU = unknown
		out.Applied = figure(float64(events) / c1.at.Sub(c0.at).Seconds())
		out.Statements = figure(float64(after-before) / float64(events))
		return out, nil
	}
}

// claimAll claims n in batches.
func claimAll(ctx context.Context, q claimer, n int) (all []claimed, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var lock sync.Mutex
	var group sync.WaitGroup
	for range laneWorkers {
		group.Go(func() {
			for {
				got, failed := q.claim(ctx)
				lock.Lock()
				all = append(all, got...)
				if failed != nil {
					err = failed
				}
				over := err != nil || len(all) >= n
				lock.Unlock()
				if over {
					return
				}
			}
		})
	}
	group.Wait()
	if err != nil {
		return nil, fmt.Errorf("claiming, %d of %d done: %w", len(all), n, err)
	}
	return all, nil
}

// oneEach fails unless every lane was claimed once.
func oneEach(all []claimed, lanes int) error {
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.lane] {
			return fmt.Errorf("two of lane %s were claimed together", c.lane)
		}
		seen[c.lane] = true
	}
	if len(seen) != lanes {
		return fmt.Errorf("%d of %d lanes were claimed", len(seen), lanes)
	}
	return nil
}

// storeQueue is Postern's store.
type storeQueue struct {
	box   inbound.Store
	lanes bool
}

func (q storeQueue) fill(ctx context.Context, lanes int) error {
	body := []byte(strings.Repeat("x", eventSize))
	sum := sha256.Sum256(body)
	return each(lanes*laneDepth, func(at int) error {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		e := &inbound.Event{
			ID: id.String(), Webhook: "bench", EventID: "evt_" + id.String(), Type: "customer.updated", Received: time.Now(),
			Body: body, Size: len(body), SHA256: sum,
		}
		if q.lanes {
			e.Lane = fmt.Sprint("lane-", at%lanes)
		}
		return q.box.Insert(ctx, &inbound.Arrival{Event: e, To: inbound.To("bench")})
	})
}

func (q storeQueue) claim(ctx context.Context) ([]claimed, error) {
	items, _, err := q.box.Claim(ctx, map[string]int{"bench": groupEvents}, time.Minute)
	all := make([]claimed, len(items))
	for at, it := range items {
		all[at] = claimed{it.Lane, it.Lease}
	}
	return all, err
}

func (q storeQueue) finish(ctx context.Context, all []claimed) error {
	return each(len(all), func(at int) error {
		return q.box.Finish(ctx, all[at].lease, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200, Took: time.Millisecond})
	})
}

// each does n things, 256 at once.
func each(n int, do func(at int) error) error {
	var group sync.WaitGroup
	errs := make(chan error, 256)
	for worker := range 256 {
		group.Go(func() {
			for at := worker; at < n; at += 256 {
				if err := do(at); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// bareQueue claims from the tables of the baseline, by an index on what is due.
type bareQueue struct{ *bare }

const bareClaim = `
WITH due AS MATERIALIZED (
	SELECT id FROM %[1]s_deliveries WHERE target = 'bench' AND state = 'received' AND due <= now() ORDER BY due, id LIMIT $1 FOR UPDATE SKIP LOCKED
), claimed AS (
	UPDATE %[1]s_deliveries d SET state = 'processing', due = now() + interval '1 minute', fence = fence + 1, attempt = attempt + 1
	FROM due WHERE d.id = due.id RETURNING d.id
)
SELECT e.seq, e.id, e.event_id, b.header, b.body FROM claimed c JOIN %[1]s_events e ON e.seq = c.id JOIN %[1]s_bodies b ON b.seq = c.id`

func (q bareQueue) fill(_ context.Context, lanes int) error {
	body := []byte(strings.Repeat("x", eventSize))
	return each(lanes*laneDepth, func(int) error {
		n := calls.Add(1)
		return q.keep(int64(n), fmt.Sprint("evt_", n), body)
	})
}

func (q bareQueue) claim(ctx context.Context) (all []claimed, err error) {
	rows, err := q.pool.Query(ctx, fmt.Sprintf(bareClaim, q.tables), groupEvents)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c claimed
		var id, event, header string
		var body []byte
		if err := rows.Scan(&c.lease.Key, &id, &event, &header, &body); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

func (q bareQueue) finish(ctx context.Context, all []claimed) error {
	for len(all) > 0 {
		var ids []int64
		for _, c := range all[:min(len(all), groupEvents)] {
			ids = append(ids, c.lease.Key)
		}
		if _, err := q.pool.Exec(ctx, fmt.Sprintf(bareMove, q.tables), ids, "applied"); err != nil {
			return err
		}
		all = all[len(ids):]
	}
	return nil
}

// startLanes gives the store in this process, with and without lanes, and a bare queue.
func startLanes(ctx context.Context, set settings, f *field) (all []*peer, err error) {
	for _, p := range []*peer{
		{name: "skip-locked", about: "UPDATE ... FOR UPDATE SKIP LOCKED in batches of 256, two at once, on bare tables: no lanes, no trail"},
		{name: "lanes", about: "Postern's store in the load generator, every event in a lane, two deep; batches of 256, two at once"},
		{name: "no-lanes", about: "the same without lanes"},
	} {
		if leftOut(set, p.name) {
			continue
		}
		p.side, p.only = "postgres", "postgres-lanes"
		name := strings.ReplaceAll(p.name, "-", "_")
		pool, err := f.cluster.database(ctx, name)
		if err != nil {
			return all, err
		}
		p.executed = statements(pool)
		var q claimer
		if p.name == "skip-locked" {
			q, err = newBareQueue(ctx, pool)
		} else {
			q, err = openStoreQueue(ctx, f, name, p.name == "lanes")
		}
		if err != nil {
			return all, err
		}
		p.share = claimingShare(q, p.name == "lanes")
		all = append(all, p)
	}
	return all, nil
}

func newBareQueue(ctx context.Context, pool *pgxpool.Pool) (claimer, error) {
	b, err := newBare(ctx, pool, "queue", false)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `CREATE INDEX ON queue_deliveries (target, due, id) WHERE state = 'received'; CREATE INDEX ON queue_bodies (seq)`)
	return bareQueue{b}, err
}

func openStoreQueue(ctx context.Context, f *field, name string, lanes bool) (claimer, error) {
	db, err := store.Open(ctx, f.cluster.server.URL(name), store.Options{Replica: "bench"})
	if err != nil {
		return nil, err
	}
	f.stores = append(f.stores, db)
	return storeQueue{db.Inbox(), lanes}, nil
}
