package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
)

// condition is one of a query, with a ? for each of its values.
type condition struct {
	text string
	args []any
}

// pgConditions are what f says of events, and what it says of any delivery d of
// each: its state first.
func pgConditions(f *inbound.Filter) (events, deliveries []condition) {
	add := func(text string, args ...any) { events = append(events, condition{text, args}) }
	if len(f.IDs) == 0 && !f.Batches {
		add("e.items = 0")
	}
	for _, c := range []struct {
		column string
		values []string
	}{{"e.id", f.IDs}, {"e.webhook", f.Webhooks}} {
		if len(c.values) > 0 {
			values := make([]string, len(c.values))
			for i, v := range c.values {
				values[i] = escaped(v)
			}
			add(c.column+" = ANY(?::text[])", values)
		}
	}
	if f.Account != "" {
		add("e.account = ? AND e.account <> ''", escaped(f.Account))
	}
	if prefix, ok := strings.CutSuffix(f.Type, "*"); ok {
		add("starts_with(e.type, ?)", escaped(prefix))
	} else if f.Type != "" {
		add("e.type = ? AND e.type <> ''", escaped(f.Type))
	}
	if f.EventID != "" { // keys begin with it
		first := digest(f.EventID)
		add("e.event_id = ?", escaped(f.EventID))
		add("e.seq IN (SELECT k.seq FROM postern_keys k WHERE k.dedupe >= ?::bytea AND k.dedupe < ?::bytea || decode(repeat('ff', 33), 'hex'))", first, first)
	}
	if !f.Since.IsZero() {
		add("e.received >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		add("e.received < ?", f.Until)
	}
	if f.Misfit != "" {
		add("e.misfit = ? AND e.misfit <> ''", escaped(f.Misfit))
	}
	if f.State != "" {
		deliveries = append(deliveries, condition{"d.state = ?", []any{string(f.State)}})
	}
	if f.Error != "" {
		deliveries = append(deliveries, condition{"position(lower(?::text) IN lower(d.reason)) > 0", []any{escaped(f.Error)}})
	}
	return events, deliveries
}

// ofEach is a condition of any delivery of e, as one of e.
func (c condition) ofEach() condition {
	return condition{"EXISTS (SELECT 1 FROM " + ofEvent + " d WHERE " + c.text + ")", c.args}
}

// joined is all of them as one.
func joined(all []condition) (text string, args []any) {
	texts := []string{"true"}
	for _, c := range all {
		texts, args = append(texts, c.text), append(args, c.args...)
	}
	return strings.Join(texts, " AND "), args
}

// numbered is a query with its ? numbered, as PostgreSQL has them.
func numbered(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, rest, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = rest
	}
}

// pgOpen are the open deliveries, by the three indexes that they stand in: those that
// are due, those of lanes, and those that stepped aside.
const (
	pgIsOpen = "SELECT id FROM postern_deliveries WHERE state IN ('received', 'retrying', 'processing') AND "
	pgOpen   = "(" + pgIsOpen + "NOT waiting UNION ALL " +
		pgIsOpen + "waiting AND lane IS NOT NULL AND standing = 0 UNION ALL " +
		pgIsOpen + "waiting AND lane IS NOT NULL AND standing <> 0) o"
)

// ways are those through PostgreSQL's indexes. Nearly all deliveries are applied:
// those have none. Nor have the open ones in the order of arrival, so that they are
// gone through only while they are few.
func (s postgresInbox) ways(f *inbound.Filter) []scan {
	all := eventWays(f, escaped, pgWay)
	all = append(all, misfitWays(f, "postern_events", "postern_", escaped)...)
	switch {
	case f.State == "", f.State == inbound.Applied:
	case f.State.Open():
		all = append(all, scan{condition: "true", seqOf: "id / 512", table: pgOpen, few: true})
	default:
		all = append(all, scan{condition: "state = ? AND state NOT IN ('received', 'retrying', 'processing', 'applied')", args: []any{string(f.State)}, seqOf: "id / 512", table: "postern_deliveries", settles: true})
	}
	return append(all, scan{condition: "true", seqOf: "seq", table: "postern_events"})
}

// pgWay is a way through the index of a column.
func pgWay(column string, few bool, condition string, values ...any) scan {
	w := scan{condition: strings.ReplaceAll(condition, "{}", column), args: values, seqOf: "seq", table: "postern_events", few: few}
	if column != "webhook" {
		w.condition += " AND " + column + " <> ''"
	}
	return w
}

func (s postgresInbox) standing(ctx context.Context, w *scan, limit int) (n int, err error) {
	query := "SELECT count(*) FROM (SELECT 1 FROM " + w.table + " WHERE " + w.condition + " LIMIT ?) n"
	return n, s.look(ctx, func(r pgx.Rows) error { return r.Scan(&n) }, numbered(query), append(slices.Clone(w.args), limit)...)
}

// pgRow is the column by which w is in the order of arrival, and what it has before
// everything of an event.
func (w *scan) pgRow(seq int64) (column string, before int64) {
	if w.seqOf == "seq" {
		return "seq", seq
	}
	return "id", seq * perSeq
}

func (s postgresInbox) next(ctx context.Context, t *stretch, oldest bool) error {
	if t.way.few { // they are gone through at once
		return nil
	}
	var edge int64
	order := " DESC"
	if oldest {
		order = ""
	}
	column, _ := t.way.pgRow(0)
	seqs := t.seqsOf()
	err := s.read(ctx, func(r pgx.Rows) error { return r.Scan(&edge) }, numbered(seqs.text+" ORDER BY "+column+order+" LIMIT 1 OFFSET ?"), append(seqs.args, t.n)...)
	t.cut(edge, oldest)
	return err
}

