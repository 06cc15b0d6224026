package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// laned marks the id of a delivery that has a lane; an event has perEvent ids
// for deliveries with, and as many for deliveries without.
const laned = perEvent

// insertion is an event on its way into the store, and what came of it.
type insertion struct {
	event   *inbound.Event
	to      []inbound.Placement
	header  string
	dedupe  []byte
	variant int
	anew    bool
	by      string
	keep    time.Duration

	listed bool

	id         string
	what       inbound.Insertion
	old        int
	backfilled bool
}

func (s postgresInbox) Insert(ctx context.Context, all ...*inbound.Arrival) error {
	ctx, cancel := context.WithTimeout(ctx, slow)
	defer cancel()
	if len(all) > 1 {
		return s.insertTogether(ctx, all)
	}
	for _, a := range all {
		if err := checkPlacements(a.To); err != nil {
			return err
		}
		header, err := json.Marshal(eachText(escaped, a.Event.Header))
		if err != nil {
			return fmt.Errorf("encode the headers: %w", err)
		}
		in := newInsertion(a, string(header))
		if err := s.inserts.do(ctx, len(a.Event.Body)+len(header), in); err != nil {
			return err
		}
		in.tell(a)
	}
	return nil
}

func newInsertion(a *inbound.Arrival, header string) *insertion {
	return &insertion{event: a.Event, to: a.To, header: header, dedupe: dedupeKey(a.Event), variant: 1, anew: a.Anew, by: a.By, keep: a.Keep, listed: a.Listed}
}

// tell says what became of a.
func (in *insertion) tell(a *inbound.Arrival) {
	a.ID, a.What, a.Old, a.Backfilled = in.id, in.what, in.old, in.backfilled
}

// insertTogether stores what one caller brings at once, in its order, by a statement
// of its own: what others store at the same time does not come between.
func (s postgresInbox) insertTogether(ctx context.Context, all []*inbound.Arrival) error {
	group := make([]*change[*insertion], len(all))
	for i, a := range all {
		if err := checkPlacements(a.To); err != nil {
			return err
		}
		header, err := json.Marshal(eachText(escaped, a.Event.Header))
		if err != nil {
			return fmt.Errorf("encode the headers: %w", err)
		}
		group[i] = &change[*insertion]{ctx: ctx, work: newInsertion(a, string(header)), done: make(chan error, 1)}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.insertAll(slices.Clone(group)) }()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("the store is slow: %w", ctx.Err())
	}
	var errs []error
	for i, c := range group {
		errs = append(errs, <-c.done)
		c.work.tell(all[i])
	}
	return errors.Join(errs...)
}

// insertAll stores events together. What fails for a reason that passes is tried
// again as long as somebody waits for it; that includes a commit of which the
// outcome is unknown, because the key is there already if it was made. If the
// database dislikes one of them, the others are stored without it.
func (p *Postgres) insertAll(all []*change[*insertion]) {
	var again patience
	for len(all) > 0 {
		rest, err := p.insertOnce(all)
		switch {
		case err == nil:
			all = rest
		case passes(err):
			all = wait(&again, rest, err)
		case blames(err) && len(rest) > 1:
			p.insertAll(rest[:len(rest)/2])
			all = rest[len(rest)/2:]
		default:
			for _, c := range rest {
				c.done <- err
			}
			return
		}
	}
}

// insertOnce stores the first of each key, answers those of which it is known
// what became of them, and returns the rest.
func (p *Postgres) insertOnce(all []*change[*insertion]) (rest []*change[*insertion], err error) {
	seen, lanes := map[string]bool{}, map[string]bool{}
	var first []*change[*insertion]
	for _, c := range all {
		if key := string(c.work.dedupe); !seen[key] && c.work.alone(lanes) {
			seen[key] = true
			first = append(first, c)
		}
	}
	stored, err := p.insertRows(first)
	if err != nil {
		return all, err
	}
	for _, c := range all {
		if !stored[c.work] {
			rest = append(rest, c)
			continue
		}
		c.work.id, c.work.what = c.work.event.ID, inbound.Stored
		if c.work.variant > 1 && !c.work.anew {
			c.work.what = inbound.Conflicted
		} else {
			p.announce()
		}
		c.done <- nil
	}
	if len(rest) == 0 {
		return nil, nil
	}
	return p.recognise(rest)
}

