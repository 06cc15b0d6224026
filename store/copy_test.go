package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// furnish fills a store with events in every state that can be reached: several
// targets, lanes, conflicts, replays, odd texts, a lease that nobody renews.
func furnish(t testing.TB, s inbound.Store, n int) {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 64)
	put := func(i int) {
		e := storetest.Event(fmt.Sprintf("id-%06d", i), fmt.Sprintf("evt_%d", i), strings.Repeat(fmt.Sprint(i), 1+rand.IntN(40)))
		targets := []string{"hook"}
		switch i % 5 {
		case 1:
			e.Lane, e.Rank = fmt.Sprint("lane-", i%3), inbound.SequenceRank(fmt.Sprint(i), i%2 == 0)
		case 2:
			targets = []string{"hook/a", "hook/b"}
			e.Lane = fmt.Sprint("lane-", i%2)
		case 3:
			e.EventID, e.Body = fmt.Sprintf("evt_%d", i-3), []byte{0, 0xff, byte(i)} // another body under a known id
			e.SHA256[0]++
		case 4:
			e.Header, e.Body, e.Size, e.Occurred = http.Header{}, nil, 0, time.Time{}
			e.Type, e.Account, e.Key = "nul \x00 and \x1a", "ü", ""
		}
		room <- struct{}{}
		wg.Go(func() {
			if _, _, err := storetest.Insert(ctx, s, e, targets...); err != nil {
				t.Error(err)
			}
			<-room
		})
	}
	for _, conflicts := range []bool{false, true} {
		for i := range n {
			if conflicts == (i%5 == 3) {
				put(i)
			}
		}
		wg.Wait()
	}
	for round := range 4 {
		items, _, err := s.Claim(ctx, map[string]int{"hook": n / 8, "hook/a": n / 10, "hook/b": n / 20}, time.Hour)
		check(err)
		for i, it := range items {
			m := inbound.Move{Attempt: it.Work.Attempt, Status: 200 + i%300, Took: time.Duration(i) * time.Millisecond, Reason: "because ö", Detail: "detail \x00"}
			m.To = []inbound.State{inbound.Applied, inbound.Failed, inbound.Retrying, inbound.Applied, inbound.Processing}[i%5]
			switch {
			case m.To == inbound.Applied && it.Lane != "":
				m.Reached = &inbound.Reached{Rank: it.Work.Event.Rank, State: "state \x00", Keep: time.Hour}
			case m.To == inbound.Failed && i%3 == 0:
				m.Stand = inbound.Holding
			case m.To == inbound.Retrying && i%2 == 0:
				m.Stand = inbound.Aside
			}
			if m.To == inbound.Processing {
				continue // stays leased
			}
			if m.To == inbound.Retrying {
				m.Due, m.Wait = time.Now().Add(time.Duration(round)*time.Hour), time.Hour
			}
			check(s.Finish(ctx, it.Lease, m))
		}
		for _, act := range []struct {
			inbound.Action
			inbound.State
		}{{inbound.ActReplay, inbound.Failed}, {inbound.ActRelease, inbound.Conflict}, {inbound.ActDiscard, inbound.Retrying}} {
			_, err := s.Act(ctx, act.Action, inbound.Filter{State: act.State, Limit: n / 30}, "ann")
			check(err)
		}
	}
	_, _, err := s.Empty(ctx, time.Now().Add(time.Second), 0, n/10)
	check(err)
}

// silent is told of progress and says nothing.
func silent(store.Progress) {}

