package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// perSeq is how many ids of deliveries an event has.
const perSeq = 2 * perEvent

// maxClaim is how many deliveries of one target are claimed at once.
const maxClaim = 1000

// pgEventColumns are what scanPGEvent reads.
const pgEventColumns = "e.seq, e.id, e.webhook, e.account, e.event_id, e.variant, e.weak, e.verified, e.type, e.key, e.lane, e.occurred, e.received, e.sha256, e.size, e.day, e.proof, e.parent, e.misfit, e.rank, e.items, e.horizon, e.emptied"

// pgEvent is an event as it is stored.
type pgEvent struct {
	inbound.Event
	seq int64
	day time.Time // of its body
}

// into returns where to scan pgEventColumns to; set completes the event.
func (e *pgEvent) into() (fields []any, set func()) {
	var occurred, horizon, emptied *time.Time
	var sum []byte
	var proof string
	fields = []any{
		&e.seq, &e.ID, &e.Webhook, &e.Account, &e.EventID, &e.Variant, &e.Weak, &e.Verified, &e.Type, &e.Key, &e.Lane, &occurred, &e.Received, &sum, &e.Size, &e.day, &proof, &e.Parent, &e.Misfit, &e.Rank, &e.Items, &horizon, &emptied,
	}
	return fields, func() {
		for _, text := range []*string{&e.ID, &e.Webhook, &e.Account, &e.EventID, &e.Type, &e.Key, &e.Lane, &e.Parent, &e.Misfit} {
			*text = unescaped(*text)
		}
		if occurred != nil {
			e.Occurred = *occurred
		}
		if horizon != nil {
			e.Horizon = *horizon
		}
		if emptied != nil {
			e.Emptied = *emptied
		}
		copy(e.SHA256[:], sum)
		e.Proof = readProof(proof)
	}
}

// claimSQL takes what is due under a lease. Its first row tells in how many
// microseconds the next delivery falls due, the others are the claims. That there
// are few of them is said twice, the second time for the planner: it would prefer
// to read a large table as a whole, and to compile a program for that.
const claimSQL = `
WITH want AS (
  SELECT * FROM unnest($1::text[], $2::int[]) AS w(target, n)
), due AS MATERIALIZED (
  SELECT d.* FROM want w CROSS JOIN LATERAL (
    SELECT * FROM (
      SELECT id, state, due FROM postern_deliveries
      WHERE target = w.target AND state IN ('received', 'retrying', 'processing') AND NOT waiting AND due <= now()
      ORDER BY due, id LIMIT w.n FOR UPDATE SKIP LOCKED) few LIMIT $6) d
), claimed AS (
  UPDATE postern_deliveries d SET state = 'processing', due = now() + $3 * interval '1 microsecond', fence = d.fence + 1, attempt = d.attempt + 1, claim = $7,
    reason = CASE d.state WHEN 'processing' THEN $4 ELSE '' END
  WHERE d.id = ANY(ARRAY(SELECT id FROM due))
  RETURNING d.id, d.target, d.fence, d.attempt, d.wait, d.origin, d.reason
), trail AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, c.id, c.fence, clock_timestamp(), d.state, 'processing', c.attempt, 0, 0, c.reason, '', '', $5 FROM claimed c JOIN due d USING (id)
), next AS (
  SELECT extract(epoch FROM min(n.due) - now()) * 1e6 AS micros FROM want w CROSS JOIN LATERAL (
    SELECT due FROM postern_deliveries
    WHERE target = w.target AND state IN ('received', 'retrying', 'processing') AND NOT waiting AND due > now()
    ORDER BY due LIMIT 1) n
)
SELECT n.micros::bigint, c.id IS NOT NULL, coalesce(c.id, 0), coalesce(c.target, ''), coalesce(c.fence, 0), coalesce(c.attempt, 0), coalesce(c.wait, 0), coalesce(c.origin, ''), coalesce(d.state, ''), ` + claimColumns + `
FROM next n LEFT JOIN (claimed c JOIN due d USING (id) JOIN postern_events e ON e.seq = c.id / 512) ON true ORDER BY d.due, c.id`

