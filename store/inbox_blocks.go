package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

// Lists by webhook, account or type go by blocks of events: what is stored has its
// values written down once a block and not in an index of each.

// blockSize is how many seqs are in a block.
const blockSize = 128

// blockValue is what an event of a block has.
type blockValue struct{ field, text string }

// openBlock is the one that is being filled. The writer keeps it until a transaction
// fails: then what is stored is read again.
type openBlock struct {
	n    int64 // its number
	seen map[blockValue]struct{}
}

var insertBlock = rowsSQL{"INSERT OR IGNORE INTO event_blocks (field, value, block) VALUES ", "(?, ?, ?)", ""}

// fill notes what the event with this seq has, which comes after all others. A block
// is written down by the event that comes after it.
func (t *tx) fill(seq int64, e *inbound.Event) error {
	b := t.w.block
	if n := seq / blockSize; b == nil || b.n != n {
		if err := t.endBlock(b); err != nil {
			return err
		}
		b = &openBlock{n: n, seen: make(map[blockValue]struct{}, 8)}
		t.w.block = b
	}
	b.seen[blockValue{"webhook", e.Webhook}] = struct{}{}
	if e.Account != "" {
		b.seen[blockValue{"account", e.Account}] = struct{}{}
	}
	if e.Type != "" {
		b.seen[blockValue{"type", e.Type}] = struct{}{}
	}
	return nil
}

func (t *tx) endBlock(b *openBlock) error {
	if b == nil {
		return nil
	}
	all := make([]blockValue, 0, len(b.seen))
	for v := range b.seen {
		all = append(all, v)
	}
	_, err := t.rows(&insertBlock, len(all), func(to []any, i int) []any { return append(to, all[i].field, all[i].text, b.n) }, nil)
	return err
}

// fillBlocks notes what events have that are stored.
func (t *tx) fillBlocks(all []*arriving) error {
	if t.w.block == nil && len(all) > 0 {
		return t.catchUp() // they are among what it reads
	}
	for _, a := range all {
		if err := t.fill(a.seq, a.Event); err != nil {
			return err
		}
	}
	return nil
}

// catchUp reads what is stored and stands in no block yet: what the process before had
// begun, or all that an older version has stored.
func (t *tx) catchUp() error {
	for after := int64(-1); ; {
		var some []seqEvent
		err := t.each(func(r *sql.Rows) error {
			var e seqEvent
			err := r.Scan(&e.seq, &e.Webhook, &e.Account, &e.Type)
			some = append(some, e)
			return err
		}, `SELECT seq, webhook, account, type FROM events WHERE seq >= max(? + 1, (`+wholeBlocks+`)) AND gone = 0 ORDER BY seq LIMIT ?`, after, lastStep)
		if err != nil {
			return fmt.Errorf("read what no block has: %w", err)
		}
		if len(some) == 0 {
			return nil
		}
		for i := range some {
			if err := t.fill(some[i].seq, &some[i].Event); err != nil {
				return err
			}
		}
		after = some[len(some)-1].seq
	}
}

// fillOld writes down the blocks of what is stored, before anything else is.
func fillOld(db *sql.DB) error {
	w := &session{db: db, tally: new(tally)}
	defer w.close()
	return w.transact([]*op{{brief: true, run: (*tx).catchUp}})
}

// dropBlocks deletes the blocks in which nothing is left, of events that were deleted.
// Their seqs may be given out again: no block is whole in which there is room.
func (t *tx) dropBlocks(seqs iter.Seq[int64]) error {
	t.w.block = nil
	dropped := map[int64]bool{}
	for seq := range seqs {
		n := seq / blockSize
		if dropped[n] {
			continue
		}
		dropped[n] = true
		if err := t.exec("DELETE FROM event_blocks WHERE block = ? AND NOT EXISTS (SELECT 1 FROM events WHERE seq BETWEEN ? * 128 AND ? * 128 + 127 AND gone = 0)", n, n, n); err != nil {
			return err
		}
	}
	return t.exec("DELETE FROM event_blocks WHERE block >= (SELECT coalesce(max(seq), 0) + 1 FROM events) / 128")
}

// blocksWay is the way to events with values in a field; {} in the condition is a value.
func blocksWay(field string, few bool, condition string, values ...any) scan {
	return scan{blocks: true, condition: "field = '" + field + "' AND " + strings.ReplaceAll(condition, "{}", "value"), args: values, table: "event_blocks", few: few}
}

// wholeBlocks is the seq up to which events stand in blocks.
const wholeBlocks = "SELECT coalesce(max(block) + 1, 0) * 128 FROM event_blocks"

// nextBlocks makes t the blocks next to each other that its way leads to first. What
// stands in no block yet is looked at whole.
func (s inbox) nextBlocks(ctx context.Context, t *stretch, oldest bool) error {
	var whole int64
	if err := s.read.QueryRowContext(ctx, wholeBlocks).Scan(&whole); err != nil {
		return err
	}
	rest := func() error {
		t.low = min(max(t.low, whole), t.high)
		return s.nextRows(ctx, t, &allEvents, oldest)
	}
	if !oldest && t.high > whole {
		return rest()
	}
	found, err := s.blocksOf(ctx, t, oldest)
	switch {
	case err != nil:
		return err
	case len(found) == 0 && oldest:
		return rest()
	case len(found) == 0:
		t.high = t.low
		return nil
	}
	n := 1
	for n < len(found) && (found[n]-found[n-1] == 1 || found[n]-found[n-1] == -1) {
		n++
	}
	first, last := min(found[0], found[n-1]), max(found[0], found[n-1])
	t.low, t.high = max(t.low, first*blockSize), min(t.high, (last+1)*blockSize)
	t.n = int(t.high - t.low)
	return nil
}

// blocksOf are the first blocks of t's way, as many as hold t.n events.
func (s inbox) blocksOf(ctx context.Context, t *stretch, oldest bool) (found []int64, err error) {
	order := " DESC"
	if oldest {
		order = ""
	}
	query := "SELECT DISTINCT block FROM event_blocks WHERE " + t.way.condition + " AND block BETWEEN ? AND ? ORDER BY block" + order + " LIMIT ?"
	rows, err := s.read.QueryContext(ctx, query, append(slices.Clone(t.way.args), t.low/blockSize, (t.high-1)/blockSize, max(1, t.n/blockSize))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		found = append(found, n)
	}
	return found, rows.Err()
}
