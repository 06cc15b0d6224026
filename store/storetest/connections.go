package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// Replica is who makes moves in the stores that [Connections] is given.
const Replica = "conform-1"

// pair is two handles, independent of each other where the store can be shared,
// on one place.
type pair struct {
	*testing.T
	a, b connection.Store
}

// Connections tests a [connection.Store]. open returns two handles on one empty
// place, which make their moves as [Replica]; the test closes them.
func Connections(t *testing.T, open func(*testing.T) (a, b connection.Store)) {
	for _, test := range []struct {
		name string
		run  func(*pair)
	}{
		{"what is saved is loaded", savedIsLoaded},
		{"nothing is nothing", emptyIsNothing},
		{"any bytes", oddConnections},
		{"a fence guards every write", fenceGuards},
		{"C60 of many who save one gets through", savesRace},
		{"C60 of many who make it one does", insertsRace},
		{"bad rows are refused", badRows},
		{"the clock is the store's", storesClock},
		{"lists are filtered, ordered and paged", listConnections},
		{"connections are counted", countConnections},
		{"due revocations are found", listRevocations},
		{"history tells every move", historyTells},
		{"what changed is found", changedSince},
		{"no write is missed", changedMissesNothing},
		{"who left is told", connectionsCancelled},
		{"random writes do what a map does", connectionsModel},
		{"C57 a ticket is used once", ticketOnce},
		{"C57 of fifty who take a ticket one gets it", ticketRace},
		{"C57 a ticket expires", ticketExpires},
		{"bad tickets are refused", badTickets},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := open(t)
			test.run(&pair{t, a, b})
		})
	}
}

// Row is a connection with something in every field that a caller sets.
func Row(provider, account string) connection.Row {
	at := time.Date(2027, 3, 4, 5, 6, 7, 891011000, time.UTC)
	return connection.Row{
		Key: connection.Key{Provider: provider, Account: account, Credential: "oauth2"}, State: connection.Active, Generation: 7,
		Access: []byte{1, 0, 0xff}, Refresh: []byte("sealed refresh"), Extra: []byte("sealed \x00 extra"),
		Hosts: []string{"api.example.com", "*.example.org"}, BaseURL: "https://eu.example.com/v1", Needs: []string{"read", "write"}, Granted: []string{"read"},
		Obtained: at, Expiry: at.Add(time.Hour), RefreshExpiry: at.AddDate(1, 0, 0),
		Tries: 1, Failures: 2, Failure: "the provider answers 503", RevokeDue: at.Add(time.Minute), Holder: "replica-1", Until: at.Add(30 * time.Second),
	}
}

// plain is r in words, without what only the store knows.
func plain(r connection.Row) string {
	r.Fence, r.Created, r.Changed, r.Now = 0, time.Time{}, time.Time{}, time.Time{}
	for _, t := range []*time.Time{&r.Obtained, &r.Expiry, &r.RefreshExpiry, &r.RevokeDue, &r.Until} {
		*t = t.UTC()
	}
	return fmt.Sprintf("%#v", r)
}

// whole is r in words.
func whole(r connection.Row) string {
	return fmt.Sprint(plain(r), r.Fence, r.Created.UTC(), r.Changed.UTC())
}

func (p *pair) save(s connection.Store, r connection.Row) connection.Row {
	p.Helper()
	got, err := s.Save(p.Context(), r, connection.Move{To: r.State})
	if err != nil {
		p.Fatalf("save %+v: %v", r.Key, err)
	}
	return got
}

func (p *pair) load(s connection.Store, k connection.Key) connection.Row {
	p.Helper()
	got, err := s.Load(p.Context(), k)
	if err != nil {
		p.Fatalf("load %+v: %v", k, err)
	}
	return got
}

func savedIsLoaded(p *pair) {
	r := Row("stripe", "acct_1")
	if got, err := p.b.Load(p.Context(), r.Key); !errors.Is(err, connection.ErrUnknown) {
		p.Errorf("before: %+v, %v", got, err)
	}
	for round := int64(1); round <= 3; round++ {
		got := p.save(p.a, r)
		if plain(got) != plain(r) || got.Fence != round {
			p.Errorf("saved\n%s, fence %d, want\n%s", plain(got), got.Fence, plain(r))
		}
		if there := p.load(p.b, r.Key); whole(there) != whole(got) {
			p.Errorf("loaded\n%s, want\n%s", whole(there), whole(got))
		}
		r = got
		r.Refresh = bytes.Repeat([]byte{0, 1, 0xff}, 20_000)
		r.State, r.Generation, r.Access, r.Hosts, r.Expiry, r.Failure = connection.States()[round], r.Generation+1, []byte("another"), []string{"one"}, time.Time{}, "none"
	}
	for _, k := range []connection.Key{{Provider: "stripe", Account: "acct_2", Credential: "oauth2"}, {Provider: "stripe", Credential: "oauth2"}, {Provider: "stripe", Account: "acct_1"}, {Provider: "Stripe", Account: "acct_1", Credential: "oauth2"}} {
		if got, err := p.a.Load(p.Context(), k); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("%+v: %+v, %v", k, got, err)
		}
	}
}