// seqsOf are the seqs of what stands in t.
func (t *stretch) seqsOf() condition {
	column, low := t.way.pgRow(t.low)
	_, high := t.way.pgRow(t.high)
	text := "SELECT " + t.way.seqOf + " AS seq FROM " + t.way.table + " WHERE " + t.way.condition + " AND " + column + " >= ? AND " + column + " < ?"
	return condition{text, append(slices.Clone(t.way.args), low, high)}
}

// pgWithin is the condition of the events e in a stretch that f selects. What the
// planner thinks of the newest rows is old, and what it thinks of others may be: so
// which rows are looked at is said by their seqs, and no join is left to it.
func pgWithin(t *stretch, f *inbound.Filter) (text string, args []any) {
	events, deliveries := pgConditions(f)
	between := condition{"e.seq >= ? AND e.seq < ?", []any{t.low, t.high}}
	if t.way == nil {
		for _, d := range deliveries {
			events = append(events, d.ofEach())
		}
		return joined(append(events, between))
	}
	if t.way.settles && !t.dense() {
		deliveries = deliveries[1:]
	}
	seqs := t.seqsOf()
	switch {
	case len(deliveries) > 0 && t.dense():
		seqs = condition{"SELECT d.id / 512 FROM postern_deliveries d WHERE d.id >= ? AND d.id < ?", []any{t.low * perSeq, t.high * perSeq}}
	case len(deliveries) > 0:
		seqs.text = "SELECT e.seq FROM (" + seqs.text + ") e CROSS JOIN LATERAL " + ofEvent + " d"
	case t.dense():
		return joined(append(events, between))
	}
	for i, d := range deliveries { // each may hold of another one
		seqs.text += map[bool]string{true: " GROUP BY 1 HAVING ", false: " AND "}[i == 0] + "bool_or(" + d.text + ")"
		seqs.args = append(seqs.args, d.args...)
	}
	return joined(append(events, condition{"e.seq = ANY(ARRAY(" + seqs.text + "))", seqs.args}))
}

// pgArrived is the seq before which everything was received before a time, found by
// halving what is from 1 to end; the least and the most that it may be if that was
// deleted meanwhile.
const pgArrived = `WITH RECURSIVE h (low, high) AS (
  SELECT 1::bigint, ?::bigint
  UNION ALL
  SELECT CASE WHEN e.received < ? THEN m.at + 1 ELSE h.low END, CASE WHEN e.received < ? THEN h.high ELSE m.at END
  FROM h CROSS JOIN LATERAL (SELECT (h.low + h.high) / 2 AS at) m
  CROSS JOIN LATERAL (SELECT received FROM postern_events WHERE seq >= m.at ORDER BY seq LIMIT 1) e
  WHERE h.low < h.high
) SELECT max(low), min(high) FROM h`

func (s postgresInbox) span(ctx context.Context, f *inbound.Filter) (low, high int64, err error) {
	if err := s.read(ctx, func(r pgx.Rows) error { return r.Scan(&high) }, "SELECT coalesce(max(seq), 0) + 1 FROM postern_events"); err != nil {
		return 0, 0, fmt.Errorf("look for the last event: %w", err)
	}
	low = 1
	var other int64
	if !f.Since.IsZero() {
		at := f.Since.Add(-apart)
		err = s.read(ctx, func(r pgx.Rows) error { return r.Scan(&low, &other) }, numbered(pgArrived), high, at, at)
	}
	if !f.Until.IsZero() && err == nil {
		at := f.Until.Add(apart)
		err = s.read(ctx, func(r pgx.Rows) error { return r.Scan(&other, &high) }, numbered(pgArrived), high, at, at)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look for a time: %w", err)
	}
	return low, high, nil
}

// page reads the events of one page, and the cursor of the next.
func (s postgresInbox) page(ctx context.Context, f *inbound.Filter) (events []*pgEvent, next string, err error) {
	order := "DESC"
	if f.Oldest {
		order = "ASC"
	}
	return pageOf(ctx, s, f, func(e **pgEvent) int64 { return (*e).seq }, func(t *stretch, limit int) (found []*pgEvent, err error) {
		where, args := pgWithin(t, f)
		err = s.look(ctx, func(r pgx.Rows) error {
			e := &pgEvent{}
			fields, set := e.into()
			err := r.Scan(fields...)
			set()
			found = append(found, e)
			return err
		}, numbered("SELECT "+pgEventColumns+" FROM postern_events e WHERE "+where+" ORDER BY e.seq "+order+" LIMIT ?"), append(args, limit)...)
		return found, err
	})
}

// pgCountStep is how many events a step of a count goes through at most: each is a way
// to the server and back.
const pgCountStep = 16 * lastStep

func (s postgresInbox) Count(ctx context.Context, f inbound.Filter) (inbound.Counted, error) {
	return countOf(ctx, s, &f, pgCountStep, func(t *stretch) (n int, err error) {
		where, args := pgWithin(t, &f)
		return n, s.look(ctx, func(r pgx.Rows) error { return r.Scan(&n) }, numbered("SELECT count(*) FROM postern_events e WHERE "+where), args...)
	})
}
