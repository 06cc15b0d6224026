package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// TestLeasesEndWithTheirProcess: what was being delivered when a process ended
// is delivered again as soon as the next one is there, not when the lease ends.
func TestLeasesEndWithTheirProcess(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "x.db"), t.Context()
	first, err := store.OpenSQLite(ctx, path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := &inbound.Event{ID: "1", Webhook: "w", EventID: "e", Received: time.Now(), Body: []byte("{}")}
	if _, _, err := storetest.Insert(ctx, first.Inbox(), e, "w"); err != nil {
		t.Fatal(err)
	}
	claimed, _, err := first.Inbox().Claim(ctx, map[string]int{"w": 1}, time.Hour)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, path)
	again, _, err := second.Inbox().Claim(ctx, map[string]int{"w": 1}, time.Hour)
	if err != nil || len(again) != 1 {
		t.Fatalf("after the restart: claimed %d, %v", len(again), err)
	}
	if again[0].Lease.Token <= claimed[0].Lease.Token {
		t.Errorf("the token went from %d to %d", claimed[0].Lease.Token, again[0].Lease.Token)
	}
	late := inbound.Move{To: inbound.Applied}
	if err := second.Inbox().Finish(ctx, claimed[0].Lease, late); err == nil {
		t.Error("a move under the old lease was made")
	}
}