// emptyIsNothing: what is not there comes back as nothing, and what no store can
// keep of a time is dropped by all alike.
func emptyIsNothing(p *pair) {
	bare := connection.Row{Key: connection.Key{Provider: "p"}, State: connection.Pending}
	r := bare
	r.Access, r.Refresh, r.Hosts, r.Needs = []byte{}, []byte{}, []string{}, []string{}
	r.Expiry, r.Until = time.Date(200000, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}.In(time.FixedZone("x", 3600))
	got := p.save(p.a, r)
	for name, got := range map[string]connection.Row{"saved": got, "loaded": p.load(p.b, r.Key)} {
		if plain(got) != plain(bare) {
			p.Errorf("%s\n%s, want\n%s", name, plain(got), plain(bare))
		}
	}
	fine := got
	fine.Obtained = time.Date(2027, 1, 2, 3, 4, 5, 678901999, time.FixedZone("x", 3600))
	if got := p.save(p.a, fine); !got.Obtained.Equal(fine.Obtained.Truncate(time.Microsecond)) || !p.load(p.b, r.Key).Obtained.Equal(got.Obtained) {
		p.Errorf("nanoseconds came back as %v", got.Obtained)
	}
}

// oddConnections: whatever a provider or an application calls things comes back
// as it was, and under its own name.
func oddConnections(p *pair) {
	odd := []string{"a\x00b", "a\\x00b", "a\x1a00b", "\xff\xfe", "\x1a", "\u0000\ufffd", "ü", "%", "_", "a/b", "'; --", " ", strings.Repeat("k", 256), "\u202e"}
	want := map[connection.Key]string{}
	for i, text := range odd {
		r := Row("p", text)
		r.Credential, r.BaseURL, r.Failure, r.Holder = text, text, text, text
		r.Hosts, r.Needs, r.Granted = []string{text, "plain", ""}, []string{text}, []string{"", text}
		if _, err := p.a.Save(p.Context(), r, connection.Move{To: r.State, Reason: text, By: text}); err != nil {
			p.Fatalf("%q: %v", text, err)
		}
		want[r.Key] = plain(r)
		if got := p.load(p.b, r.Key); plain(got) != plain(r) {
			p.Errorf("%q came back as\n%s", text, plain(got))
		}
		if m, err := p.b.History(p.Context(), r.Key, 5); err != nil || len(m) != 1 || m[0].Reason != text || m[0].By != text {
			p.Errorf("%q: history %+v, %v", text, m, err)
		}
		if rows, err := p.b.List(p.Context(), connection.Filter{Account: text}); err != nil || len(rows) != 1 || plain(rows[0]) != plain(r) {
			p.Errorf("%q (%d): %d rows, %v", text, i, len(rows), err)
		}
	}
	rows := p.pages(connection.Filter{}, 3)
	for _, r := range rows {
		if plain(r) != want[r.Key] {
			p.Errorf("listed\n%s", plain(r))
		}
	}
	if len(rows) != len(odd) {
		p.Errorf("%d rows, want %d", len(rows), len(odd))
	}
}

func badRows(p *pair) {
	for name, spoil := range map[string]func(*connection.Row){
		"no provider":       func(r *connection.Row) { r.Provider = "" },
		"no state":          func(r *connection.Row) { r.State = "" },
		"a state of others": func(r *connection.Row) { r.State = "applied" },
		"a negative fence":  func(r *connection.Row) { r.Fence = -1 },
		"a long provider":   func(r *connection.Row) { r.Provider = strings.Repeat("p", 257) },
		"a long account":    func(r *connection.Row) { r.Account = strings.Repeat("a", 257) },
		"a long credential": func(r *connection.Row) { r.Credential = strings.Repeat("c", 257) },
	} {
		r := Row("p", "a")
		spoil(&r)
		if _, err := p.a.Save(p.Context(), r, connection.Move{}); err == nil || errors.Is(err, connection.ErrStale) {
			p.Errorf("%s: %v", name, err)
		}
		if _, err := p.a.Load(p.Context(), r.Key); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("%s was stored: %v", name, err)
		}
	}
	long := Row("p", strings.Repeat("\xff", 256)) // the longest that has to be possible, however it is written
	long.Provider, long.Credential = long.Account, long.Account
	p.save(p.a, long)
	if rows, err := p.a.List(p.Context(), connection.Filter{}); err != nil || len(rows) != 1 {
		p.Errorf("%d rows, %v", len(rows), err)
	}
}