// alone reports whether an event is the first of its lane, or of those before it and
// itself none has a rank: the marks of lanes are compared with one event at a time.
// ranked tells of each lane whether it has one, or has to wait for one.
func (in *insertion) alone(ranked map[string]bool) bool {
	e := in.event
	if e.Lane == "" {
		return true
	}
	lane := e.Webhook + "/" + e.Lane
	before, known := ranked[lane]
	ranked[lane] = before || e.Rank != ""
	return !known || !ranked[lane]
}

// recognise answers those whose body is stored under their key, and finds the
// next variant for the others. What is seen may have been committed here and not
// yet be where a commit has to be, on a standby that does not answer: so it is
// answered after a commit of our own that comes later.
func (p *Postgres) recognise(all []*change[*insertion]) (rest []*change[*insertion], err error) {
	type known struct {
		id, proof string
		variant   int
		sum       []byte
	}
	found := map[string][]known{}
	keys := make([][]byte, len(all))
	for i, c := range all {
		keys[i] = c.work.dedupe
	}
	err = p.write(context.Background(), quick, func(b *pgx.Batch) {
		b.Queue("SELECT k.dedupe, k.variant, k.sha256, coalesce(e.id, k.id), coalesce(e.proof, '') FROM postern_keys k LEFT JOIN postern_events e ON e.seq = k.seq WHERE k.dedupe = ANY($1)", keys).Query(func(rows pgx.Rows) error {
			var key []byte
			var k known
			_, err := pgx.ForEachRow(rows, []any{&key, &k.variant, &k.sum, &k.id, &k.proof}, func() error {
				k.sum = bytes.Clone(k.sum)
				found[string(key)] = append(found[string(key)], k)
				return nil
			})
			return err
		})
		b.Queue(commitOfOurs)
	})
	if err != nil {
		return all, fmt.Errorf("look for known events: %w", err)
	}
	for _, c := range all {
		in := c.work
		in.variant = 1
		var k variants
		for _, v := range found[string(in.dedupe)] {
			in.variant = max(in.variant, v.variant+1)
			k.see(in.event, unescaped(v.id), v.variant, v.sum, v.proof)
		}
		a := inbound.Arrival{Event: in.event, Listed: in.listed, Anew: in.anew}
		if k.recognised(&a) {
			in.id, in.what, in.backfilled = a.ID, a.What, a.Backfilled
			c.done <- nil
		} else {
			rest = append(rest, c)
		}
	}
	return rest, nil
}