func mustCopy(t *testing.T, from, to string) store.Summary {
	t.Helper()
	sum, err := store.Copy(t.Context(), from, to, silent)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// sqliteAt is the URL of a new database, furnished with n events.
func sqliteAt(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern.db")
	s, err := store.OpenSQLite(t.Context(), path, store.Options{Replica: "was-here"})
	if err != nil {
		t.Fatal(err)
	}
	furnish(t, s.Inbox(), n)
	connect(t, s.Connections(), n/10)
	oversee(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// oversee has a watch, and lists that have named some of the events.
func oversee(t testing.TB, s *store.SQLite) {
	t.Helper()
	o, w := s.Oversight(), oversight.Watch{Kind: "reconcile", Webhook: "hook", Account: "a"}
	if _, _, err := o.Take(t.Context(), w, "me", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := o.Keep(t.Context(), w, "me", []byte(`{"since":"2026-01-01T00:00:00Z"}`), time.Minute); err != nil {
		t.Fatal(err)
	}
	page, err := s.Inbox().List(t.Context(), inbound.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range page.Events {
		ids = append(ids, page.Events[i].ID)
	}
	if _, err := o.Name(t.Context(), 1, ids[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Unknown(t.Context(), ids[:1]); err != nil {
		t.Fatal(err)
	}
}

// lively opens a copy and checks that it works: what is due is due, a repeat is
// known, a new event has a new place, and the numbers are those of the source.
func lively(t *testing.T, from, to string) {
	t.Helper()
	var dbs [2]store.Database
	for i, where := range []string{from, to} {
		db, err := store.Open(t.Context(), where, store.Options{Replica: "r"})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		dbs[i] = db
	}
	a, b := dbs[0].Inbox(), dbs[1].Inbox()
	want, err := a.Stats(t.Context())
	got, err2 := b.Stats(t.Context())
	if w, g := counts(want), counts(got); err != nil || err2 != nil || fmt.Sprint(w) != fmt.Sprint(g) {
		t.Errorf("stats %v, %v, want %v, %v", g, err2, w, err)
	}
	connected(t, dbs[0].Connections(), dbs[1].Connections())
	again := storetest.Event("new", "evt_0", "another body than that")
	if _, what, err := storetest.Insert(t.Context(), b, again, "hook"); err != nil || what != inbound.Conflicted {
		t.Errorf("a known id came back as %v, %v", what, err)
	}
	page, err := b.List(t.Context(), inbound.Filter{Limit: 2})
	if err != nil || page.Events[0].ID != "new" {
		t.Errorf("the newest is %v, %v", page.Events, err)
	}
	all := map[string]int{"hook": 1 << 20, "hook/a": 1 << 20, "hook/b": 1 << 20}
	x, _, err := a.Claim(t.Context(), all, time.Minute)
	y, _, err2 := b.Claim(t.Context(), all, time.Minute)
	if err != nil || err2 != nil || len(x) != len(y) || len(x) == 0 {
		t.Errorf("%d are due, %v, want %d, %v", len(y), err2, len(x), err)
	}
}

func counts(stats []inbound.Stat) map[string]int {
	out := map[string]int{}
	for _, s := range stats {
		out[s.Webhook+" "+string(s.State)] += s.Count
	}
	return out
}

func TestCopySQLite(t *testing.T) {
	from := sqliteAt(t, 1200)
	to := "sqlite:" + filepath.Join(t.TempDir(), "copy.db")
	sum := mustCopy(t, from, to)
	if sum.Events != 1200 || sum.Deliveries != 1440 || sum.Moves < 500 || sum.Bytes == 0 ||
		sum.Watches != 1 || sum.Listed != 10 || sum.Connections != 120 || sum.ConnectionMoves != 240 || sum.Tickets != 120 || sum.Marks == 0 {
		t.Errorf("%+v", sum)
	}
	lively(t, from, to)
}

// TestCopyPostgres goes there, and back into SQLite, which is the same again.
func TestCopyPostgres(t *testing.T) {
	from, there, back := sqliteAt(t, 1200), peers.Database(t), "sqlite:"+filepath.Join(t.TempDir(), "back.db")
	one, two := mustCopy(t, from, there), mustCopy(t, there, back)
	if one != two || one.Events != 1200 || one.Connections != 120 {
		t.Errorf("there %+v, back %+v", one, two)
	}
	lively(t, from, there)
}

func TestCopyRefuses(t *testing.T) {
	from, dir := sqliteAt(t, 10), t.TempDir()
	path := func(name string) string { return "sqlite:" + filepath.Join(dir, name) }
	refused := func(name, from, to, want string) {
		t.Helper()
		if _, err := store.Copy(t.Context(), from, to, silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	refused("no source", path("none.db"), path("to.db"), "no such file")
	running, err := store.Open(t.Context(), from, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused("source in use", from, path("to.db"), "another Postern")
	running.Close()
	refused("itself", from, from, "another Postern")
	refused("other events", from, sqliteAt(t, 10), "it holds 10 events already")
	full := peers.Database(t)
	insert(t, postgres(t, full, store.Options{}).Inbox(), 3)
	refused("other events in PostgreSQL", from, full, "it holds 3 events already")
	granted := "sqlite:" + filepath.Join(dir, "granted.db")
	db, err := store.Open(t.Context(), granted, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Connections().Keep(t.Context(), storetest.Ticket("one", time.Hour)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	refused("another's tickets", from, granted, "it holds 1 tickets already")
	grantedThere := peers.Database(t)
	if _, err := postgres(t, grantedThere, store.Options{}).Connections().Save(t.Context(), storetest.Row("p", ""), connection.Move{}); err != nil {
		t.Fatal(err)
	}
	refused("another's connections in PostgreSQL", from, grantedThere, "it holds 1 connections already")
	used := peers.Database(t)
	busy := postgres(t, used, store.Options{})
	if _, err := busy.Members().Beat(t.Context(), replica.Self("busy", "1"), time.Minute); err != nil {
		t.Fatal(err)
	}
	refused("destination in use", from, used, "a running Postern uses it (busy")
	refused("source in use in PostgreSQL", used, path("to.db"), "a running Postern uses it (busy")
}

// TestCopyUnfinished: until it has ended a copy opens for nothing but its own
// continuation, from the same source.
func TestCopyUnfinished(t *testing.T) {
	from, other := sqliteAt(t, 1200), sqliteAt(t, 10)
	for name, to := range map[string]string{"SQLite": "sqlite:" + filepath.Join(t.TempDir(), "to.db"), "PostgreSQL": peers.Database(t)} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := store.Copy(ctx, from, to, func(p store.Progress) {
				if p.Done == 1000 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cut off: %v", err)
			}
			if db, err := store.Open(t.Context(), to, store.Options{}); err == nil {
				db.Close()
				t.Error("half a copy was opened")
			} else if !strings.Contains(err.Error(), "run postern migrate again") {
				t.Errorf("half a copy: %v", err)
			}
			if _, err := store.Copy(t.Context(), other, to, silent); err == nil || !strings.Contains(err.Error(), "go on with that one") {
				t.Errorf("from another source: %v", err)
			}
			var first int64 = -1
			_, err = store.Copy(t.Context(), from, to, func(p store.Progress) {
				if first < 0 {
					first = p.Done
				}
			})
			if err != nil || first < 1000 {
				t.Errorf("went on from %d: %v", first, err)
			}
			lively(t, from, to)
		})
	}
}

// TestCopyFindsChanges: a source that was used between two parts of a copy makes
// no copy that looks right.
func TestCopyFindsChanges(t *testing.T) {
	from, to := sqliteAt(t, 1200), "sqlite:"+filepath.Join(t.TempDir(), "to.db")
	ctx, cancel := context.WithCancel(t.Context())
	_, _ = store.Copy(ctx, from, to, func(p store.Progress) {
		if p.Done == 1000 {
			cancel()
		}
	})
	for _, change := range []string{
		"UPDATE transitions SET detail = 'x' WHERE delivery = (SELECT min(delivery) FROM transitions)",
		"DELETE FROM bodies WHERE seq = 700",
	} {
		raw(t, strings.TrimPrefix(from, "sqlite:"), change)
		_, err := store.Copy(t.Context(), from, to, silent)
		if !errors.Is(err, store.ErrCopy) && (err == nil || !strings.Contains(err.Error(), "the database is damaged")) {
			t.Errorf("%s: %v", change, err)
		}
	}
}
