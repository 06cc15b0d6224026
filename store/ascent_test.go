package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestPagesOfWhatIsRare: a page that has looked at enough ends, full or not, in
// either direction, and what goes on from there finds all that is asked for.
func TestPagesOfWhatIsRare(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 2 * pageLooks
	var all []*inbound.Arrival
	var want []string
	for i := range n {
		e := storetest.Event(fmt.Sprintf("id-%05d", i), fmt.Sprint(i), "{}")
		if i == 5 || i == n/2 || i == n-5 {
			e.Type, want = "rare.one", append(want, e.ID)
		}
		all = append(all, &inbound.Arrival{Event: e, To: inbound.To("hook")})
	}
	if err := s.Inbox().Insert(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	for _, f := range []inbound.Filter{{Type: "rare*"}, {Type: "rare*", Oldest: true}, {Type: "rare*", State: inbound.Received, Oldest: true}, {Type: "rare.one", Oldest: true}} {
		var got []string
		short := 0
		for f.Limit = 3; ; {
			page, err := s.Inbox().List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				got = append(got, e.ID)
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
			if len(page.Events) < f.Limit {
				short++
			}
		}
		if !f.Oldest {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) || (short == 0) != (f.Type == "rare.one") {
			t.Errorf("%+v: %v, %d short pages, want %v", f, got, short, want)
		}
	}
}