// insertSQL takes keys before lanes and each in their order, so that two of it
// cannot wait for each other. A key that is there already leaves its event out.
const insertSQL = `
WITH input AS MATERIALIZED (
  SELECT nextval('postern_seq') AS seq, u.*
  FROM unnest($1::text[], $2::bytea[], $3::int[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::bool[], $10::text[], $11::text[], $12::text[],
    $13::timestamptz[], $14::timestamptz[], $15::bigint[], $16::text[], $17::bytea[], $18::text[], $19::text[], $20::text[], $31::text[], $32::bigint[], $34::int[], $35::timestamptz[])
    WITH ORDINALITY AS u(id, dedupe, variant, sha256, webhook, account, event_id, weak, verified, type, key, lane, occurred, received, size, header, body, proof, parent, misfit, rank, keep, items, horizon, n)
), keys AS (
  INSERT INTO postern_keys (dedupe, variant, seq, sha256)
  SELECT dedupe, variant, seq, sha256 FROM input ORDER BY dedupe, variant
  ON CONFLICT DO NOTHING RETURNING seq
), events AS (
  INSERT INTO postern_events (seq, id, webhook, account, event_id, variant, weak, verified, type, key, lane, occurred, received, sha256, size, day, proof, parent, misfit, rank, items, horizon)
  SELECT seq, id, webhook, account, event_id, variant, weak, verified, type, key, lane, occurred, received, sha256, size, (now() AT TIME ZONE 'UTC')::date, proof, parent, misfit, rank, items, horizon
  FROM input JOIN keys USING (seq)
), bodies AS (
  INSERT INTO postern_bodies (day, seq, header, body)
  SELECT (now() AT TIME ZONE 'UTC')::date, seq, header, body FROM input JOIN keys USING (seq)
), work AS MATERIALIZED (
  SELECT i.seq * 512 + t.number AS id, t.target, t.lane, i.n, i.id AS event, i.rank, i.keep, i.webhook, t.state, t.origin, t.reason, t.actor, now() + t.after * interval '1 microsecond' AS due
  FROM unnest($21::int[], $22::text[], $23::bytea[], $24::int[], $25::text[], $26::text[], $27::text[], $28::bigint[], $29::text[])
    AS t(n, target, lane, number, state, origin, reason, after, actor) JOIN input i USING (n) JOIN keys USING (seq)
), lanes AS (
  INSERT INTO postern_lanes AS l (lane, head, seen, seen_event, until)
  SELECT lane, min(id), max(rank), CASE max(rank) WHEN '' THEN '' ELSE max(event) END, CASE max(rank) WHEN '' THEN NULL ELSE now() + max(keep) * interval '1 microsecond' END
  FROM work WHERE lane IS NOT NULL AND state = 'received' GROUP BY lane ORDER BY lane
  ON CONFLICT (lane) DO UPDATE SET
    head = CASE WHEN l.head = 0 AND NOT ` + oldInLane + ` THEN excluded.head ELSE l.head END,
    seen_event = CASE WHEN excluded.seen = '' OR ` + oldInLane + ` OR l.until > now() AND l.seen = excluded.seen THEN l.seen_event ELSE excluded.seen_event END,
    seen = CASE WHEN excluded.seen = '' OR ` + oldInLane + ` THEN l.seen ELSE excluded.seen END,
    applied = CASE WHEN l.until <= now() THEN '' ELSE l.applied END,
    state = CASE WHEN l.until <= now() THEN '' ELSE l.state END,
    until = greatest(l.until, excluded.until)
  RETURNING l.lane, l.head, l.seen, l.seen_event
), placed AS MATERIALIZED (
  SELECT w.*, l.head, w.state = 'received' AND w.rank <> '' AND left(l.seen, 1) = left(w.rank, 1) AND l.seen > w.rank AS old, l.seen_event
  FROM work w LEFT JOIN lanes l ON l.lane = w.lane
), deliveries AS (
  INSERT INTO postern_deliveries (id, target, lane, state, waiting, due, origin, reason)
  SELECT id, target, lane, CASE WHEN old THEN 'ignored' ELSE state END, state = 'received' AND old IS NOT TRUE AND head IS NOT NULL AND head <> id, due, origin,
    CASE WHEN old THEN $33 || seen_event ELSE reason END
  FROM placed ORDER BY id
), trail AS (
  INSERT INTO postern_trail (day, delivery, fence, at, from_state, to_state, attempt, status, took, reason, detail, actor, replica)
  SELECT (now() AT TIME ZONE 'UTC')::date, id, 0, now(), '', state, 0, 0, 0, reason, '', actor, $30 FROM work WHERE actor <> ''
), tally AS (
  INSERT INTO postern_tally (webhook, state, n)
  SELECT split_part(target, '/', 1), CASE WHEN old THEN 'ignored' ELSE state END, count(*) FROM placed WHERE state <> 'received' OR old GROUP BY 1, 2
)
SELECT i.n, (SELECT count(*) FROM placed p WHERE p.n = i.n AND p.old) FROM input i JOIN keys USING (seq)`

// oldInLane is whether what comes to a lane is older than what has been seen there.
const oldInLane = "coalesce(l.until > now() AND excluded.seen <> '' AND left(l.seen, 1) = left(excluded.seen, 1) AND l.seen > excluded.seen, false)"

