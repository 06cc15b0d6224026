package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// A list goes through events by the one index that the fewest of them stand in, in
// steps, and looks at each for what else is asked for. So a page costs no more in a
// large inbox than in a small one, whatever is asked for: when it has looked at
// enough it ends, full or not, and says where to go on.
const (
	firstStep = 256  // events that the first step looks at
	lastStep  = 4096 // and a later one at most
	pageLooks = 8000 // events that a page looks at
	rare      = 2000 // how far an index is counted to compare it with others
	countFor  = 2 * time.Second
)

// apart is how much the order of arrival and the times of arrival may differ.
const apart = time.Hour

// scan is one way through the events, the newest first.
type scan struct {
	index     string // "" is that of the events themselves
	condition string // of what stands in it
	args      []any
	seqOf     string // the seq of what stands in it
	table     string
	reason    string // part of the reason of a delivery, where the events themselves are gone through
}

// wayThrough are the ways that lead to all events that f selects.
func wayThrough(f *inbound.Filter) (all []scan) {
	events := func(index, column, value string) scan {
		return scan{index: index, condition: column + " = ?", args: []any{value}, seqOf: "seq", table: "events"}
	}
	if f.Account != "" {
		s := events("events_account", "account", f.Account)
		s.condition += " AND account <> ''"
		all = append(all, s)
	}
	if f.Type != "" && !strings.HasSuffix(f.Type, "*") {
		s := events("events_type", "type", f.Type)
		s.condition += " AND type <> ''"
		all = append(all, s)
	}
	if len(f.Webhooks) == 1 {
		all = append(all, events("events_webhook", "webhook", f.Webhooks[0]))
	}
	if f.State != "" {
		all = append(all, scan{index: "deliveries_state", condition: "state = ?", args: []any{string(f.State)}, seqOf: "id / 256", table: "deliveries"})
	}
	return all
}

// way is the way that f is gone through by.
func (s inbox) way(ctx context.Context, f *inbound.Filter) (scan, error) {
	best := scan{condition: "1", seqOf: "seq", table: "events", reason: f.Error}
	least := math.MaxInt
	for _, w := range wayThrough(f) {
		var n int
		query := "SELECT count(*) FROM (SELECT 1 FROM " + w.from() + " WHERE " + w.condition + " LIMIT ?)"
		if err := s.read.QueryRowContext(ctx, query, append(slices.Clone(w.args), rare)...).Scan(&n); err != nil {
			return best, fmt.Errorf("look for the shortest way: %w", err)
		}
		if n < least {
			best, least = w, n
		}
	}
	return best, nil
}

func (w *scan) from() string {
	if w.index == "" {
		return w.table
	}
	return w.table + " INDEXED BY " + w.index
}

// row is the rowid of w's table that stands before all rows of the event.
func (w *scan) row(seq int64) int64 {
	if w.table == "deliveries" && seq < math.MaxInt64/perEvent {
		return seq * perEvent
	}
	return seq
}

// floor is the seq of the event that is n behind before, 0 if there is none.
func (s inbox) floor(ctx context.Context, w *scan, before int64, n int) (seq int64, err error) {
	query := "SELECT " + w.seqOf + " FROM " + w.from() + " WHERE " + w.condition + " AND rowid < ? ORDER BY rowid DESC LIMIT 1 OFFSET ?"
	err = s.read.QueryRowContext(ctx, query, append(slices.Clone(w.args), w.row(before), n)...).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return seq, err
}

// within is the condition that an event stands in w between two others.
func (w *scan) within(low, before int64) (condition string, args []any) {
	switch {
	case w.table == "deliveries":
		return "e.seq IN (SELECT id / 256 FROM " + w.from() + " WHERE " + w.condition + " AND id >= ? AND id < ?)", append(slices.Clone(w.args), w.row(low), w.row(before))
	case w.reason != "": // the deliveries of a step in one go are quicker than those of each event
		return "e.seq IN (SELECT id / 256 FROM deliveries WHERE id >= ? AND id < ? AND instr(lower(reason), lower(?)) > 0)", []any{low * perEvent, before * perEvent, w.reason}
	}
	return w.condition + " AND e.seq >= ? AND e.seq < ?", append(slices.Clone(w.args), low, before)
}

