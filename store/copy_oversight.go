package store

import (
	"context"
	"crypto/sha256"
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

// eachWatch and eachListed read what oversight keeps, in order.
func eachWatch(ctx context.Context, db copyable, do func(watchRow) error) error {
	var all []watchRow
	err := db.Oversight().(overseen).reader(ctx).rows(func(scan func(...any) error) error {
		var w watchRow
		err := scan(&w.Kind, &w.Webhook, &w.Account, &w.Value)
		w.Value = notNil(w.Value)
		all = append(all, w)
		return err
	}, "SELECT kind, webhook, account, value FROM postern_watches ORDER BY kind, webhook, account")
	for i := 0; err == nil && i < len(all); i++ {
		err = do(all[i])
	}
	return err
}

func eachListed(ctx context.Context, db copyable, do func([]listedRow) error) error {
	for after := int64(-1); ; {
		var all []listedRow
		err := db.Oversight().(overseen).reader(ctx).rows(func(scan func(...any) error) error {
			var l listedRow
			err := scan(&l.Seq, &l.Webhook, &l.How, &l.Listed, &l.Late)
			all, after = append(all, l), l.Seq
			return err
		}, "SELECT seq, webhook, how, listed, late FROM postern_listed WHERE seq > $1 ORDER BY seq LIMIT $2", after, int64(copyListedAtOnce))
		if err != nil || len(all) == 0 {
			return err
		}
		if err := do(all); err != nil {
			return err
		}
	}
}

// copyOversight copies what oversight keeps: without it a run would begin anew, and
// count anew. What is there already from an earlier try stays.
func copyOversight(ctx context.Context, source, dest copyable) error {
	to := dest.Oversight().(overseen)
	var destErr error
	err := eachWatch(ctx, source, func(w watchRow) error {
		destErr = to.transaction(ctx, len(w.Value), func(q sqlStatements) error {
			_, err := q.change("INSERT INTO postern_watches (kind, webhook, account, value, token, until) VALUES ($1, $2, $3, $4, '', 0) ON CONFLICT DO NOTHING", w.Kind, w.Webhook, w.Account, w.Value)
			return err
		})
		return destErr
	})
	if err == nil {
		err = eachListed(ctx, source, func(all []listedRow) error {
			destErr = to.transaction(ctx, 0, func(q sqlStatements) error {
				for _, l := range all {
					if _, err := q.change("INSERT INTO postern_listed (seq, webhook, how, listed, late) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING", l.Seq, l.Webhook, l.How, l.Listed, l.Late); err != nil {
						return err
					}
				}
				return nil
			})
			return destErr
		})
	}
	switch {
	case destErr != nil:
		return fmt.Errorf("the destination %s: %w", dest.Where(), destErr)
	case err != nil:
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	return nil
}

// compareOversight adds it to what two databases have in common.
func compareOversight(ctx context.Context, source, dest copyable, sum *Summary, everything hash.Hash) error {
	digest := func(db copyable, of hash.Hash) (watches, listed int64, err error) {
		e := json.NewEncoder(of)
		err = eachWatch(ctx, db, func(w watchRow) error { watches++; return e.Encode(w) })
		if err == nil {
			err = eachListed(ctx, db, func(all []listedRow) error { listed += int64(len(all)); return e.Encode(all) })
		}
		return watches, listed, err
	}
	a, b := sha256.New(), sha256.New()
	watches, listed, err := digest(source, a)
	if err != nil {
		return fmt.Errorf("the source %s: %w", source.Where(), err)
	}
	gotWatches, gotListed, err := digest(dest, b)
	if err != nil {
		return fmt.Errorf("the destination %s: %w", dest.Where(), err)
	}
	if string(a.Sum(nil)) != string(b.Sum(nil)) {
		return fmt.Errorf("%w: there are %d watches over webhooks and %d events that lists have named, not %d and %d, or others: empty the destination and begin anew", ErrCopy, gotWatches, gotListed, watches, listed)
	}
	everything.Write(a.Sum(nil))
	sum.Watches, sum.Listed = watches, listed
	return nil
}
