package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/inbound"
)

// A list goes through events by the one index that the fewest of them stand in, in
// steps, and looks at each for what else is asked for. So a page costs no more in a
// large inbox than in a small one, whatever is asked for: when it has looked at
// enough it ends, full or not, and says where to go on. Both databases go this way;
// each brings its statements.
const (
	firstStep = 256            // events that the first step looks at
	lastStep  = 4096           // and a later one at most: each at twice as many as the one before
	pageLooks = 31 * firstStep // events that a page looks at: five steps
	farLooks  = 3              // as how many of them one counts that stands far from the others
	rare      = 2000           // how far an index is counted to compare it with others
	countFor  = 2 * time.Second
)

// apart is how much the order of arrival and the times of arrival may differ.
const apart = time.Hour

// scan is one way through the events.
type scan struct {
	index     string // "" is that of the events themselves
	condition string // of what stands in it, with a ? for each of args
	args      []any
	seqOf     string // the seq of what stands in it
	table     string
	few       bool // it is of use only if few stand in it, for they do not stand in their order
	blocks    bool // it leads to blocks of events, which are looked at whole
	settles   bool // whatever stands in it has the state that is asked for
}

// stretch is what one step goes through: the events from low up to high, without it.
type stretch struct {
	way       *scan // nil for all that are named
	low, high int64
	n         int // how many stand in it, about
}

// dense reports whether what stands in t stands close together, so that it is no more
// work to look at everything there.
func (t *stretch) dense() bool { return t.way != nil && t.high-t.low <= 4*int64(t.n) }

// walker is what a list needs to know of a database.
type walker interface {
	// span is between which seqs everything lies that was received when f says: low
	// is the first that may, high the first of those that cannot. Time is told by
	// the order of arrival, but for clocks that were set.
	span(ctx context.Context, f *inbound.Filter) (low, high int64, err error)
	// ways are those that lead to all events that f selects; the last one leads
	// through all there are.
	ways(f *inbound.Filter) []scan
	// standing counts what stands in w, up to a limit.
	standing(ctx context.Context, w *scan, limit int) (int, error)
	// next makes t its last part, or its first: that in which about t.n events stand.
	next(ctx context.Context, t *stretch, oldest bool) error
}

// cut makes t what is behind an edge, or before it; 0 is no edge.
func (t *stretch) cut(edge int64, oldest bool) {
	switch {
	case edge == 0:
	case oldest:
		t.high = min(edge, t.high)
	default:
		t.low = max(edge, t.low)
	}
}

// work is how many events are looked at on this way if n stand in it, of at most rare
// that were counted.
func (w *scan) work(n int) int {
	switch {
	case n >= rare:
		return math.MaxInt - 1 // better than none
	case w.blocks:
		return n * blockSize
	}
	return n
}

// shortest is the way that f is gone through by.
func shortest(ctx context.Context, s walker, f *inbound.Filter) (best scan, err error) {
	ways := s.ways(f)
	best = ways[len(ways)-1]
	least := math.MaxInt
	for _, w := range ways[:len(ways)-1] {
		n, err := s.standing(ctx, &w, rare)
		if err != nil {
			return best, fmt.Errorf("look for the shortest way: %w", err)
		}
		if work := w.work(n); work < least && (n < rare || !w.few) {
			best, least = w, work
		}
	}
	return best, nil
}

// steps goes through the events that f may select, in its order and from its cursor
// on, and calls look for each step, of so many events at most, until that returns
// false or nothing is left. It returns where to go on, 0 at the end.
func steps(ctx context.Context, s walker, f *inbound.Filter, cursor int64, most int, look func(*stretch) (more bool, err error)) (int64, error) {
	low, high, err := s.span(ctx, f)
	if err != nil {
		return 0, err
	}
	if f.Oldest {
		low = max(low, min(cursor, high)+1)
	} else {
		high = min(high, cursor)
	}
	if low >= high {
		return 0, nil
	}
	w, err := shortest(ctx, s, f)
	if err != nil {
		return 0, err
	}
	for n, more := firstStep, true; more && low < high; n = min(n*2, most) {
		t := &stretch{way: &w, low: low, high: high, n: n}
		if err = s.next(ctx, t, f.Oldest); err != nil {
			return 0, fmt.Errorf("look for the next events: %w", err)
		}
		if f.Oldest {
			low = t.high
		} else {
			high = t.low
		}
		if t.low < t.high {
			if more, err = look(t); err != nil {
				return 0, err
			}
		}
	}
	switch {
	case low >= high:
		return 0, nil
	case f.Oldest:
		return low - 1, nil
	}
	return high, nil
}

// named reports whether f selects few events by their names.
func named(f *inbound.Filter) bool { return len(f.IDs) > 0 || f.EventID != "" }

