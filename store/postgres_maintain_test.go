package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

func maintain(t *testing.T, p *store.Postgres) {
	t.Helper()
	if err := p.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const listPartitions = "SELECT coalesce(string_agg(right(c.relname, 8), ' ' ORDER BY c.relname), '') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '%s'::regclass AND c.relname ~ '[0-9]{8}$'"

// days names partitions by their distance from today.
func days(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, time.Now().UTC().AddDate(0, 0, n).Format("20060102"))
	}
	return strings.Join(all, " ")
}

// TestPartitionsAhead: there is always one for the next three days; a day that
// had none gets one, and what was stored meanwhile is moved into it.
func TestPartitionsAhead(t *testing.T) {
	url, sql := emptyDatabase(t)
	p := postgres(t, url, store.Options{})
	for _, table := range []string{"postern_bodies", "postern_trail"} {
		if got := sql(fmt.Sprintf(listPartitions, table)); got != days(0, 3) {
			t.Errorf("%s has %s, want %s", table, got, days(0, 3))
		}
		sql("DROP TABLE " + table + "_" + days(0, 0))
	}
	box := p.Inbox()
	fillBy(t, box, 8, 50)
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 10}, time.Minute)
	if err != nil || len(items) != 10 {
		t.Fatalf("claimed %d from the default partition, %v", len(items), err)
	}
	if got := sql("SELECT count(*) FROM postern_bodies_default") + sql("SELECT count(*) FROM postern_trail_default"); got != "5010" {
		t.Errorf("in the default partitions: %s", got)
	}
	for range 2 {
		maintain(t, p)
	}
	if got := sql("SELECT count(*) FROM postern_bodies_default") + sql("SELECT count(*) FROM postern_trail_default"); got != "00" {
		t.Errorf("still in the default partitions: %s", got)
	}
	if got := sql("SELECT count(*) FROM postern_bodies_"+days(0, 0)) + sql("SELECT count(*) FROM postern_trail_"+days(0, 0)); got != "5010" {
		t.Errorf("moved: %s", got)
	}
	if r, err := box.Show(t.Context(), items[3].Work.Event.ID); err != nil || len(r.Trail) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRetentionDropsPartitions: when everything of a day is deleted its
// partitions go; an event that is open still keeps body and trail.
func TestRetentionDropsPartitions(t *testing.T) {
	url, sql := emptyDatabase(t)
	p := postgres(t, url, store.Options{})
	box := p.Inbox()
	now := time.Now()
	for i := range 20 {
		id := fmt.Sprint("id-", i)
		e := storetest.Event(id, id, "body of "+id)
		e.Received = now.AddDate(0, 0, -10)
		if _, _, err := storetest.Insert(t.Context(), box, e, "hook"); err != nil {
			t.Fatal(err)
		}
	}
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 20}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range items {
		to := inbound.Applied
		if i == 7 {
			to = inbound.Retrying
		}
		if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: to, Due: now.Add(time.Hour), Attempt: 1}); err != nil {
			t.Fatal(err)
		}
	}
	open := items[7].Work.Event.ID
	// All of it was ten days ago: first in the default partition, then in its own.
	sql("UPDATE postern_bodies SET day = day - 10; UPDATE postern_trail SET day = day - 10, at = at - interval '10 days'; UPDATE postern_events SET day = day - 10;" +
		"UPDATE postern_deliveries SET due = due - interval '10 days' WHERE state = 'applied'")
	maintain(t, p)
	want := days(-10, -10) + " " + days(0, 3)
	if got := sql(fmt.Sprintf(listPartitions, "postern_bodies")); got != want {
		t.Fatalf("partitions %s, want %s", got, want)
	}
	prune := func(n, deleted int) {
		t.Helper()
		if got, err := box.Prune(t.Context(), now.AddDate(0, 0, -5), n); err != nil || got != deleted {
			t.Fatalf("%d deleted, %v, want %d", got, err, deleted)
		}
		maintain(t, p)
	}
	prune(10, 10)
	if got := sql(fmt.Sprintf(listPartitions, "postern_bodies")); got != want {
		t.Errorf("partitions %s while there are events of that day, want %s", got, want)
	}
	prune(100, 9)
	for _, table := range []string{"postern_bodies", "postern_trail"} {
		if got := sql(fmt.Sprintf(listPartitions, table)); got != days(0, 3) {
			t.Errorf("partitions of %s: %s, want %s", table, got, days(0, 3))
		}
	}
	r, err := box.Show(t.Context(), open)
	if err != nil || len(r.Trail) != 2 || r.Status != inbound.Retrying {
		t.Errorf("the open event: %+v, %v", r, err)
	}
	if e, err := box.Body(t.Context(), open); err != nil || string(e.Body) != "body of "+open {
		t.Errorf("its body: %v", err)
	}
	stats, err := box.Stats(t.Context())
	if err != nil || len(stats) != 1 || stats[0].State != inbound.Retrying {
		t.Errorf("stats %v, %v", stats, err)
	}
}
