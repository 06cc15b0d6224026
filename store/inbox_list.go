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
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

// ways are those through SQLite's indexes, each of which is in the order of arrival
// but that of what is due, and through blocks.
func (s inbox) ways(f *inbound.Filter) []scan {
	same := func(text string) string { return text }
	all := append(eventWays(f, same, blocksWay), misfitWays(f, "events", "", same)...)
	switch {
	case f.State == "", f.State == inbound.Applied:
	case f.State.Open():
		all = append(all, scan{
			index: "deliveries_due", condition: "target IN (" + everyTarget + ") AND state = ?", args: []any{string(f.State)}, seqOf: "id / 256", table: "deliveries", few: true,
		})
	default:
		all = append(all, scan{index: "deliveries_state", condition: "state = ? AND " + resting, args: []any{string(f.State)}, seqOf: "id / 256", table: "deliveries"})
	}
	return append(all, allEvents)
}

// resting are the states of the index deliveries_state.
const resting = "state NOT IN ('received', 'processing', 'retrying', 'applied')"

// everyTarget finds the targets one after the other, and not in each delivery.
const everyTarget = `WITH RECURSIVE t (target) AS (
  SELECT min(target) FROM deliveries
  UNION ALL
  SELECT (SELECT min(target) FROM deliveries d WHERE d.target > t.target) FROM t WHERE t.target IS NOT NULL
) SELECT target FROM t`

// allEvents is the way through all there are.
var allEvents = scan{condition: "1", seqOf: "seq", table: "events"}

func (s inbox) standing(ctx context.Context, w *scan, limit int) (n int, err error) {
	query := "SELECT count(*) FROM (SELECT 1 FROM " + w.from() + " WHERE " + w.condition + " LIMIT ?)"
	return n, s.read.QueryRowContext(ctx, query, append(slices.Clone(w.args), limit)...).Scan(&n)
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

func (s inbox) next(ctx context.Context, t *stretch, oldest bool) error {
	switch {
	case t.way.blocks:
		return s.nextBlocks(ctx, t, oldest)
	case t.way.few: // they are gone through at once
		return nil
	}
	return s.nextRows(ctx, t, t.way, oldest)
}

// nextRows makes t its next part by the rows of w.
func (s inbox) nextRows(ctx context.Context, t *stretch, w *scan, oldest bool) error {
	var edge int64
	which, from := " AND rowid < ? ORDER BY rowid DESC", t.high
	if oldest {
		which, from = " AND rowid >= ? ORDER BY rowid", t.low
	}
	query := "SELECT " + w.seqOf + " FROM " + w.from() + " WHERE " + w.condition + which + " LIMIT 1 OFFSET ?"
	err := s.read.QueryRowContext(ctx, query, append(slices.Clone(w.args), w.row(from), t.n)...).Scan(&edge)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	t.cut(edge, oldest)
	return nil
}

// within is where the events of a stretch are found that f selects, after FROM.
func within(t *stretch, f *inbound.Filter) (from string, args []any) {
	conditions, values := where(f)
	w, condition := t.way, "e.seq >= ? AND e.seq < ?"
	args = []any{t.low, t.high}
	from = "events e"
	switch {
	case w == nil:
	case f.Error != "" && t.dense(): // the deliveries of a step in one go are quicker than those of each event
		condition = "e.seq IN (SELECT id / 256 FROM deliveries WHERE id >= ? AND id < ? AND instr(lower(reason), lower(?)) > 0)"
		args = []any{t.low * perEvent, t.high * perEvent, f.Error}
	case w.table == "deliveries":
		condition = "e.seq IN (SELECT id / 256 FROM " + w.from() + " WHERE " + w.condition + " AND id >= ? AND id < ?)"
		args = append(slices.Clone(w.args), w.row(t.low), w.row(t.high))
	case w.index != "":
		from += " INDEXED BY " + w.index
		condition = w.condition + " AND " + condition
		args = append(slices.Clone(w.args), args...)
	}
	return from + " WHERE " + condition + " AND " + conditions, append(args, values...)
}

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

// seqEvent is an event and where it stands.
type seqEvent struct {
	inbound.Event
	seq int64
}

func (s inbox) List(ctx context.Context, f inbound.Filter) (p inbound.Page, err error) {
	order := "DESC"
	if f.Oldest {
		order = "ASC"
	}
	events, next, err := pageOf(ctx, s, &f, func(e *seqEvent) int64 { return e.seq }, func(t *stretch, limit int) (found []seqEvent, err error) {
		from, args := within(t, &f)
		rows, err := s.read.QueryContext(ctx, "SELECT "+eventColumns+" FROM "+from+" ORDER BY e.seq "+order+" LIMIT ?", append(args, limit)...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var e seqEvent
			if err := scanEvent(rows.Scan, &e.Event, &e.seq); err != nil {
				return nil, err
			}
			found = append(found, e)
		}
		return found, rows.Err()
	})
	if err != nil {
		return inbound.Page{}, err
	}
	p.Next = next
	var seqs []int64
	for i := range events {
		p.Events, seqs = append(p.Events, inbound.Record{Event: events[i].Event}), append(seqs, events[i].seq)
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

func (s inbox) Count(ctx context.Context, f inbound.Filter) (inbound.Counted, error) {
	return countOf(ctx, s, &f, lastStep, func(t *stretch) (n int, err error) {
		from, args := within(t, &f)
		return n, s.read.QueryRowContext(ctx, "SELECT count(*) FROM "+from, args...).Scan(&n)
	})
}
