package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/postern-proxy/postern/inbound"
)

// ascent goes through the events that f may select as [inbox.steps] does, but the
// oldest first, from behind after on.
func (s inbox) ascent(ctx context.Context, f *inbound.Filter, after int64, look func(w *scan, low, before int64, looks int) (more bool, err error)) (int64, error) {
	low, high, err := s.span(ctx, f)
	if err != nil {
		return 0, err
	}
	low = max(low, after+1)
	w, err := s.way(ctx, f)
	if err != nil {
		return 0, err
	}
	for n, looks := firstStep, 0; low < high; n = min(n*2, lastStep) {
		to, err := s.ceiling(ctx, &w, low, n)
		if err != nil {
			return 0, fmt.Errorf("look for the next events: %w", err)
		}
		to = min(to, high)
		looks += n
		more, err := look(&w, low, to, looks)
		if err != nil {
			return 0, err
		}
		if low = to; !more {
			break
		}
	}
	if low >= high {
		return 0, nil
	}
	return low - 1, nil
}

// ceiling is the seq of the event that is n further on than the first from low on,
// more than any if there is none. It is more than low.
func (s inbox) ceiling(ctx context.Context, w *scan, low int64, n int) (seq int64, err error) {
	query := "SELECT " + w.seqOf + " FROM " + w.from() + " WHERE " + w.condition + " AND rowid >= ? ORDER BY rowid LIMIT 1 OFFSET ?"
	err = s.read.QueryRowContext(ctx, query, append(slices.Clone(w.args), w.row(low), n)...).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return math.MaxInt64, nil
	}
	return max(seq, low+1), err // an event may have as many deliveries
}
