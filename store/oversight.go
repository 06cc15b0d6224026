package store

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
)

// What reconciliation, silence and subscriptions keep is written once for all
// databases, as the outbox is. The events themselves are in other tables in each,
// of which dialect tells.

// dialect is what a database calls what its events are in.
type dialect struct {
	sqlBase
	events             string // the table
	there              string // what is true of an event that is not deleted, though its key is known
	occurred, received string // microseconds, of the table e; occurred is 0 for none
	known              string // the id of the event of a key
	key                func(webhook string, k oversight.Key) []any
}

// Oversight returns s as the store of oversight.
func (s *SQLite) Oversight() oversight.Store {
	return overseen{dialect{
		sqlBase: sqliteBase{s}, events: "events", there: "gone = 0", occurred: "e.occurred", received: "e.received",
		known: "SELECT id FROM events WHERE webhook = $1 AND account = $2 AND event_id = $3 AND variant = 1",
		key:   func(webhook string, k oversight.Key) []any { return []any{webhook, k.Account, k.EventID} },
	}}
}

// Oversight returns p as the store of oversight.
func (p *Postgres) Oversight() oversight.Store {
	return overseen{dialect{
		sqlBase: postgresBase{p}, events: "postern_events", there: "true",
		occurred: "coalesce((extract(epoch FROM e.occurred) * 1000000)::bigint, 0)", received: "(extract(epoch FROM e.received) * 1000000)::bigint",
		known: "SELECT coalesce(e.id, k.id) FROM postern_keys k LEFT JOIN postern_events e ON e.seq = k.seq WHERE k.dedupe = $1 AND k.variant = 1",
		key: func(webhook string, k oversight.Key) []any {
			return []any{dedupeKey(&inbound.Event{Webhook: webhook, Account: k.Account, EventID: k.EventID})}
		},
	}}
}

type overseen struct{ dialect }

func (s overseen) Take(ctx context.Context, w oversight.Watch, token string, lease time.Duration) (value []byte, ok bool, err error) {
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		value, ok = nil, false
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		if _, err := q.change("INSERT INTO postern_watches (kind, webhook, account, value, token, until) VALUES ($1, $2, $3, $4, '', 0) ON CONFLICT DO NOTHING",
			w.Kind, w.Webhook, escaped(w.Account), []byte{}); err != nil {
			return err
		}
		n, err := q.change("UPDATE postern_watches SET token = $4, until = $5 WHERE kind = $1 AND webhook = $2 AND account = $3 AND (until <= $6 OR token = $4)",
			w.Kind, w.Webhook, escaped(w.Account), token, now+lease.Microseconds(), now)
		if err != nil {
			return err
		}
		ok = n == 1
		return q.rows(func(scan func(...any) error) error { return scan(&value) },
			"SELECT value FROM postern_watches WHERE kind = $1 AND webhook = $2 AND account = $3", w.Kind, w.Webhook, escaped(w.Account))
	})
	if err != nil {
		return nil, false, fmt.Errorf("take the %s of webhook %q: %w", w.Kind, w.Webhook, err)
	}
	return some(value), ok, nil
}

// some makes nil of an empty value.
func some(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	return value
}

func (s overseen) Keep(ctx context.Context, w oversight.Watch, token string, value []byte, lease time.Duration) error {
	held := false
	err := s.transaction(ctx, len(value), func(q sqlStatements) error {
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		if len(value) == 0 && lease == 0 {
			n, err := q.change("DELETE FROM postern_watches WHERE kind = $1 AND webhook = $2 AND account = $3 AND token = $4", w.Kind, w.Webhook, escaped(w.Account), token)
			held = n == 1
			return err
		}
		until := int64(0)
		if lease > 0 {
			until = now + lease.Microseconds()
		}
		n, err := q.change("UPDATE postern_watches SET value = $5, until = $6 WHERE kind = $1 AND webhook = $2 AND account = $3 AND token = $4",
			w.Kind, w.Webhook, escaped(w.Account), token, notNil(value), until)
		held = n == 1
		return err
	})
	if err == nil && !held {
		err = oversight.ErrLease
	}
	if err != nil {
		return fmt.Errorf("keep the %s of webhook %q: %w", w.Kind, w.Webhook, err)
	}
	return nil
}

