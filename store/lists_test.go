package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestListsAreBounded: a page looks at so many events and no more, then it says where
// to go on, and so does an action; but few events that an index knows are found at
// once, however old they are.
func TestListsAreBounded(t *testing.T) {
	for name, filled := range map[string]func(t *testing.T) inbound.Store{
		"SQLite": func(t *testing.T) inbound.Store {
			box := open(t, filepath.Join(t.TempDir(), "postern.db")).Inbox()
			fillBounded(t, box, bounded)
			return box
		},
		"Postgres": func(t *testing.T) inbound.Store {
			url := peers.Database(t)
			box := postgres(t, url, store.Options{}).Inbox()
			fillBounded(t, box, 2)
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			multiply(t, c)
			waitsOldest(t, c, box)
			return box
		},
	} {
		t.Run(name, func(t *testing.T) {
			box := filled(t)
			for _, f := range []inbound.Filter{{Error: "no such text"}, {Error: "no such text", Oldest: true}, {Type: "thing.*", Account: "acct", Error: "no such text"}} {
				page, err := box.List(t.Context(), f)
				if err != nil || len(page.Events) != 0 || page.Next == "" {
					t.Fatalf("%+v: %d events, next %q, %v", f, len(page.Events), page.Next, err)
				}
				done, err := box.Act(t.Context(), inbound.ActReplay, f, "ann")
				if err != nil || len(done.Moved) != 0 || done.Next != page.Next {
					t.Errorf("%+v: %+v, %v, of a page whose next is %s", f, done, err, page.Next)
				}
				pages := 1
				for ; page.Next != "" && err == nil; pages++ {
					f.Cursor = page.Next
					page, err = box.List(t.Context(), f)
				}
				if err != nil || pages > 4 {
					t.Errorf("%+v: %d pages, %v", f, pages, err)
				}
			}
			for _, f := range []inbound.Filter{{Error: "an edge"}, {Error: "an edge", Oldest: true}, {Error: "an edge", Account: "acct", Limit: 3}} {
				if n := pagedThrough(t, box, f); n != edges {
					t.Errorf("%+v: %d events, want %d", f, n, edges)
				}
			}
			for _, f := range []inbound.Filter{
				{Type: "old.*"},
				{Webhooks: []string{"seldom", "never"}},
				{Misfit: "f00d"},
				{Type: "old.*", Oldest: true},
				{State: inbound.Received, Account: "acct"},
				{Webhooks: []string{"seldom"}, Type: "old.*", Error: "FOR A reason"},
			} {
				page, err := box.List(t.Context(), f)
				if err != nil || len(page.Events) != 1 || page.Events[0].ID != "id-00000" || page.Next != "" {
					t.Errorf("%+v: %d events, next %q, %v", f, len(page.Events), page.Next, err)
				}
			}
		})
	}
}

const (
	bounded = 9000 // more events than a page looks at
	edge    = 7936 // so many
	edges   = 32   // events near the ends of pages
)

// nearEdge is whether the ith event is near the end of a page, from either end.
func nearEdge(i int) bool {
	near := func(i int) bool { return i >= edge-edges/4 && i < edge+edges/4 }
	return near(i) || near(bounded-1-i)
}

// pagedThrough is how many events are found, page by page.
func pagedThrough(t *testing.T, box inbound.Store, f inbound.Filter) int {
	seen := map[string]bool{}
	for _, r := range listed(t, box, f) {
		if seen[r.ID] {
			t.Errorf("%+v: %s twice", f, r.ID)
		}
		seen[r.ID] = true
	}
	return len(seen)
}

// listed is all that f selects, page by page.
func listed(t *testing.T, box inbound.Store, f inbound.Filter) (all []inbound.Record) {
	t.Helper()
	for {
		page, err := box.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return all
		}
	}
}

// TestLooksGoThroughIndexes: lists neither read a table whole nor are compiled,
// whatever the planner thinks; and nothing else is kept from it.
func TestLooksGoThroughIndexes(t *testing.T) {
	p := postgres(t, peers.Database(t), store.Options{})
	for _, name := range []string{"enable_seqscan", "jit"} {
		for range 20 { // on whichever connection
			if looking, reading, err := p.Setting(t.Context(), name); err != nil || looking != "off" || reading != "on" {
				t.Fatalf("%s is %s in a look, %s in a read, %v", name, looking, reading, err)
			}
		}
	}
}

// fillBounded stores n events, of which only the oldest is unlike the others.
func fillBounded(t *testing.T, box inbound.Store, n int) {
	all := make([]*inbound.Arrival, n)
	for i := range all {
		e := storetest.Event(fmt.Sprintf("id-%05d", i), fmt.Sprintf("evt_%d", i), "")
		p := inbound.Placement{Target: e.Webhook, State: inbound.Ignored, Reason: "for a reason"}
		if i == 0 {
			e.Webhook, e.Type, e.Misfit = "seldom", "old.thing", "f00d"
			p = inbound.Placement{Target: e.Webhook, Reason: p.Reason}
		}
		if nearEdge(i) {
			p.Reason = "an edge"
		}
		all[i] = &inbound.Arrival{Event: e, To: []inbound.Placement{p}}
	}
	for chunk := range slices.Chunk(all, 1000) {
		if err := box.Insert(t.Context(), chunk...); err != nil {
			t.Fatal(err)
		}
	}
}

// multiply makes the second of two events many: it takes long to store them one by
// one.
func multiply(t *testing.T, c *pgx.Conn) {
	for _, query := range []string{
		"INSERT INTO postern_events SELECT (jsonb_populate_record(e, jsonb_build_object('seq', seq + n, 'id', id || n))).* FROM postern_events e CROSS JOIN generate_series(1, $1) n WHERE seq = (SELECT max(seq) FROM postern_events)",
		"INSERT INTO postern_deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', id + n * 512))).* FROM postern_deliveries d CROSS JOIN generate_series(1, $1) n WHERE id = (SELECT max(id) FROM postern_deliveries)",
	} {
		if _, err := c.Exec(t.Context(), query, bounded-2); err != nil {
			t.Fatal(err)
		}
	}
	var near []int64
	for i := range bounded {
		if nearEdge(i) {
			near = append(near, int64(i))
		}
	}
	if _, err := c.Exec(t.Context(), "UPDATE postern_deliveries d SET reason = 'an edge' WHERE id / 512 - (SELECT min(seq) FROM postern_events) = ANY($1)", near); err != nil {
		t.Fatal(err)
	}
}

// waitsOldest shows that what is open is found wherever it stands in its lane.
func waitsOldest(t *testing.T, c *pgx.Conn, box inbound.Store) {
	const place = "UPDATE postern_deliveries SET waiting = $1, lane = $2, standing = $3 WHERE id = (SELECT min(id) FROM postern_deliveries)"
	for standing := range 2 {
		if _, err := c.Exec(t.Context(), place, true, []byte("a"), standing); err != nil {
			t.Fatal(err)
		}
		page, err := box.List(t.Context(), inbound.Filter{State: inbound.Received})
		if err != nil || len(page.Events) != 1 {
			t.Errorf("standing %d: %d events, %v", standing, len(page.Events), err)
		}
	}
	if _, err := c.Exec(t.Context(), place, false, nil, 0); err != nil {
		t.Fatal(err)
	}
}
