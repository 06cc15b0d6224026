package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// bygone stores n events that are deleted at once, and known for an hour; the last
// of all is one of them.
func bygone(t *testing.T, s inbound.Store, n int) {
	t.Helper()
	for i := range n {
		e := storetest.Event(fmt.Sprint("gone-", i), fmt.Sprint("gone \x00 ", i), "body")
		e.Received, e.Horizon = time.Now().Add(-time.Hour), time.Now().Add(time.Hour).Truncate(time.Second)
		if err := s.Insert(t.Context(), &inbound.Arrival{Event: e, To: []inbound.Placement{{Target: "hook", State: inbound.Ignored}}}); err != nil {
			t.Fatal(err)
		}
	}
	if k, err := s.Prune(t.Context(), time.Now().Add(time.Minute), 10*n); k < n || err != nil {
		t.Fatalf("%d deleted, %v", k, err)
	}
}

// remembered checks that repeats of these are known, also when new events have come.
func remembered(t *testing.T, s inbound.Store, n int) {
	t.Helper()
	if _, what, err := storetest.Insert(t.Context(), s, storetest.Event("fresh", "fresh", "{}"), "hook"); what != inbound.Stored || err != nil {
		t.Errorf("a new event: %v, %v", what, err)
	}
	for i := range n {
		e := storetest.Event(fmt.Sprint("again-", i), fmt.Sprint("gone \x00 ", i), "body")
		if id, what, err := storetest.Insert(t.Context(), s, e, "hook"); what != inbound.Duplicate || id != fmt.Sprint("gone-", i) || err != nil {
			t.Fatalf("%d again: %s, %v, %v", i, id, what, err)
		}
	}
}

// TestC40CopyKeepsKeys: the keys of deleted events are copied, both ways, and known
// where they come to.
func TestC40CopyKeepsKeys(t *testing.T) {
	from := "sqlite:" + filepath.Join(t.TempDir(), "from.db")
	db, err := store.Open(t.Context(), from, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bygone(t, db.Inbox(), 1050)
	db.Close()
	there, back := peers.Database(t), "sqlite:"+filepath.Join(t.TempDir(), "back.db")
	one, two := mustCopy(t, from, there), mustCopy(t, there, back)
	if one != two || one.Keys != 1050 || one.Events != 0 {
		t.Errorf("there %+v, back %+v", one, two)
	}
	for _, where := range []string{there, back} {
		db, err := store.Open(t.Context(), where, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		remembered(t, db.Inbox(), 1050)
		db.Close()
	}
}

// TestC40BackupKeepsKeys: a backup that is made while events come in has the keys of
// deleted events and the marks of lanes, and goes on.
func TestC40BackupKeepsKeys(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from.db"), filepath.Join(t.TempDir(), "to.db")
	box := open(t, from).Inbox()
	bygone(t, box, 100)
	ranked := func(id, number string) *inbound.Arrival {
		e := storetest.Event(id, id, "{}")
		e.Lane, e.Rank = "lane", inbound.SequenceRank(number, false)
		return &inbound.Arrival{Event: e, To: inbound.To("hook"), Keep: time.Hour}
	}
	if err := box.Insert(t.Context(), ranked("newest", "9")); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := storetest.Insert(t.Context(), box, storetest.Event(fmt.Sprint("id-", i), fmt.Sprint("evt_", i), "{}"), "other"); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	backed, err := store.Backup(t.Context(), from, to, false)
	close(stop)
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	restored := open(t, to).Inbox()
	if n, _ := restored.Count(t.Context(), inbound.Filter{}); int64(n.N) != backed.Events {
		t.Errorf("%d events, and %d were told", n.N, backed.Events)
	}
	remembered(t, restored, 100)
	older := ranked("older", "8")
	if err := restored.Insert(t.Context(), older); err != nil || older.Old != 1 {
		t.Errorf("an older one after the restore: %+v, %v", older, err)
	}
}