// insertRows makes one statement of events with different keys and returns which
// of them were not there.
func (p *Postgres) insertRows(all []*change[*insertion]) (map[*insertion]bool, error) {
	a := newInsertArrays(all)
	stored := make(map[*insertion]bool, len(all))
	err := p.write(context.Background(), quick, func(b *pgx.Batch) {
		b.Queue(insertSQL, append(a.args(), p.replica, a.ranks, a.keep, inbound.StaleReason(""), a.items, a.horizons)...).Query(func(rows pgx.Rows) error {
			var n, old int
			_, err := pgx.ForEachRow(rows, []any{&n, &old}, func() error {
				stored[all[n-1].work], all[n-1].work.old = true, old
				return nil
			})
			return err
		})
		if a.ordered {
			passAside(b, a.laneKeys)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("store events: %w", err)
	}
	return stored, nil
}

// insertArrays are the parameters of insertSQL.
type insertArrays struct {
	ids, webhooks, accounts, eventIDs, types, keys, lanes, headers []string
	proofs, parents, misfits                                       []string
	items                                                          []int32
	horizons                                                       []*time.Time
	dedupes, sums, bodies                                          [][]byte
	variants                                                       []int32
	weak, verified                                                 []bool
	occurred                                                       []*time.Time
	received                                                       []time.Time
	sizes                                                          []int64

	events, numbers                   []int32 // of the deliveries
	targets, states, origins, reasons []string
	laneKeys                          [][]byte
	after                             []int64 // microseconds until they are due
	actors                            []string

	ranks   []string
	keep    []int64
	ordered bool // there is a lane
}

func newInsertArrays(all []*change[*insertion]) *insertArrays {
	a := &insertArrays{}
	for n, c := range all {
		in, e := c.work, c.work.event
		a.ids, a.webhooks, a.accounts = append(a.ids, escaped(e.ID)), append(a.webhooks, escaped(e.Webhook)), append(a.accounts, escaped(e.Account))
		a.eventIDs, a.types = append(a.eventIDs, escaped(e.EventID)), append(a.types, escaped(e.Type))
		a.keys, a.lanes, a.headers = append(a.keys, escaped(e.Key)), append(a.lanes, escaped(e.Lane)), append(a.headers, in.header)
		a.dedupes, a.sums, a.bodies = append(a.dedupes, in.dedupe), append(a.sums, e.SHA256[:]), append(a.bodies, notNil(e.Body))
		a.variants, a.sizes = append(a.variants, int32(in.variant)), append(a.sizes, int64(e.Size))
		a.weak, a.verified = append(a.weak, e.Weak), append(a.verified, e.Verified)
		a.occurred, a.received = append(a.occurred, moment(e.Occurred)), append(a.received, e.Received)
		a.proofs, a.parents, a.misfits = append(a.proofs, proofText(e.Proof)), append(a.parents, escaped(e.Parent)), append(a.misfits, escaped(e.Misfit))
		a.ranks, a.keep = append(a.ranks, string(e.Rank)), append(a.keep, min(in.keep, century).Microseconds())
		a.items, a.horizons = append(a.items, int32(e.Items)), append(a.horizons, moment(e.Horizon))
		a.deliveries(n, in)
	}
	return a
}

// deliveries adds those of the nth event.
func (a *insertArrays) deliveries(n int, in *insertion) {
	what := inbound.Stored
	if in.variant > 1 && !in.anew {
		what = inbound.Conflicted
	}
	for i, p := range in.to {
		p = placed(p, in.to, what)
		number, lane := i, laneKey(p.Target, in.event.Lane)
		if lane != nil {
			number += laned
			a.ordered = true
		}
		var after int64
		if p.State.Open() && !p.Due.IsZero() {
			after = time.Until(p.Due).Microseconds()
		}
		a.events, a.numbers = append(a.events, int32(n+1)), append(a.numbers, int32(number))
		a.targets, a.laneKeys = append(a.targets, escaped(p.Target)), append(a.laneKeys, lane)
		a.states, a.origins = append(a.states, string(p.State)), append(a.origins, string(p.Origin))
		a.reasons, a.after, a.actors = append(a.reasons, escaped(p.Reason)), append(a.after, after), append(a.actors, escaped(in.by))
	}
}

func (a *insertArrays) args() []any {
	return []any{
		a.ids, a.dedupes, a.variants, a.sums, a.webhooks, a.accounts, a.eventIDs, a.weak, a.verified, a.types, a.keys, a.lanes,
		a.occurred, a.received, a.sizes, a.headers, a.bodies, a.proofs, a.parents, a.misfits,
		a.events, a.targets, a.laneKeys, a.numbers, a.states, a.origins, a.reasons, a.after, a.actors,
	}
}
