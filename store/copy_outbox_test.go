package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/store"
)

// TestCopyCalls: the outbox is the same in the copy, lanes go on where they were,
// and what was being sent when the processes ended is due.
func TestCopyCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	from, err := store.OpenSQLite(t.Context(), path, store.Options{Replica: "r"})
	if err != nil {
		t.Fatal(err)
	}
	s := from.Outbox()
	var ids []string
	for i := range 40 {
		c := &outbox.Call{
			ID: fmt.Sprintf("c%02d", i), Kind: outbox.Async, Provider: "p", Account: "a\x00\xff", Method: "POST", Target: "p", State: outbox.Accepted,
			Once: []byte(fmt.Sprint("once", i)), Key: []byte{byte(i)}, Request: []byte{0, 1, byte(i)}, Expires: time.Now().Add(time.Hour),
		}
		if i%2 == 0 {
			c.Lane = "lane"
		}
		if i%5 == 0 {
			c.Kind, c.State, c.Lane, c.Outcome, c.Result = outbox.DeadLetter, outbox.Failed, "", policy.Timeout, []byte("r")
		}
		if _, err := s.Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	items, _, err := s.Claim(t.Context(), map[string]int{"p": 3}, time.Hour)
	if err != nil || len(items) != 3 {
		t.Fatal(items, err)
	}
	if err := s.Finish(t.Context(), items[2].Lease, outbox.Move{To: outbox.Done, Attempt: 1, Status: 200, Result: []byte("done")}); err != nil {
		t.Fatal(err)
	}
	want := shown(t, s, ids)
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	url := peers.Database(t)
	told := func(store.Progress) {}
	sum, err := store.Copy(t.Context(), "sqlite:"+path, url, told)
	if err != nil || sum.Calls != 40 || sum.CallMoves != 44 {
		t.Fatalf("%+v, %v", sum, err)
	}
	back := filepath.Join(t.TempDir(), "back.db")
	again, err := store.Copy(t.Context(), url, "sqlite:"+back, told)
	if err != nil || again.SHA256 != sum.SHA256 {
		t.Errorf("and back: %+v, %v", again, err)
	}
	p := postgres(t, url, store.Options{}).Outbox()
	if got := shown(t, p, ids); !reflect.DeepEqual(got, want) {
		t.Errorf("the copy has\n%+v\nthe source\n%+v", got, want)
	}
	if c, err := p.Add(t.Context(), &outbox.Call{ID: "new", Kind: outbox.Async, Provider: "p", Method: "POST", Target: "p", State: outbox.Accepted, Lane: "lane", Once: []byte("once1")}); err != nil || c.ID != "c01" {
		t.Errorf("a key that is known: %+v, %v", c, err)
	}
	if items, _, err = p.Claim(t.Context(), map[string]int{"p": 100}, time.Hour); err != nil {
		t.Fatal(err)
	}
	heads := 0
	for _, it := range items {
		if it.Lane != "" {
			heads++
		}
	}
	if heads != 1 || len(items) < 10 {
		t.Errorf("%d calls are due, %d of the lane", len(items), heads)
	}
	if _, err := store.Copy(t.Context(), "sqlite:"+path, url, told); err == nil {
		t.Error("copied into a database that has calls of its own")
	}
}

// shown is everything of calls but what a copy changes: when a lease ends.
func shown(t *testing.T, s outbox.Store, ids []string) (all []outbox.Record) {
	t.Helper()
	for _, id := range ids {
		r, err := s.Show(context.WithoutCancel(t.Context()), id)
		if err != nil {
			t.Fatal(err)
		}
		if r.State == outbox.Sending {
			r.Due = time.Time{}
		}
		all = append(all, *r)
	}
	return all
}
