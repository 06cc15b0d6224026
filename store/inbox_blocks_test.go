package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestListsByBlocks: lists by webhook, account and type find what a list of everything
// has, in its order: after restarts in the middle of a block, transactions that were
// undone, an upgrade, and what was pruned.
func TestListsByBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	var s *store.SQLite
	start := func() {
		var err error
		if s, err = store.OpenSQLite(t.Context(), path, store.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	start()
	defer func() { s.Close() }()
	id := 0
	fill := func(n int) {
		box := s.Inbox()
		var wg sync.WaitGroup
		for n > 0 {
			all := make([]*inbound.Arrival, min(n, 1+rand.IntN(40)))
			for i := range all {
				all[i] = &inbound.Arrival{Event: various(id), To: inbound.To("hook")}
				id++
			}
			n -= len(all)
			wg.Go(func() {
				if err := box.Insert(context.Background(), all...); err != nil {
					t.Error(err)
				}
			})
			if rand.IntN(2) == 0 {
				wg.Go(func() { s.Fail() }) // undoes the transaction that it is in
			}
		}
		wg.Wait()
	}
	for round, n := range []int{1, 150, 1, 127, 300} {
		fill(n)
		if round%2 == 1 {
			s.Close()
			start()
		}
		sameByBlocks(t, s.Inbox(), id)
	}
	s.Close()
	raw(t, path, "DELETE FROM event_blocks") // as an older version leaves it
	start()
	sameByBlocks(t, s.Inbox(), id)
	gone := 0
	prune := func(from, to int) {
		t.Helper()
		for i := from; i < to; i += 100 {
			f := inbound.Filter{Limit: 100}
			for j := i; j < min(i+100, to); j++ {
				f.IDs = append(f.IDs, fmt.Sprint("id-", j))
			}
			if _, err := s.Inbox().Act(t.Context(), inbound.ActDiscard, f, "ann"); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := s.Inbox().Prune(t.Context(), time.Now().Add(time.Hour), to-from); err != nil || n != to-from {
			t.Fatalf("%d pruned, %v", n, err)
		}
		gone += to - from
		sameByBlocks(t, s.Inbox(), id-gone)
	}
	prune(0, 200) // the oldest
	fill(95)
	sameByBlocks(t, s.Inbox(), id-gone)
	kept := id // others stay before what is pruned
	fill(260)
	prune(kept, id) // the newest: their places are given out again
	fill(150)
	sameByBlocks(t, s.Inbox(), id-gone)
	s.Close()
	start()
	fill(150)
	sameByBlocks(t, s.Inbox(), id-gone)
	prune(200, kept)
	prune(kept+260, id) // all
	var blocks int
	db, err := sql.Open("sqlite", path)
	if err == nil {
		defer db.Close()
		err = db.QueryRow("SELECT count(*) FROM event_blocks").Scan(&blocks)
	}
	if err != nil || blocks != 0 {
		t.Errorf("%d blocks of nothing, %v", blocks, err)
	}
	fill(150)
	sameByBlocks(t, s.Inbox(), id-gone)
}

// various is an event unlike others: of some webhooks, accounts and types there are
// many, of some few, and of each at times none for long.
func various(i int) *inbound.Event {
	e := storetest.Event(fmt.Sprint("id-", i), fmt.Sprint("evt_", i), "")
	e.Webhook = [...]string{"hook", "hook", "hook", "other"}[rand.IntN(4)]
	e.Account = [...]string{"", "acct", "rare"}[min(2, rand.IntN(300)/149)]
	e.Type = [...]string{"", "thing.made", "thing.gone", "a.b", "a.c"}[rand.IntN(5)]
	if i/150%2 == 1 {
		e.Webhook, e.Type = "seldom", "thing.often"
	}
	if i%7 == 0 {
		e.Account = fmt.Sprint("of-", i/30)
	}
	return e
}

// sameByBlocks compares lists with those events of the list of everything, of which
// there are n, that they are for.
func sameByBlocks(t *testing.T, box inbound.Store, n int) {
	t.Helper()
	all := listed(t, box, inbound.Filter{Limit: 100})
	if len(all) != n {
		t.Fatalf("%d events, want %d", len(all), n)
	}
	filters := []inbound.Filter{
		{Webhooks: []string{"hook"}},
		{Webhooks: []string{"seldom"}},
		{Webhooks: []string{"seldom", "other"}},
		{Account: "rare"},
		{Account: "rare", Type: "thing.often"},
		{Type: "a.b"},
		{Type: "a.*", Webhooks: []string{"other"}},
		{Type: "thing.*"},
		{Type: "none.*"},
		{Account: "nobody"},
	}
	var some []string
	for _, r := range all { // the newest first
		if strings.HasPrefix(r.Account, "of-") && !slices.Contains(some, r.Account) {
			some = append(some, r.Account)
		}
	}
	for _, account := range some[:min(8, len(some))] {
		filters = append(filters, inbound.Filter{Account: account})
	}
	for _, f := range filters {
		f.Limit = 100
		var want []string
		for i := range all {
			e := &all[i].Event
			if (len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, e.Webhook)) && (f.Account == "" || f.Account == e.Account) && f.OfType(e.Type) {
				want = append(want, e.ID)
			}
		}
		for _, f.Oldest = range []bool{false, true} {
			var got []string
			for _, r := range listed(t, box, f) {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d events, want %d", f, len(got), len(want))
			}
			slices.Reverse(want)
		}
		f.Oldest = false
		if c, err := box.Count(t.Context(), f); err != nil || c.N != len(want) || c.More {
			t.Errorf("%+v: counted %+v, %v; want %d", f, c, err, len(want))
		}
	}
}