// steps goes through the events that f may select, the newest first, from before
// on, and calls look for each step until that returns false or nothing is left. It
// returns where to go on, 0 at the end.
func (s inbox) steps(ctx context.Context, f *inbound.Filter, before int64, look func(w *scan, low, before int64, looks int) (more bool, err error)) (int64, error) {
	low, high, err := s.span(ctx, f)
	if err != nil {
		return 0, err
	}
	before = min(before, high)
	w, err := s.way(ctx, f)
	if err != nil {
		return 0, err
	}
	for n, looks := firstStep, 0; before > low; n = min(n*2, lastStep) {
		from, err := s.floor(ctx, &w, before, n)
		if err != nil {
			return 0, fmt.Errorf("look for the next events: %w", err)
		}
		from = max(from, low)
		looks += n
		more, err := look(&w, from, before, looks)
		if err != nil {
			return 0, err
		}
		if before = from; !more {
			break
		}
	}
	if before <= low {
		return 0, nil
	}
	return before, nil
}

// span is the seqs between which everything lies that was received when f says: low
// is the first that may, high the first of those that cannot. Time is told by the
// order of arrival, but for clocks that were set.
func (s inbox) span(ctx context.Context, f *inbound.Filter) (low, high int64, err error) {
	var last sql.NullInt64
	if err := s.read.QueryRowContext(ctx, "SELECT max(seq) FROM events").Scan(&last); err != nil {
		return 0, 0, fmt.Errorf("look for the last event: %w", err)
	}
	low, high = 1, last.Int64+1
	if !f.Since.IsZero() {
		if low, err = s.arrived(ctx, high, micro(f.Since.Add(-apart))); err != nil {
			return 0, 0, err
		}
	}
	if !f.Until.IsZero() {
		high, err = s.arrived(ctx, high, micro(f.Until.Add(apart)))
	}
	return low, high, err
}

// arrived is the first seq before end at which an event was received at or after a
// time, found by halving.
func (s inbox) arrived(ctx context.Context, end, at int64) (int64, error) {
	var failed error
	n := sort.Search(int(end-1), func(i int) bool {
		var received int64
		err := s.read.QueryRowContext(ctx, "SELECT received FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", i+1).Scan(&received)
		failed = cmp.Or(failed, err)
		return err != nil || received >= at
	})
	if failed != nil {
		return 0, fmt.Errorf("look for a time: %w", failed)
	}
	return int64(n) + 1, nil
}

// known looks for the event id under every webhook and account that there is.
const known = `e.seq IN (WITH RECURSIVE k (webhook, account) AS (
  SELECT * FROM (SELECT webhook, account FROM events ORDER BY webhook, account LIMIT 1)
  UNION ALL
  SELECT n.webhook, n.account FROM k JOIN events n ON n.seq = (SELECT seq FROM events WHERE (webhook, account) > (k.webhook, k.account) ORDER BY webhook, account LIMIT 1)
) SELECT o.seq FROM k JOIN events o ON o.webhook = k.webhook AND o.account = k.account AND o.event_id = ?)`

// where is the condition of a filter, without its cursor. Every value is a
// parameter. A plus keeps SQLite from another way than the one that was chosen.
func where(f *inbound.Filter) (conditions string, args []any) {
	all := []string{"e.gone = 0"}
	if len(f.IDs) == 0 && !f.Batches {
		all = append(all, "e.items = 0")
	}
	add := func(condition string, values ...any) {
		all, args = append(all, condition), append(args, values...)
	}
	list := func(column string, values []string) {
		if len(values) == 0 {
			return
		}
		var in []any
		for _, v := range values {
			in = append(in, v)
		}
		add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", in...)
	}
	delivery := func(condition string, value any) {
		add("EXISTS (SELECT 1 FROM deliveries d WHERE d.id BETWEEN e.seq * 256 AND e.seq * 256 + 255 AND "+condition+")", value)
	}
	if f.EventID != "" {
		add(known, f.EventID)
	}
	list("e.id", f.IDs)
	list("+e.webhook", f.Webhooks)
	if f.Account != "" {
		add("+e.account = ?", f.Account)
	}
	if prefix, ok := strings.CutSuffix(f.Type, "*"); ok {
		add("substr(e.type, 1, length(?)) = ?", prefix, prefix)
	} else if f.Type != "" {
		add("+e.type = ?", f.Type)
	}
	if !f.Since.IsZero() {
		add("e.received >= ?", micro(f.Since))
	}
	if !f.Until.IsZero() {
		add("e.received < ?", micro(f.Until))
	}
	if f.State != "" {
		delivery("+d.state = ?", string(f.State))
	}
	if f.Misfit != "" {
		add("e.misfit = ? AND e.misfit <> ''", f.Misfit)
	}
	if f.Error != "" {
		delivery("instr(lower(d.reason), lower(?)) > 0", f.Error)
	}
	return strings.Join(all, " AND "), args
}

