package store

import (
	"context"
	"encoding/json"
	"fmt"
	"hash"
)

// copyListedAtOnce is how many rows of what lists have said are copied together.
const copyListedAtOnce = 1000

// watchRow and listedRow are everything that is kept of a watch, and of what lists
// have said of an event; the seq of an event is the same in every database.
type (
	watchRow struct {
		Kind, Webhook, Account string
		Value                  []byte
	}
	listedRow struct {
		Seq          int64
		Webhook, How string
		Listed, Late int64
	}
)

// copiedOversight is what oversight keeps: without it a run would begin anew, and
// count anew.
type copiedOversight struct{}

// watches are few: they are read together.
func (copiedOversight) watches() copiedRows[watchRow] {
	return copiedRows[watchRow]{
		some: func(ctx context.Context, db copyable, last *watchRow) (all []watchRow, err error) {
			if last != nil {
				return nil, nil
			}
			err = db.Oversight().(overseen).reader(ctx).rows(func(scan func(...any) error) error {
				var w watchRow
				err := scan(&w.Kind, &w.Webhook, &w.Account, &w.Value)
				w.Value = notNil(w.Value)
				all = append(all, w)
				return err
			}, "SELECT kind, webhook, account, value FROM postern_watches ORDER BY kind, webhook, account")
			return all, err
		},
		add: func(ctx context.Context, db copyable, all []watchRow) error {
			for _, w := range all {
				if err := db.Oversight().(overseen).transaction(ctx, len(w.Value), func(q sqlStatements) error {
					_, err := q.change("INSERT INTO postern_watches (kind, webhook, account, value, token, until) VALUES ($1, $2, $3, $4, '', 0) ON CONFLICT DO NOTHING", w.Kind, w.Webhook, w.Account, w.Value)
					return err
				}); err != nil {
					return err
				}
			}
			return nil
		},
		write: func(f *fields, w *watchRow) error { return json.NewEncoder(f).Encode(w) },
	}
}

func (copiedOversight) listed() copiedRows[listedRow] {
	return copiedRows[listedRow]{
		some: func(ctx context.Context, db copyable, last *listedRow) (all []listedRow, err error) {
			after := int64(-1)
			if last != nil {
				after = last.Seq
			}
			err = db.Oversight().(overseen).reader(ctx).rows(func(scan func(...any) error) error {
				var l listedRow
				err := scan(&l.Seq, &l.Webhook, &l.How, &l.Listed, &l.Late)
				all = append(all, l)
				return err
			}, "SELECT seq, webhook, how, listed, late FROM postern_listed WHERE seq > $1 ORDER BY seq LIMIT $2", after, int64(copyListedAtOnce))
			return all, err
		},
		add: func(ctx context.Context, db copyable, all []listedRow) error {
			return db.Oversight().(overseen).transaction(ctx, 0, func(q sqlStatements) error {
				for _, l := range all {
					if _, err := q.change("INSERT INTO postern_listed (seq, webhook, how, listed, late) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING", l.Seq, l.Webhook, l.How, l.Listed, l.Late); err != nil {
						return err
					}
				}
				return nil
			})
		},
		write: func(f *fields, l *listedRow) error { return json.NewEncoder(f).Encode(l) },
	}
}

func (c copiedOversight) copy(ctx context.Context, source, dest copyable) error {
	if err := c.watches().copy(ctx, source, dest); err != nil {
		return err
	}
	return c.listed().copy(ctx, source, dest)
}

func (c copiedOversight) compare(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	want, got, same, err := digestBoth(source, dest, everything, func(db copyable, of hash.Hash) (copyCount, error) {
		watches, err := c.watches().digest(ctx, db, of)
		if err != nil {
			return copyCount{}, err
		}
		listed, err := c.listed().digest(ctx, db, of)
		return copyCount{watches[0], listed[0]}, err
	})
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: there are %d watches over webhooks and %d events that lists have named, not %d and %d, or others: empty the destination and begin anew", ErrCopy, got[0], got[1], want[0], want[1])
	}
	sum.Watches, sum.Listed = want[0], want[1]
	return nil
}
