package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/outbox"
)

// callsWhere is the condition of a filter, without its cursor. Every value is a
// parameter.
func callsWhere(f *outbox.Filter) (conditions string, args []any) {
	all := []string{"1 = 1"}
	add := func(condition string, value any) {
		args = append(args, value)
		all = append(all, fmt.Sprintf(condition, len(args)))
	}
	list := func(column string, values []string) {
		var in []string
		for _, v := range values {
			args = append(args, v)
			in = append(in, "$"+strconv.Itoa(len(args)))
		}
		if in != nil {
			all = append(all, column+" IN ("+strings.Join(in, ", ")+")")
		}
	}
	list("o.id", f.IDs)
	list("o.provider", f.Providers)
	for _, c := range []struct{ column, value string }{
		{"kind", string(f.Kind)},
		{"of_id", f.Of},
		{"account", escaped(f.Account)},
		{"client", escaped(f.Client)},
		{"state", string(f.State)},
		{"outcome", string(f.Outcome)},
	} {
		if c.value != "" {
			add("o."+c.column+" = $%d", c.value)
		}
	}
	if !f.Since.IsZero() {
		add("o.created >= $%d", micro(f.Since))
	}
	if !f.Until.IsZero() {
		add("o.created < $%d", micro(f.Until))
	}
	if f.Error != "" {
		pattern := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(escaped(f.Error)))
		add(`lower(o.reason) LIKE $%d ESCAPE '\'`, "%"+pattern+"%")
	}
	return strings.Join(all, " AND "), args
}

func (s outboxStore) List(ctx context.Context, f outbox.Filter) (p outbox.Page, err error) {
	conditions, args := callsWhere(&f)
	if f.Cursor != "" {
		before, err := strconv.ParseInt(f.Cursor, 10, 64)
		if err != nil {
			return p, outbox.ErrCursor
		}
		args = append(args, before)
		conditions += " AND o.seq < $" + strconv.Itoa(len(args))
	}
	n := f.PageSize()
	var last int64
	err = s.reader(ctx).rows(func(into func(...any) error) error {
		var c call
		err := c.scan(into)
		if len(p.Calls) == n {
			p.Next = strconv.FormatInt(last, 10)
			return err
		}
		p.Calls, last = append(p.Calls, c.Call), c.seq
		return err
	}, "SELECT "+callColumns+" FROM postern_outbox o WHERE "+conditions+" ORDER BY o.seq DESC LIMIT "+strconv.Itoa(n+1), args...)
	if err != nil {
		return p, fmt.Errorf("list calls: %w", err)
	}
	return p, nil
}

func (s outboxStore) Count(ctx context.Context, f outbox.Filter) (n int, err error) {
	conditions, args := callsWhere(&f)
	err = s.reader(ctx).rows(func(into func(...any) error) error { return into(&n) }, "SELECT count(*) FROM postern_outbox o WHERE "+conditions, args...)
	if err != nil {
		return 0, fmt.Errorf("count calls: %w", err)
	}
	return n, nil
}

func (s outboxStore) Show(ctx context.Context, id string) (*outbox.Record, error) {
	var c call
	found := false
	q := s.reader(ctx)
	err := q.rows(func(into func(...any) error) error {
		found = true
		return c.scan(into, &c.Request, &c.Result)
	}, "SELECT "+callColumns+", b.request, b.result FROM postern_outbox o JOIN postern_outbox_sealed b ON b.seq = o.seq WHERE o.id = $1", id)
	if err == nil && !found {
		return nil, outbox.ErrNotFound
	}
	if len(c.Result) == 0 {
		c.Result = nil
	}
	r := &outbox.Record{Call: c.Call}
	if err == nil {
		err = q.rows(func(into func(...any) error) error {
			t := outbox.Transition{ID: c.ID, Kind: c.Kind, Provider: c.Provider, Account: c.Account}
			var at, took int64
			err := into(&at, &t.From, &t.To, &t.Attempt, &t.Outcome, &t.Status, &took, &t.Reason, &t.By, &t.Replica)
			t.At, t.Took, t.Reason, t.By, t.Replica = fromMicro(at), time.Duration(took)*time.Microsecond, unescaped(t.Reason), unescaped(t.By), unescaped(t.Replica)
			r.Trail = append(r.Trail, t)
			return err
		}, "SELECT at, from_state, to_state, attempt, outcome, status, took, reason, actor, replica FROM postern_outbox_moves WHERE seq = $1 ORDER BY fence", c.seq)
	}
	if err != nil {
		return nil, fmt.Errorf("read the call %s: %w", id, err)
	}
	return r, nil
}

