package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// pages lists all that match, a few at a time.
func (p *pair) pages(f connection.Filter, limit int) (all []connection.Row) {
	p.Helper()
	f.Limit = limit
	for {
		rows, err := p.b.List(p.Context(), f)
		if err != nil || len(rows) > limit || len(all) > 1000 {
			p.Fatalf("%d rows, %v", len(rows), err)
		}
		if len(rows) == 0 {
			return all
		}
		all, f.After = append(all, rows...), rows[len(rows)-1].Key
	}
}

func keysOf(rows []connection.Row) (keys []connection.Key) {
	for _, r := range rows {
		keys = append(keys, r.Key)
	}
	return keys
}

func listConnections(p *pair) {
	want := []connection.Key{
		{Provider: "B", Account: "z"},
		{Provider: "a"},
		{Provider: "a", Credential: "oauth2"},
		{Provider: "a", Account: "1"},
		{Provider: "a", Account: "10"},
		{Provider: "a", Account: "2", Credential: "GET /"},
		{Provider: "a", Account: "2", Credential: "oauth2"},
		{Provider: "a", Account: "B"},
		{Provider: "a", Account: "b"},
		{Provider: "a-b"},
		{Provider: "aa", Account: "1"},
		{Provider: "ü", Account: "é"},
	}
	state := func(i int) connection.State { return connection.States()[i%len(connection.States())] }
	for i, k := range slices.Backward(want) {
		r := Row("", "")
		r.Key, r.State = k, state(i)
		p.save(p.a, r)
	}
	for name, c := range map[string]struct {
		filter connection.Filter
		match  func(int, connection.Key) bool
	}{
		"all":           {connection.Filter{}, func(int, connection.Key) bool { return true }},
		"of a provider": {connection.Filter{Provider: "a"}, func(_ int, k connection.Key) bool { return k.Provider == "a" }},
		"of an account": {connection.Filter{Account: "1"}, func(_ int, k connection.Key) bool { return k.Account == "1" }},
		"of one":        {connection.Filter{Provider: "a", Account: "2"}, func(_ int, k connection.Key) bool { return k.Provider == "a" && k.Account == "2" }},
		"in a state":    {connection.Filter{State: connection.Active}, func(i int, _ connection.Key) bool { return state(i) == connection.Active }},
		"of nobody":     {connection.Filter{Provider: "nobody"}, func(int, connection.Key) bool { return false }},
		"behind one":    {connection.Filter{After: want[4]}, func(i int, _ connection.Key) bool { return i > 4 }},
		"behind one that is not there": {
			connection.Filter{Provider: "a", After: connection.Key{Provider: "a", Account: "1", Credential: "x"}},
			func(i int, k connection.Key) bool { return i > 3 && k.Provider == "a" },
		},
	} {
		var keys []connection.Key
		for i, k := range want {
			if c.match(i, k) {
				keys = append(keys, k)
			}
		}
		rows, err := p.b.List(p.Context(), c.filter)
		if err != nil || !slices.Equal(keysOf(rows), keys) {
			p.Errorf("%s: %v, %v, want %v", name, keysOf(rows), err, keys)
		}
		for limit := 1; limit <= 3; limit++ {
			if rows := p.pages(c.filter, limit); !slices.Equal(keysOf(rows), keys) {
				p.Errorf("%s, %d a page: %v, want %v", name, limit, keysOf(rows), keys)
			}
		}
	}
}

func listRevocations(p *pair) {
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, due := range []time.Time{at, at.Add(time.Microsecond), at.Add(-time.Hour), {}} {
		r := Row("p", fmt.Sprint(i))
		r.RevokeDue = due
		p.save(p.a, r)
	}
	for _, c := range []struct {
		before time.Time
		want   string
	}{{at, "02"}, {at.Add(time.Hour), "012"}, {at.Add(-2 * time.Hour), ""}, {time.Time{}, "0123"}} {
		rows, err := p.b.List(p.Context(), connection.Filter{RevokeBefore: c.before})
		got := ""
		for _, r := range rows {
			got += r.Account
		}
		if err != nil || got != c.want {
			p.Errorf("due before %v: %q, %v, want %q", c.before, got, err, c.want)
		}
	}
}

func historyTells(p *pair) {
	r := Row("p", "a")
	steps := []connection.Move{
		{From: "", To: connection.Pending, Reason: "asked for", By: "ann"},
		{From: connection.Pending, To: connection.Active, Generation: 1, Reason: "granted", By: "callback"},
		{From: connection.Active, To: connection.Refreshing, Generation: 1, Reason: "expires soon"},
		{From: connection.Refreshing, To: connection.Revoked, Generation: 1, Reason: "uninstalled", By: "event evt_1"},
	}
	for i, m := range steps {
		r.State = m.To
		m.At, m.Replica = time.Unix(1, 0), "somebody else" // the store knows better
		var err error
		if r, err = []connection.Store{p.a, p.b}[i%2].Save(p.Context(), r, m); err != nil {
			p.Fatal(err)
		}
		steps[i].At, steps[i].Replica = r.Changed, Replica
	}
	p.save(p.a, Row("p", "another"))
	slices.Reverse(steps)
	for limit, want := range map[int][]connection.Move{0: steps, 1: steps[:1], 3: steps[:3], 100: steps} {
		got, err := p.b.History(p.Context(), r.Key, limit)
		if err != nil || !slices.EqualFunc(got, want, sameMove) {
			p.Errorf("limit %d: %+v, %v, want %+v", limit, got, err, want)
		}
	}
	if got, err := p.b.History(p.Context(), connection.Key{Provider: "p"}, 5); len(got) != 0 || err != nil {
		p.Errorf("of nobody: %+v, %v", got, err)
	}
}

