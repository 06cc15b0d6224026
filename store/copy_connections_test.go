package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// connect fills a store with n connections in every state, with histories, odd
// texts and nothing in between, and with as many tickets.
func connect(t testing.TB, s connection.Store, n int) {
	t.Helper()
	for i := range n {
		r := storetest.Row("stripe", fmt.Sprintf("acct_%04d", i))
		switch i % 4 {
		case 1:
			r = connection.Row{Key: connection.Key{Provider: "p\x00", Account: fmt.Sprint("\xff\x1a", i)}}
		case 2:
			r.Failure, r.Granted, r.Until = "ö \x00", []string{"", "\x00"}, time.Now().Add(time.Hour)
		}
		for round := range i%3 + 1 {
			r.State, r.Generation = connection.States()[(i+round)%5], int64(round)
			var err error
			if r, err = s.Save(t.Context(), r, connection.Move{To: r.State, Reason: "because \x00", By: "ann"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Keep(t.Context(), storetest.Ticket(fmt.Sprint(i), time.Duration(i-n/2)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

// connected checks that the connections of a copy are those of the source, and
// that they can be written and their tickets taken.
func connected(t *testing.T, from, to connection.Store) {
	t.Helper()
	want, err := from.List(t.Context(), connection.Filter{})
	got, err2 := to.List(t.Context(), connection.Filter{})
	if err != nil || err2 != nil || len(got) != len(want) {
		t.Fatalf("%d connections, %v, want %d, %v", len(got), err2, len(want), err)
	}
	for _, r := range want {
		there, err := to.Load(t.Context(), r.Key)
		if err != nil || !bytes.Equal(there.Refresh, r.Refresh) || there.Fence != r.Fence || there.State != r.State || there.Failure != r.Failure || !there.Changed.Equal(r.Changed) {
			t.Fatalf("%+v became %+v, %v", r, there, err)
		}
		if there.Until.After(there.Now) {
			t.Errorf("%+v is still held", r.Key)
		}
		if again, err := to.Save(t.Context(), there, connection.Move{To: there.State}); err != nil || again.Fence != r.Fence+1 {
			t.Errorf("%+v: fence %d, %v", r.Key, again.Fence, err)
		}
		moves, err := to.History(t.Context(), r.Key, 0)
		if err != nil || int64(len(moves)) != r.Fence+1 || moves[len(moves)-1].Reason != "because \x00" {
			t.Errorf("%+v: history %+v, %v", r.Key, moves, err)
		}
	}
	if _, err := to.Save(t.Context(), storetest.Row("new", ""), connection.Move{}); err != nil {
		t.Errorf("a new one: %v", err)
	}
	if n := len(want); n > 0 {
		last := storetest.Ticket(fmt.Sprint(n-1), time.Hour)
		if got, err := to.Take(t.Context(), last.ID); err != nil || !bytes.Equal(got.Sealed, last.Sealed) || time.Until(got.Expires) < time.Hour {
			t.Errorf("ticket %+v, %v", got, err)
		}
		if _, err := to.Take(t.Context(), storetest.Ticket("0", 0).ID); !errors.Is(err, connection.ErrUnknown) {
			t.Errorf("a ticket that has expired: %v", err)
		}
	}
}

// TestCopyFindsChangedConnections: what was changed in the source after it was
// copied, or is in the copy alone, is found, and an undisturbed copy goes on.
func TestCopyFindsChangedConnections(t *testing.T) {
	for name, change := range map[string]struct{ source, copied string }{
		"nothing":          {},
		"a token":          {source: "UPDATE connections SET refresh = x'00' WHERE fence = 3"},
		"hosts":            {source: `UPDATE connections SET hosts = '["evil.example"]' WHERE fence = 3`},
		"a move":           {source: "DELETE FROM connection_moves WHERE fence = 1"},
		"a reason":         {source: "UPDATE connection_moves SET reason = 'x' WHERE fence = 3"},
		"a ticket":         {source: "DELETE FROM tickets WHERE id = (SELECT min(id) FROM tickets)"},
		"one more":         {copied: "INSERT INTO connections SELECT id + 1000, 'other', account, credential, state, fence, generation, access, refresh, extra, hosts, base_url, needs, granted, obtained, expiry, refresh_expiry, tries, failures, failure, revoke_due, holder, until, created, changed FROM connections WHERE id = 1"},
		"one more ticket":  {copied: "INSERT INTO tickets VALUES (x'00', x'00', 1)"},
		"a changed ticket": {copied: "UPDATE tickets SET expires = expires + 1"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := sqliteAt(t, 60), "sqlite:"+filepath.Join(t.TempDir(), "to.db")
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := store.Copy(ctx, from, to, func(p store.Progress) {
				if p.Doing == "verifying" { // everything is there
					cancel()
				}
			}); !errors.Is(err, context.Canceled) {
				t.Fatalf("cut off: %v", err)
			}
			for where, statement := range map[string]string{from: change.source, to: change.copied} {
				if statement != "" {
					raw(t, strings.TrimPrefix(where, "sqlite:"), statement)
				}
			}
			sum, err := store.Copy(t.Context(), from, to, silent)
			if name == "nothing" {
				if err != nil || sum.Connections != 6 {
					t.Errorf("%+v, %v", sum, err)
				}
				lively(t, from, to)
			} else if !errors.Is(err, store.ErrCopy) {
				t.Errorf("not found: %+v, %v", sum, err)
			}
		})
	}
}

// TestCopyEndsRenewals: what a process held that is gone is free in a copy of
// PostgreSQL as well.
func TestCopyEndsRenewals(t *testing.T) {
	from, to := peers.Database(t), "sqlite:"+filepath.Join(t.TempDir(), "to.db")
	r := storetest.Row("p", "a")
	r.State, r.Holder, r.Until = connection.Refreshing, "dead-1", time.Now().Add(time.Hour)
	source := postgres(t, from, store.Options{}).Connections()
	if _, err := source.Save(t.Context(), r, connection.Move{}); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, from, to)
	for name, s := range map[string]connection.Store{"source": source, "copy": open(t, strings.TrimPrefix(to, "sqlite:")).Connections()} {
		if got, err := s.Load(t.Context(), r.Key); err != nil || got.Until.After(got.Now) || got.State != connection.Refreshing {
			t.Errorf("%s: %s until %v, %v", name, got.State, got.Until, err)
		}
	}
}