// claimColumns are pgEventColumns where there may be none.
const claimColumns = "coalesce(e.seq, 0), coalesce(e.id, ''), coalesce(e.webhook, ''), coalesce(e.account, ''), coalesce(e.event_id, ''), coalesce(e.variant, 0), coalesce(e.weak, false), coalesce(e.verified, false), " +
	"coalesce(e.type, ''), coalesce(e.key, ''), coalesce(e.lane, ''), e.occurred, coalesce(e.received, 'epoch'), coalesce(e.sha256, ''), coalesce(e.size, 0), coalesce(e.day, 'epoch'), coalesce(e.proof, ''), coalesce(e.parent, ''), coalesce(e.misfit, ''), coalesce(e.rank, ''), coalesce(e.items, 0), e.horizon, e.emptied"

func (s postgresInbox) Claim(ctx context.Context, want map[string]int, lease time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, err error) {
	var targets []string
	var counts []int32
	for target, n := range want {
		targets, counts = append(targets, escaped(target)), append(counts, int32(min(n, maxClaim)))
	}
	var events []*pgEvent
	s.giveBackLost(ctx)
	number := rand.Int64()
	start := time.Now()
	err = s.write(ctx, quick, func(b *pgx.Batch) {
		b.Queue(claimSQL, targets, counts, lease.Microseconds(), claimReason(inbound.Processing), s.replica, maxClaim, number).Query(func(rows pgx.Rows) error {
			defer rows.Close()
			for rows.Next() {
				it, e, after, err := scanClaim(rows)
				if err != nil {
					return err
				}
				if after != nil {
					next = start.Add(time.Duration(*after) * time.Microsecond)
				}
				if e != nil {
					it.Lease.Until = start.Add(lease)
					items, events = append(items, it), append(events, e)
				}
			}
			return rows.Err()
		})
	})
	if err != nil {
		s.lost.add(number, start.Add(lease))
		return nil, time.Time{}, fmt.Errorf("claim deliveries: %w", err)
	}
	items, err = s.fill(ctx, items, events)
	return items, next, err
}

// lostClaims are the numbers of claims of which no answer came: nobody works on
// what they took, if they were made. Such a claim may yet be made by a server
// that was only slow, so its number is remembered for a lease.
type lostClaims struct {
	mu    sync.Mutex
	until map[int64]time.Time
}

func (l *lostClaims) add(number int64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = map[int64]time.Time{}
	}
	l.until[number] = until
}

func (l *lostClaims) remove(numbers []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range numbers {
		delete(l.until, n)
	}
}

// numbers lists those whose lease has not ended yet.
func (l *lostClaims) numbers() (all []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.until, func(_ int64, until time.Time) bool { return time.Now().After(until) })
	return slices.Collect(maps.Keys(l.until))
}

// giveBackLost gives back what lost claims took. If it cannot, their leases run
// out.
func (s postgresInbox) giveBackLost(ctx context.Context) {
	numbers := s.lost.numbers()
	if len(numbers) == 0 {
		return
	}
	var leases []queue.Lease
	var found []int64
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	err := s.saw(s.once(ctx, func(r pgx.Rows) error {
		var l queue.Lease
		var number int64
		if err := r.Scan(&l.Key, &l.Token, &number); err != nil {
			return err
		}
		leases, found = append(leases, l), append(found, number)
		return nil
	}, "SELECT id, fence, claim FROM postern_deliveries WHERE state = 'processing' AND NOT waiting AND claim = ANY($1)", []any{numbers}))
	if err == nil && len(leases) > 0 && s.Release(ctx, leases) == nil {
		s.lost.remove(found)
	}
}