func (s overseen) Watches(ctx context.Context, kind string) (all []oversight.Row, err error) {
	q := s.reader(ctx)
	now, err := s.clock(q)
	if err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	err = q.rows(func(scan func(...any) error) error {
		r := oversight.Row{Watch: oversight.Watch{Kind: kind}}
		var until int64
		err := scan(&r.Webhook, &r.Account, &r.Value, &until)
		r.Account, r.Value, r.Busy = unescaped(r.Account), some(r.Value), until > now
		all = append(all, r)
		return err
	}, "SELECT webhook, account, value, until FROM postern_watches WHERE kind = $1 ORDER BY webhook, account", kind)
	if err != nil {
		return nil, fmt.Errorf("read what is kept of %s: %w", kind, err)
	}
	return all, nil
}

func (s overseen) Known(ctx context.Context, webhook string, keys []oversight.Key) ([]string, error) {
	q, ids := s.reader(ctx), make([]string, len(keys))
	for i, k := range keys {
		err := q.rows(func(scan func(...any) error) error { return scan(&ids[i]) }, s.known, s.key(webhook, k)...)
		if err != nil {
			return nil, fmt.Errorf("look for known events: %w", err)
		}
		ids[i] = unescaped(ids[i])
	}
	return ids, nil
}

func (s overseen) Name(ctx context.Context, page int64, ids []string) (all []oversight.Named, err error) {
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		all = make([]oversight.Named, len(ids))
		for i, id := range ids {
			if all[i], err = s.name(q, id, page); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take note of named events: %w", err)
	}
	return all, nil
}

// name takes note of one event.
func (s overseen) name(q sqlStatements, id string, page int64) (n oversight.Named, err error) {
	var seq int64
	var webhook, proof string
	err = q.rows(func(scan func(...any) error) error { return scan(&seq, &webhook, &proof) },
		"SELECT seq, webhook, proof FROM "+s.events+" WHERE id = $1 AND "+s.there, escaped(id))
	if err != nil || seq == 0 && webhook == "" {
		return n, err
	}
	how := "received"
	if n.Backfilled = readProof(proof).Backfilled(); n.Backfilled {
		how = "backfilled"
	}
	changed, err := q.change(`INSERT INTO postern_listed (seq, webhook, how, listed, late) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT (seq) DO UPDATE SET how = excluded.how, listed = excluded.listed WHERE postern_listed.listed IN (0, excluded.listed)`, seq, webhook, how, page)
	n.First = changed == 1
	return n, err
}