func sameMove(a, b connection.Move) bool {
	at := a.At.Equal(b.At)
	a.At, b.At = time.Time{}, time.Time{}
	return at && a == b
}

func changedSince(p *pair) {
	ask := func(since time.Time) (string, time.Time) {
		p.Helper()
		rows, now, err := p.b.Changed(p.Context(), since)
		if err != nil {
			p.Fatal(err)
		}
		var names []string
		for _, r := range rows {
			names = append(names, fmt.Sprint(r.Account, r.Fence))
		}
		slices.Sort(names)
		return strings.Join(names, " "), now
	}
	if got, _ := ask(time.Time{}); got != "" {
		p.Errorf("of nothing: %q", got)
	}
	a, b := p.save(p.a, Row("p", "a")), p.save(p.a, Row("p", "b"))
	if got, _ := ask(time.Time{}); got != "a1 b1" {
		p.Errorf("all: %q", got)
	}
	if got, _ := ask(b.Changed); got != "a1 b1" && got != "b1" { // both may be of one microsecond
		p.Errorf("at or after the last: %q", got)
	}
	time.Sleep(blink)
	_, now := ask(a.Changed)
	if got, later := ask(now); got != "" || later.Before(now) {
		p.Errorf("since %v: %q until %v", now, got, later)
	}
	time.Sleep(blink)
	p.save(p.a, a)
	if got, _ := ask(now); got != "a2" {
		p.Errorf("after a write: %q", got)
	}
}

// changedMissesNothing has writers make a row each, again and again, while one
// asks for what changed, with an overlap that is longer than any write took.
func changedMissesNothing(p *pair) {
	const overlap, writers = 400 * time.Millisecond, 8
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[string]bool{}
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r, began := Row("p", fmt.Sprint(w, "-", i)), time.Now()
				if _, err := []connection.Store{p.a, p.b}[w%2].Save(p.Context(), r, connection.Move{}); err != nil {
					p.Errorf("save: %v", err)
					return
				}
				mu.Lock()
				made[r.Account] = time.Since(began) < overlap/2 // a slow machine may make no difference
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	seen, since := map[string]bool{}, time.Time{}
	ask := func() {
		asked := since
		if !since.IsZero() {
			asked = since.Add(-overlap)
		}
		rows, now, err := p.b.Changed(p.Context(), asked)
		if err != nil {
			p.Error(err)
		}
		for _, r := range rows {
			seen[r.Account] = true
		}
		since = now
	}
	for end := time.Now().Add(4 * overlap); time.Now().Before(end); {
		ask()
	}
	close(stop)
	wg.Wait()
	ask()
	for account, quick := range made {
		if quick && !seen[account] {
			p.Errorf("%s was never seen", account)
		}
	}
	if len(made) < writers {
		p.Errorf("only %d were made", len(made))
	}
}

func countConnections(p *pair) {
	count := func() string {
		p.Helper()
		all, err := p.b.Stats(p.Context())
		if err != nil {
			p.Fatal(err)
		}
		return fmt.Sprint(all)
	}
	if got := count(); got != "[]" {
		p.Errorf("of nothing: %s", got)
	}
	for i, state := range []connection.State{connection.Active, connection.Revoked, connection.Active, connection.Pending, connection.NeedsReconnect, connection.Refreshing} {
		for _, provider := range []string{"stripe", "Zoom", "a\x00b"}[:1+i%3] {
			r := Row(provider, fmt.Sprint(i))
			r.State = state
			p.save(p.a, r)
		}
	}
	const want = "[{Zoom active 1} {Zoom needs_reconnect 1} {Zoom refreshing 1} {Zoom revoked 1} {a\x00b active 1} {a\x00b refreshing 1} {stripe active 2} {stripe needs_reconnect 1} {stripe pending 1} {stripe refreshing 1} {stripe revoked 1}]"
	if got := count(); got != want {
		p.Errorf("%s\nwant %s", got, want)
	}
	r := p.load(p.a, connection.Key{Provider: "Zoom", Account: "1", Credential: "oauth2"})
	r.State = connection.Active
	p.save(p.a, r)
	if got := count(); !strings.HasPrefix(got, "[{Zoom active 2} {Zoom needs_reconnect 1} {Zoom refreshing 1} {a") {
		p.Errorf("after a move: %s", got)
	}
}