func (s outboxStore) Stats(ctx context.Context) (all []outbox.Stat, err error) {
	err = s.reader(ctx).rows(func(into func(...any) error) error {
		var st outbox.Stat
		err := into(&st.Provider, &st.Kind, &st.State, &st.Count)
		all = append(all, st)
		return err
	}, "SELECT provider, kind, state, count(*) FROM postern_outbox GROUP BY provider, kind, state ORDER BY provider, kind, state")
	if err != nil {
		return nil, fmt.Errorf("count calls: %w", err)
	}
	return all, nil
}

func (s outboxStore) Marks(ctx context.Context, limit int) (all []outbox.Mark, err error) {
	const columns = "SELECT id, provider, mark, print, created FROM postern_outbox WHERE kind = 'deadletter' AND "
	read := func(into func(...any) error) error {
		var m outbox.Mark
		var created int64
		err := into(&m.ID, &m.Provider, &m.Key, &m.Print, &created)
		m.Created = fromMicro(created)
		all = append(all, m)
		return err
	}
	for _, which := range []string{"state IN ('failed', 'unknown')", openCall} { // each has its index
		if err == nil {
			err = s.reader(ctx).rows(read, columns+which+" ORDER BY created DESC LIMIT $1", int64(limit-len(all)))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the open dead letters: %w", err)
	}
	return all, nil
}

func (s outboxStore) Heads(ctx context.Context) (map[string]int, error) {
	all := map[string]int{}
	err := s.reader(ctx).rows(func(into func(...any) error) error {
		var head []byte
		var n int
		err := into(&head, &n)
		all[string(head)] += n
		return err
	}, "SELECT substr(b.request, 1, 5), count(*) FROM postern_outbox o JOIN postern_outbox_sealed b ON b.seq = o.seq WHERE o.state IN ('accepted', 'sending', 'retrying', 'failed', 'unknown') AND length(b.request) > 0 GROUP BY 1")
	if err != nil {
		return nil, fmt.Errorf("look which seal keys calls need: %w", err)
	}
	return all, nil
}

func (s outboxStore) Prune(ctx context.Context, before time.Time, n int) (deleted int, err error) {
	err = s.transaction(ctx, 0, func(q sqlStatements) error {
		deleted = 0
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		limit := now - time.Since(before).Microseconds()
		lanes := map[int64]string{}
		err = q.rows(func(into func(...any) error) error {
			var seq int64
			var lane string
			err := into(&seq, &lane)
			lanes[seq] = lane
			return err
		}, "SELECT o.seq, o.lane FROM postern_outbox o WHERE o.changed < $1 AND o.state IN ('done', 'failed', 'unknown', 'superseded', 'discarded') ORDER BY o.changed LIMIT $2"+s.skipping(), limit, int64(n))
		if err != nil {
			return err
		}
		for seq, lane := range lanes {
			if err := deleteCall(q, seq, lane); err != nil {
				return err
			}
		}
		deleted = len(lanes)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete old calls: %w", err)
	}
	return deleted, nil
}

// deleteCall deletes everything of a call, and its lane if that is empty then.
func deleteCall(q sqlStatements, seq int64, lane string) error {
	for _, query := range [...]string{
		"DELETE FROM postern_outbox_moves WHERE seq = $1",
		"DELETE FROM postern_outbox_sealed WHERE seq = $1",
		"DELETE FROM postern_outbox WHERE seq = $1",
	} {
		if _, err := q.change(query, seq); err != nil {
			return err
		}
	}
	if lane == "" {
		return nil
	}
	if err := lockLane(q, lane); err != nil {
		return err
	}
	_, err := q.change("DELETE FROM postern_outbox_lanes WHERE lane = $1 AND NOT EXISTS (SELECT 1 FROM postern_outbox o WHERE o.lane = $1)", lane)
	return err
}