// begin is the seq of f's cursor: that of the event before the page, in its order.
func begin(f *inbound.Filter) (cursor int64, err error) {
	switch {
	case f.Cursor == "" && f.Oldest:
		return 0, nil
	case f.Cursor == "":
		return math.MaxInt64, nil
	}
	if cursor, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
		return 0, inbound.ErrCursor
	}
	return cursor, nil
}

// pageOf is one page of the events that f selects, and the cursor of the next; look
// reads up to so many of those in a stretch, in the order of f.
func pageOf[E any](ctx context.Context, s walker, f *inbound.Filter, seq func(*E) int64, look func(t *stretch, limit int) ([]E, error)) (events []E, next string, err error) {
	cursor, err := begin(f)
	if err != nil {
		return nil, "", err
	}
	var to int64
	n := f.PageSize()
	if named(f) {
		t := &stretch{high: cursor}
		if f.Oldest {
			t = &stretch{low: min(cursor, math.MaxInt64-1) + 1, high: math.MaxInt64}
		}
		events, err = look(t, n+1)
	} else {
		looks := 0
		to, err = steps(ctx, s, f, cursor, lastStep, func(t *stretch) (bool, error) {
			more, err := look(t, n+1-len(events))
			events, looks = append(events, more...), looks+t.n
			if !t.dense() {
				looks += (farLooks - 1) * t.n
			}
			return len(events) <= n && looks < pageLooks, err
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("list events: %w", err)
	}
	if len(events) > n {
		events = events[:n]
		to = seq(&events[n-1])
	}
	if to != 0 {
		next = strconv.FormatInt(to, 10)
	}
	return events, next, nil
}

// countOf counts the events that f selects, in steps of so many at most; look counts
// those in a stretch.
func countOf(ctx context.Context, s walker, f *inbound.Filter, most int, look func(*stretch) (int, error)) (c inbound.Counted, err error) {
	if named(f) {
		c.N, err = look(&stretch{high: math.MaxInt64})
		return c, err
	}
	all := *f
	all.Cursor, all.Oldest = "", false
	end := time.Now().Add(countFor)
	next, err := steps(ctx, s, &all, math.MaxInt64, most, func(t *stretch) (bool, error) {
		n, err := look(t)
		c.N += n
		return time.Now().Before(end), err
	})
	if err != nil {
		return inbound.Counted{}, fmt.Errorf("count events: %w", err)
	}
	c.More = next != 0
	return c, nil
}

// beyond is the first text after all that begin with prefix, in the order of bytes;
// false if there is none.
func beyond(prefix string) (string, bool) {
	if !utf8.ValidString(prefix) {
		return "", false
	}
	for prefix != "" {
		r, n := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-n]
		if r == '\ud7ff' {
			return prefix + "\ue000", true // what is between is no text
		}
		if r < utf8.MaxRune {
			return prefix + string(r+1), true
		}
	}
	return "", false
}

// eventWays are the ways by what events have, in either database: by makes one through
// a column from a condition of it, {}, and text is how it stores one.
func eventWays(f *inbound.Filter, text func(string) string, by func(column string, few bool, condition string, values ...any) scan) (all []scan) {
	add := func(column string, few bool, condition string, values ...any) {
		all = append(all, by(column, few, condition, values...))
	}
	beginning, some := strings.CutSuffix(f.Type, "*")
	beginning = text(beginning)
	if f.Account != "" {
		add("account", false, "{} = ?", text(f.Account))
	}
	if f.Type != "" && !some {
		add("type", false, "{} = ?", beginning)
	} else if end, ok := beyond(beginning); ok {
		add("type", true, "{} >= ? AND {} < ?", beginning, end)
	}
	var hooks []any
	for _, h := range f.Webhooks {
		hooks = append(hooks, text(h))
	}
	switch {
	case len(hooks) == 1:
		add("webhook", false, "{} = ?", hooks...)
	case len(hooks) > 1:
		add("webhook", true, "{} IN (?"+strings.Repeat(", ?", len(hooks)-1)+")", hooks...)
	}
	return all
}

// misfitWays is the way through the index of those that did not fit, which both
// databases have.
func misfitWays(f *inbound.Filter, table, prefix string, text func(string) string) []scan {
	w := scan{index: prefix + "events_misfit", seqOf: "seq", table: table}
	switch {
	case f.Misfit == "":
		return nil
	case f.Type != "" && !strings.HasSuffix(f.Type, "*") && len(f.Webhooks) == 1:
		w.condition, w.args = "webhook = ? AND type = ? AND misfit = ? AND misfit <> ''", []any{text(f.Webhooks[0]), text(f.Type), text(f.Misfit)}
	default:
		w.condition, w.few = "misfit <> ''", true
	}
	return []scan{w}
}