// scanClaim reads one row of claimSQL; the event is nil if it is no claim.
func scanClaim(rows pgx.Rows) (it queue.Item[inbound.Delivery], e *pgEvent, after *int64, err error) {
	e = &pgEvent{}
	fields, set := e.into()
	var claimed bool
	var wait int64
	d := &it.Work
	err = rows.Scan(append([]any{&after, &claimed, &it.Lease.Key, &it.Target, &it.Lease.Token, &d.Attempt, &wait, &d.Origin, &d.From}, fields...)...)
	if err != nil || !claimed {
		return it, nil, after, err
	}
	set()
	it.Target = unescaped(it.Target)
	it.Lane, d.Target, d.Wait = e.Lane, it.Target, time.Duration(wait)*time.Microsecond
	return it, e, after, nil
}

// fill gives the claimed deliveries their events, headers and bodies included,
// and returns them. If it cannot, the claims are given back; one that has no body
// any more is given up, so that it keeps no other from being delivered.
func (s postgresInbox) fill(ctx context.Context, items []queue.Item[inbound.Delivery], events []*pgEvent) (whole []queue.Item[inbound.Delivery], err error) {
	if len(items) == 0 {
		return nil, nil
	}
	missing, err := s.bodies(ctx, events)
	if err != nil {
		leases := make([]queue.Lease, len(items))
		for i, it := range items {
			leases[i] = it.Lease
		}
		_ = s.Release(context.WithoutCancel(ctx), leases) // else they run out
		return nil, fmt.Errorf("read claimed events: %w", err)
	}
	for i, e := range events {
		it := items[i]
		if why := missing[e.seq]; why != nil {
			s.opt.trouble("reading a claimed event", fmt.Errorf("event %s: %w", e.ID, why))
			m := inbound.Move{To: inbound.Failed, Attempt: it.Work.Attempt, Reason: "it cannot be read: " + why.Error()}
			if err := s.Finish(context.WithoutCancel(ctx), it.Lease, m); err != nil {
				s.opt.trouble("giving up a claimed event", err)
			}
			continue
		}
		it.Work.Event = e.Event
		whole = append(whole, it)
	}
	return whole, nil
}

// bodies reads headers and bodies of events, from the partitions of their days
// first; one that is not there has been moved meanwhile. It tells of those that
// cannot be read why.
func (p *Postgres) bodies(ctx context.Context, events []*pgEvent) (unread map[int64]error, err error) {
	unread = map[int64]error{}
	missing := map[int64][]*pgEvent{}
	var days []time.Time
	for _, e := range events {
		missing[e.seq] = append(missing[e.seq], e)
		if len(days) == 0 || !days[len(days)-1].Equal(e.day) {
			days = append(days, e.day)
		}
	}
	for _, where := range []string{"day = ANY($2::date[])", "$2::date[] IS NOT NULL"} {
		if len(missing) == 0 {
			break
		}
		var seqs []int64
		for seq := range missing {
			seqs = append(seqs, seq)
		}
		err := p.read(ctx, func(r pgx.Rows) error {
			var seq int64
			var header string
			var body []byte
			if err := r.Scan(&seq, &header, &body); err != nil {
				return err
			}
			for _, e := range missing[seq] {
				e.Body = body
				if err := readHeader(header, &e.Event); err != nil {
					unread[seq] = err
				}
			}
			delete(missing, seq)
			return nil
		}, "SELECT b.seq, b.header, b.body FROM unnest($1::bigint[]) AS s(seq) CROSS JOIN LATERAL (SELECT * FROM postern_bodies p WHERE p.seq = s.seq AND "+where+" LIMIT 1) b", seqs, days) // LIMIT is for the planner
		if err != nil {
			return nil, err
		}
	}
	for seq := range missing {
		unread[seq] = errNoBody
	}
	return unread, nil
}

func readHeader(text string, e *inbound.Event) error {
	var h map[string][]string
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return fmt.Errorf("read the headers of event %s: %w", e.ID, err)
	}
	e.Header = eachText(unescaped, h)
	return nil
}