func (s overseen) Late(ctx context.Context, id string) error {
	err := s.transaction(ctx, 0, func(q sqlStatements) error {
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		_, err = q.change(`INSERT INTO postern_listed (seq, webhook, how, listed, late) SELECT seq, webhook, 'backfilled', 0, `+fmt.Sprint(now)+` FROM `+s.events+` WHERE id = $1 AND `+s.there+`
ON CONFLICT (seq) DO UPDATE SET late = excluded.late WHERE postern_listed.late = 0`, escaped(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("take note of a late event: %w", err)
	}
	return nil
}

func (s overseen) LateSince(ctx context.Context, webhook, account string, after time.Time, grace time.Duration) (n int, until time.Time, err error) {
	q := s.reader(ctx)
	now, err := s.clock(q)
	if err != nil {
		return 0, until, fmt.Errorf("read the clock: %w", err)
	}
	end := now - grace.Microseconds()
	query, args := "SELECT count(*) FROM postern_listed l WHERE l.webhook = $1 AND l.late > $2 AND l.late <= $3", []any{webhook, micro(after), end}
	if account != "" {
		query, args = query+" AND EXISTS (SELECT 1 FROM "+s.events+" e WHERE e.seq = l.seq AND e.account = $4)", append(args, escaped(account))
	}
	err = q.rows(func(scan func(...any) error) error { return scan(&n) }, query, args...)
	if err != nil {
		return 0, until, fmt.Errorf("count late events: %w", err)
	}
	return n, fromMicro(end), nil
}

// unnamedAtOnce is how many events are read at once.
const unnamedAtOnce = 2000

func (s overseen) Unnamed(ctx context.Context, webhook string, since time.Time, each func(oversight.Seen)) error {
	q, before, from := s.reader(ctx), int64(1)<<62, since.UnixMicro()
	for {
		read, done := 0, false
		err := q.rows(func(scan func(...any) error) error {
			var e oversight.Seen
			var occurred, received int64
			var proof string
			var named bool
			if err := scan(&before, &e.ID, &e.Type, &e.Account, &proof, &occurred, &received, &named); err != nil {
				return err
			}
			read++
			if done = done || received < from; done || named {
				return nil
			}
			if e.At = fromMicro(received); occurred != 0 {
				e.At = fromMicro(occurred)
			}
			e.ID, e.Type, e.Account, e.Backfilled = unescaped(e.ID), unescaped(e.Type), unescaped(e.Account), readProof(proof).Backfilled()
			each(e)
			return nil
		}, "SELECT e.seq, e.id, e.type, e.account, e.proof, "+s.occurred+", "+s.received+", l.seq IS NOT NULL FROM "+s.events+
			" e LEFT JOIN postern_listed l ON l.seq = e.seq WHERE e.webhook = $1 AND "+s.there+" AND e.variant = 1 AND e.items = 0 AND e.seq < $2 ORDER BY e.seq DESC LIMIT $3", webhook, before, unnamedAtOnce)
		if err != nil {
			return fmt.Errorf("look for events that no list has named: %w", err)
		}
		if done || read < unnamedAtOnce {
			return nil
		}
	}
}

func (s overseen) Unknown(ctx context.Context, ids []string) (n int, err error) {
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		n = 0
		for _, id := range ids {
			changed, err := q.change(`INSERT INTO postern_listed (seq, webhook, how, listed, late) SELECT seq, webhook, 'unknown', 0, 0 FROM `+s.events+` WHERE id = $1 AND `+s.there+`
ON CONFLICT (seq) DO NOTHING`, escaped(id))
			if err != nil {
				return err
			}
			n += int(changed)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("take note of events that are unknown to the provider: %w", err)
	}
	return n, nil
}

func (s overseen) Tally(ctx context.Context) (map[string]oversight.Tally, error) {
	all := map[string]oversight.Tally{}
	err := s.reader(ctx).rows(func(scan func(...any) error) error {
		var webhook, how string
		var n, listed, late int64
		if err := scan(&webhook, &how, &n, &listed, &late); err != nil {
			return err
		}
		t := all[webhook]
		counted(&t, how, int(n), int(listed), int(late))
		all[webhook] = t
		return nil
	}, "SELECT webhook, how, count(*), count(CASE WHEN listed > 0 THEN 1 END), count(CASE WHEN late > 0 THEN 1 END) FROM postern_listed GROUP BY webhook, how")
	if err != nil {
		return nil, fmt.Errorf("count named events: %w", err)
	}
	return all, nil
}

// counted adds what was counted of one kind to t.
func counted(t *oversight.Tally, how string, n, listed, late int) {
	t.Expected, t.Late = t.Expected+listed, t.Late+late
	switch how {
	case "received":
		t.Received += listed
	case "backfilled":
		t.Backfilled += listed
	case "unknown":
		t.Unknown += n
	}
}

// Oversight returns m as the store of oversight.
func (m *Memory) Oversight() oversight.Store { return memoryOversight{m} }
