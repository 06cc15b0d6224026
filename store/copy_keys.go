package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// goneKey is what is left of a deleted event until its horizon.
type goneKey struct {
	seq   int64
	event inbound.Event // what makes its key, and its id, variant, digest and horizon
}

const copyKeysAtOnce = 1000

// copiedKeys are the keys of deleted events, in the order in which they are
// forgotten: without them a repeat would be taken as new.
func copiedKeys() copyPart {
	return copiedRows[goneKey]{
		name: "keys of deleted events",
		some: func(ctx context.Context, db copyable, last *goneKey) ([]goneKey, error) {
			if last == nil {
				last = &goneKey{}
			}
			return db.someKeys(ctx, *last)
		},
		add:   func(ctx context.Context, db copyable, all []goneKey) error { return db.addKeys(ctx, all) },
		write: func(f *fields, k *goneKey) error { k.write(f); return nil },
		told:  func(sum *Summary, n copyCount) { sum.Keys = n[0] },
	}
}

func (k *goneKey) write(f *fields) {
	e := &k.event
	f.number(k.seq)
	f.texts(e.ID, e.Webhook, e.Account, e.EventID)
	f.number(int64(e.Variant))
	f.bytes(e.SHA256[:])
	f.time(e.Horizon)
}

func (s *SQLite) someKeys(ctx context.Context, after goneKey) (all []goneKey, err error) {
	err = s.scan(ctx, func(r *sql.Rows) error {
		var k goneKey
		var until int64
		var sum []byte
		err := r.Scan(&k.seq, &k.event.ID, &k.event.Webhook, &k.event.Account, &k.event.EventID, &k.event.Variant, &sum, &until)
		copy(k.event.SHA256[:], sum)
		k.event.Horizon = fromMicro(until)
		all = append(all, k)
		return err
	}, "SELECT seq, id, webhook, account, event_id, variant, sha256, horizon FROM events WHERE gone = 1 AND (horizon, seq) > (?, ?) ORDER BY horizon, seq LIMIT ?",
		micro(after.event.Horizon), after.seq, copyKeysAtOnce)
	return all, err
}

func (s *SQLite) addKeys(ctx context.Context, all []goneKey) error {
	return s.do(ctx, 0, func(t *tx) error {
		for i := range all {
			e := &all[i].event
			if err := t.exec(`INSERT INTO events (seq, id, webhook, account, event_id, variant, sha256, horizon, gone, weak, verified, type, key, occurred, received, size)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 0, 0, '', '', 0, 0, 0) ON CONFLICT (seq) DO NOTHING`,
				all[i].seq, e.ID, e.Webhook, e.Account, e.EventID, e.Variant, e.SHA256[:], micro(e.Horizon)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Postgres) someKeys(ctx context.Context, after goneKey) (all []goneKey, err error) {
	if after.event.Horizon.IsZero() {
		after.event.Horizon = time.UnixMicro(0)
	}
	err = p.read(ctx, func(r pgx.Rows) error {
		var k goneKey
		var sum []byte
		err := r.Scan(&k.seq, &k.event.ID, &k.event.Webhook, &k.event.Account, &k.event.EventID, &k.event.Variant, &sum, &k.event.Horizon)
		for _, text := range []*string{&k.event.ID, &k.event.Webhook, &k.event.Account, &k.event.EventID} {
			*text = unescaped(*text)
		}
		copy(k.event.SHA256[:], sum)
		all = append(all, k)
		return err
	}, "SELECT seq, id, webhook, account, event_id, variant, sha256, until FROM postern_keys WHERE until IS NOT NULL AND (until, seq) > ($1, $2) ORDER BY until, seq LIMIT $3",
		after.event.Horizon, after.seq, copyKeysAtOnce)
	return all, err
}

func (p *Postgres) addKeys(ctx context.Context, all []goneKey) error {
	return p.write(ctx, patient, func(b *pgx.Batch) {
		for i := range all {
			e := &all[i].event
			b.Queue(`INSERT INTO postern_keys (dedupe, variant, seq, sha256, until, id, webhook, account, event_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (dedupe, variant) DO NOTHING`,
				dedupeKey(e), e.Variant, all[i].seq, e.SHA256[:], e.Horizon, escaped(e.ID), escaped(e.Webhook), escaped(e.Account), escaped(e.EventID))
		}
	})
}
