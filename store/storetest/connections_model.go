package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/connection"
)

// modelled is what a connection has to be.
type modelled struct {
	row   connection.Row
	moves []string // the newest first
}

// connectionsModel makes random writes through both handles, of rows as they are
// and as they were, and compares all that can be read with a map.
func connectionsModel(p *pair) {
	runs := 0
	rapid.Check(p.T, func(t *rapid.T) {
		runs++
		provider := fmt.Sprint("model", runs)
		want := map[connection.Key]*modelled{}
		var seen []connection.Row // rows as they were at some time
		handle := func() connection.Store {
			return rapid.SampledFrom([]connection.Store{p.a, p.b}).Draw(t, "handle")
		}
		save := func(r connection.Row, reason string) {
			m := want[r.Key]
			stale := m == nil && r.Fence != 0 || m != nil && r.Fence != m.row.Fence
			got, err := handle().Save(p.Context(), r, connection.Move{From: r.State, To: r.State, Generation: r.Generation, Reason: reason})
			switch {
			case stale && !errors.Is(err, connection.ErrStale):
				t.Fatalf("stale: %v", err)
			case stale:
				return
			case err != nil:
				t.Fatal(err)
			case got.Fence != r.Fence+1 || plain(got) != plain(r):
				t.Fatalf("fence %d after %d\n%s\n%s", got.Fence, r.Fence, plain(got), plain(r))
			}
			if m == nil {
				m = &modelled{}
				want[r.Key] = m
			}
			m.row, m.moves = got, append([]string{reason}, m.moves...)
			seen = append(seen, got)
		}
		t.Repeat(map[string]func(*rapid.T){
			"make": func(t *rapid.T) {
				r := Row(provider, rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "account"))
				r.Credential = rapid.SampledFrom([]string{"oauth2", "POST /"}).Draw(t, "credential")
				save(r, "made")
			},
			"write": func(t *rapid.T) {
				if len(seen) == 0 {
					t.Skip("nothing is there")
				}
				save(change(t, rapid.SampledFrom(seen).Draw(t, "was")), rapid.StringMatching("[a-z ]{0,8}").Draw(t, "reason"))
			},
			"list": func(t *rapid.T) {
				f := connection.Filter{
					Provider: provider, Account: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "account"),
					State: rapid.SampledFrom(append(connection.States(), "")).Draw(t, "state"),
				}
				all, err := handle().List(p.Context(), f)
				if got, want := wholes(all), expect(want, f); err != nil || got != want {
					t.Fatalf("%+v lists\n%s\n%v, want\n%s", f, got, err, want)
				}
				if paged := p.pages(f, 2); wholes(paged) != wholes(all) {
					t.Fatalf("%+v in pages\n%s, want\n%s", f, wholes(paged), wholes(all))
				}
			},
			"look": func(t *rapid.T) {
				if len(want) == 0 {
					t.Skip("nothing is there")
				}
				k := rapid.SampledFrom(seen).Draw(t, "row").Key
				if got, err := handle().Load(p.Context(), k); err != nil || whole(got) != whole(want[k].row) {
					t.Fatalf("%v is\n%s\n%v, want\n%s", k, whole(got), err, whole(want[k].row))
				}
				history, err := handle().History(p.Context(), k, 0)
				var reasons []string
				for _, h := range history {
					reasons = append(reasons, h.Reason)
				}
				if err != nil || !slices.Equal(reasons, want[k].moves) {
					t.Fatalf("%v has history %q, %v, want %q", k, reasons, err, want[k].moves)
				}
			},
			"look at all": func(t *rapid.T) {
				all, err := handle().List(p.Context(), connection.Filter{Provider: provider})
				if got, want := wholes(all), expect(want, connection.Filter{}); err != nil || got != want {
					t.Fatalf("there is\n%s\n%v, want\n%s", got, err, want)
				}
			},
		})
	})
}

// change makes another row of r.
func change(t *rapid.T, r connection.Row) connection.Row {
	times := []*time.Time{&r.Obtained, &r.Expiry, &r.RefreshExpiry, &r.RevokeDue, &r.Until}
	lists := []*[]string{&r.Hosts, &r.Needs, &r.Granted}
	secrets := []*[]byte{&r.Access, &r.Refresh, &r.Extra}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			*rapid.SampledFrom(times).Draw(t, "time") = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "seconds"), 1000)
		case 1:
			*rapid.SampledFrom(times).Draw(t, "time") = time.Time{}
		case 2:
			list := rapid.SliceOfN(rapid.StringN(0, 10, -1), 0, 3).Draw(t, "list")
			*rapid.SampledFrom(lists).Draw(t, "which") = append([]string(nil), list...)
		case 3:
			secret := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "secret")
			*rapid.SampledFrom(secrets).Draw(t, "which") = append([]byte(nil), secret...)
		case 4:
			r.State = rapid.SampledFrom(connection.States()).Draw(t, "state")
			r.Generation++
		case 5:
			r.Failure, r.Holder = rapid.StringN(0, 10, -1).Draw(t, "failure"), rapid.StringN(0, 10, -1).Draw(t, "holder")
			r.Tries, r.Failures = r.Tries+1, 0
		}
	}
	return r
}

func wholes(rows []connection.Row) string {
	var all []string
	for _, r := range rows {
		all = append(all, whole(r))
	}
	return strings.Join(all, "\n")
}

// expect is what a filter has to find.
func expect(want map[connection.Key]*modelled, f connection.Filter) string {
	var rows []connection.Row
	for _, k := range slices.SortedFunc(maps.Keys(want), func(a, b connection.Key) int {
		return strings.Compare(a.Account+"\x00"+a.Credential, b.Account+"\x00"+b.Credential)
	}) {
		r := want[k].row
		if (f.Account == "" || r.Account == f.Account) && (f.State == "" || r.State == f.State) {
			rows = append(rows, r)
		}
	}
	return wholes(rows)
}