// named reports whether f selects few events by their names.
func named(f *inbound.Filter) bool { return len(f.IDs) > 0 || f.EventID != "" }

// begin is the seq behind which a page begins, in its direction.
func begin(f *inbound.Filter) (behind int64, err error) {
	switch {
	case f.Cursor == "" && f.Oldest:
		return 0, nil
	case f.Cursor == "":
		return math.MaxInt64, nil
	}
	if behind, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil {
		return 0, inbound.ErrCursor
	}
	return behind, nil
}

func (s inbox) List(ctx context.Context, f inbound.Filter) (p inbound.Page, err error) {
	behind, err := begin(&f)
	if err != nil {
		return p, err
	}
	steps, rest, order := s.steps, "WHERE e.seq < ?", "DESC"
	if f.Oldest {
		steps, rest, order = s.ascent, "WHERE e.seq > ?", "ASC"
	}
	conditions, args := where(&f)
	var seqs []int64
	n := f.PageSize()
	look := func(what string, more ...any) error {
		rows, err := s.read.QueryContext(ctx, "SELECT "+eventColumns+" FROM events e "+what+" AND "+conditions+" ORDER BY e.seq "+order+" LIMIT ?", slices.Concat(more, args, []any{n + 1 - len(seqs)})...)
		if err != nil {
			return fmt.Errorf("list events: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var r inbound.Record
			var seq int64
			if err := scanEvent(rows.Scan, &r.Event, &seq); err != nil {
				return fmt.Errorf("list events: %w", err)
			}
			p.Events, seqs = append(p.Events, r), append(seqs, seq)
		}
		return rows.Err()
	}
	var next int64
	if named(&f) {
		err = look(rest, behind)
	} else {
		next, err = steps(ctx, &f, behind, func(w *scan, low, before int64, looks int) (bool, error) {
			from := ""
			if w.index != "" && w.table == "events" {
				from = "INDEXED BY " + w.index + " "
			}
			within, more := w.within(low, before)
			err := look(from+"WHERE "+within, more...)
			return len(seqs) <= n && looks < pageLooks, err
		})
	}
	if err != nil {
		return inbound.Page{}, err
	}
	if len(seqs) > n {
		p.Events, seqs = p.Events[:n], seqs[:n]
		next = seqs[n-1]
	}
	if next != 0 {
		p.Next = strconv.FormatInt(next, 10)
	}
	return p, s.deliveriesOfAll(ctx, p.Events, seqs)
}

// deliveriesOfAll fills in where the deliveries of the events on a page stand.
func (s inbox) deliveriesOfAll(ctx context.Context, events []inbound.Record, seqs []int64) error {
	at := make(map[int64]int, len(seqs))
	for i, seq := range seqs {
		at[seq] = i
	}
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	rows, err := s.read.QueryContext(ctx, `SELECT d.id / 256, d.target, d.state, d.origin, d.attempt, d.due, d.reason, d.standing
FROM json_each(?) j CROSS JOIN deliveries d ON d.id BETWEEN j.value * 256 AND j.value * 256 + 255`, string(list))
	if err != nil {
		return fmt.Errorf("read the deliveries of a page: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var d inbound.DeliveryStatus
		if err := scanDelivery(rows, &d, &seq); err != nil {
			return fmt.Errorf("read the deliveries of a page: %w", err)
		}
		r := &events[at[seq]]
		r.Deliveries = append(r.Deliveries, d)
	}
	for i := range events {
		events[i].Status = statusOf(events[i].Deliveries)
	}
	return rows.Err()
}

func (s inbox) Count(ctx context.Context, f inbound.Filter) (c inbound.Counted, err error) {
	conditions, args := where(&f)
	look := func(what string, more ...any) error {
		var n int
		if err := s.read.QueryRowContext(ctx, "SELECT count(*) FROM events e "+what+" AND "+conditions, append(more, args...)...).Scan(&n); err != nil {
			return fmt.Errorf("count events: %w", err)
		}
		c.N += n
		return nil
	}
	if named(&f) {
		return c, look("WHERE 1")
	}
	end := time.Now().Add(countFor)
	next, err := s.steps(ctx, &f, math.MaxInt64, func(w *scan, low, before int64, _ int) (bool, error) {
		from := ""
		if w.index != "" && w.table == "events" {
			from = "INDEXED BY " + w.index + " "
		}
		within, more := w.within(low, before)
		err := look(from+"WHERE "+within, more...)
		return time.Now().Before(end), err
	})
	c.More = next != 0
	return c, err
}
