package oversight_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// TestSilenceLongerThanEventsAreKept: a silence is measured from the newest event, also
// when that is deleted before it is over.
func TestSilenceLongerThanEventsAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(`expect { every = "60h" }`), empty)
		defer p.stop()
		pause(100 * time.Hour)
		told := len(seen(p, &p.silences))
		p.push(item("a", time.Now()))
		pause(time.Minute)
		if _, err := p.inbox.Act(t.Context(), inbound.ActDiscard, inbound.Filter{}, "test"); err != nil {
			t.Fatal(err)
		}
		pause(30 * time.Hour)
		if n, err := p.db.Inbox().Prune(t.Context(), time.Now().Add(-time.Hour), 10); err != nil || n != 1 {
			t.Fatalf("pruned %d, %v", n, err)
		}
		p.stop()
		p.start()
		pause(20 * time.Hour)
		if got := seen(p, &p.silences)[told:]; !slices.Equal(got, []string{"60h0m0s over true"}) {
			t.Errorf("after 50 of 60 hours: %q", got)
		}
		if all, err := p.Watched(t.Context()); err != nil || time.Since(all[0].Since).Round(time.Hour) != 50*time.Hour {
			t.Errorf("%+v, %v", all, err)
		}
		pause(11 * time.Hour)
		if got := seen(p, &p.silences)[told:]; len(got) != 2 {
			t.Errorf("after 61 hours: %q", got)
		}
	})
}

// counting counts what is listed.
type counting struct {
	inbound.Store
	lists atomic.Int32
}

func (c *counting) List(ctx context.Context, f inbound.Filter) (inbound.Page, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, f)
}

// TestSilenceOverBackfill: a webhook that is dead, and whose events are all fetched, is
// looked at as cheaply as any other.
func TestSilenceOverBackfill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := closed(t, hook(`expect { every = "1h" }`), empty)
		c := &counting{Store: p.db.Inbox()}
		p.inbox = inbound.New(inbound.Options{Store: c, Poll: time.Hour})
		p.inbox.Swap(set(t, hook(`expect { every = "1h" }`)))
		p.start()
		defer p.stop()
		w := p.inbox.Set().Webhooks()[0]
		p.push(item("pushed", time.Now()))
		pause(time.Minute)
		var all []*inbound.Arrival
		for n := range 1000 {
			all = append(all, p.inbox.Arrival(w, &inbound.Listed{Body: []byte(item(fmt.Sprint("fetched ", n), time.Now()))}))
		}
		if err := p.inbox.Backfill(t.Context(), w, all); err != nil {
			t.Fatal(err)
		}
		pause(10 * time.Minute)
		c.lists.Store(0)
		pause(time.Minute)
		if n := c.lists.Load(); n > 10 {
			t.Errorf("%d pages were read in a minute", n)
		}
		pause(time.Hour)
		if len(seen(p, &p.silences)) != 1 {
			t.Errorf("%q", seen(p, &p.silences))
		}
		p.push(item("back", time.Now()))
		pause(time.Minute)
		if len(seen(p, &p.silences)) != 2 {
			t.Errorf("%q", seen(p, &p.silences))
		}
	})
}

// TestSilenceOverCopies: what a person has copied was not sent by the provider.
func TestSilenceOverCopies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(`expect { every = "1h" }`), empty)
		defer p.stop()
		p.push(item("a", time.Now()))
		db := p.db.Inbox()
		items, _, err := db.Claim(t.Context(), map[string]int{"hook": 1}, time.Minute)
		if err != nil || len(items) != 1 {
			t.Fatal(items, err)
		}
		if err := db.Finish(t.Context(), items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
		pause(50 * time.Minute)
		if done, err := p.inbox.Anew(t.Context(), inbound.Filter{}, "ann"); err != nil || len(done.Moved) != 1 {
			t.Fatal(done, err)
		}
		pause(15 * time.Minute)
		if len(seen(p, &p.silences)) != 1 {
			t.Errorf("%q, %+v", seen(p, &p.silences), p.Silences())
		}
	})
}
