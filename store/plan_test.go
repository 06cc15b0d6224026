package store

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClaimsScanNothing: what a claim and the end of an attempt ask of SQLite is
// found in an index and comes in its order, so that it costs no more however many
// deliveries are due.
func TestClaimsScanNothing(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now().UnixMicro()
	for name, q := range map[string]struct {
		text string
		args []any
	}{
		"whether something is due": {peekSQL, []any{`["hook"]`}},
		"what is due":              {dueSQL, []any{"hook", now, 32}},
		"the head of a lane":       {leaderSQL + headOfLane, []any{"hook", "a"}},
		"what holds a lane":        {leaderSQL + holderOfLane, []any{"hook", "a"}},
		"the first of a lane":      {leaderSQL + firstOfLane, []any{"hook", "a"}},
		"whose leases end":         {endLeasesSQL, []any{now, "processing", now}},
		"what needs its body":      {finishedSQL, nil},
		"what has stepped aside":   {leaderSQL + asideOfLane, []any{"hook", "a"}},
	} {
		rows, err := s.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text, q.args...)
		if err != nil {
			t.Fatal(err)
		}
		searches := 0
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(step, "SEARCH") {
				searches++
			}
			if name == "what holds a lane" && !strings.Contains(step, "due<?") {
				t.Errorf("%s: %s: it passes all that have stepped aside", name, step)
			}
			if strings.Contains(step, "SCAN deliveries") || strings.Contains(step, "SCAN d") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, step)
			}
		}
		if err := rows.Err(); err != nil || searches == 0 {
			t.Errorf("%s: %d searches, %v", name, searches, err)
		}
		rows.Close()
	}
}

// TestBodiesAreIndexedLate: where bodies are kept, no event pays for the index by which
// they would be removed.
func TestBodiesAreIndexedLate(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for want := range 2 {
		var n int
		if err := s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_master WHERE name = 'events_bodies'").Scan(&n); err != nil || n != want {
			t.Errorf("%d indexes, %v; want %d", n, err, want)
		}
		if _, err := s.Inbox().Finished(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
