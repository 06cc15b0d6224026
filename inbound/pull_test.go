package inbound_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
)

const pulledHook = `
webhook "hook" {
  path    = "/hook"
  headers = ["X-Kind"]
  verify "none" {}
  event {
    id  = body.id
    key = body.key
  }
  deliver "worker" {
    pull = true
    when = body.skip == null
  }
  retry {
    attempts = 4
    backoff { first = "10s" }
  }
}
`

// worker is an inbox of virtual time whose events are claimed.
func worker(t *testing.T, src string) (in *inbound.Inbox, insert func(ids ...string)) {
	box := store.NewMemory().Inbox()
	in = inbound.New(inbound.Options{Store: box, Random: func() float64 { return 1 }})
	in.Swap(mustLoad(t, src))
	return in, func(ids ...string) {
		for _, id := range ids {
			body := fmt.Appendf(nil, `{"id":%q,"bytes":"\u00e4"}`, id)
			lane, _, _ := strings.Cut(id, "-")
			a := &inbound.Arrival{Event: &inbound.Event{ID: id, Webhook: "hook", EventID: id, Lane: lane, Received: time.Now(), Body: body, Size: len(body)}, To: inbound.To("hook/worker")}
			if err := box.Insert(context.Background(), a); err != nil {
				t.Fatal(err)
			}
		}
		in.Wake()
	}
}

func pull(wait time.Duration) inbound.Pull {
	return inbound.Pull{Webhook: "hook", Target: "worker", Max: 10, Wait: wait, Lease: time.Minute}
}

func claimed(t *testing.T, in *inbound.Inbox, wait time.Duration) []inbound.Pulled {
	t.Helper()
	got, err := in.Claim(t.Context(), pull(wait))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func stateOf(t *testing.T, in *inbound.Inbox, id string) inbound.DeliveryStatus {
	t.Helper()
	r, err := in.Show(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.Deliveries[0]
}

// TestPull is the life of events that a worker claims: as they would be posted, in
// the order of their lanes, until it has said what came of them.
func TestPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		insert("a-1", "a-2", "b-1")
		got := claimed(t, in, 0)
		if len(got) != 2 || string(got[0].Body) != `{"id":"a-1","bytes":"\u00e4"}` || got[1].Header.Get("Postern-Event-Id") != "b-1" || got[0].Header.Get("Postern-Attempt") != "1" || !got[0].Deadline.Equal(time.Now().Add(time.Minute)) {
			t.Fatalf("claimed %+v", got)
		}
		if more := claimed(t, in, 0); len(more) != 0 {
			t.Errorf("a-2 is given out before a-1 is done: %+v", more)
		}
		if err := in.Ack(t.Context(), got[0].Lease); err != nil {
			t.Fatal(err)
		}
		if err := in.Ack(t.Context(), got[0].Lease); !errors.Is(err, queue.ErrStale) {
			t.Errorf("acknowledged twice: %v", err)
		}
		if state, err := in.Nack(t.Context(), got[1].Lease, inbound.Nack{Reason: "locked \xff"}); state != inbound.Retrying || err != nil {
			t.Errorf("%s, %v", state, err)
		}
		if next := claimed(t, in, 0); len(next) != 1 || next[0].Header.Get("Postern-Event-Id") != "a-2" {
			t.Fatalf("claimed %+v", next)
		} else if state, err := in.Nack(t.Context(), next[0].Lease, inbound.Nack{Fail: true}); state != inbound.Failed || err != nil {
			t.Errorf("%s, %v", state, err)
		}
		start := time.Now()
		again := claimed(t, in, time.Minute)
		if len(again) != 1 || again[0].Header.Get("Postern-Attempt") != "2" || time.Since(start) != 10*time.Second {
			t.Fatalf("after %v: %+v", time.Since(start), again)
		}
		if _, err := in.Nack(t.Context(), again[0].Lease, inbound.Nack{Delay: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if start = time.Now(); len(claimed(t, in, time.Minute)) != 1 || time.Since(start) != 30*time.Second {
			t.Errorf("again after %v", time.Since(start))
		}
		if d := stateOf(t, in, "a-1"); d.State != inbound.Applied || d.Reason != "acknowledged" {
			t.Errorf("a-1: %+v", d)
		}
		if d := stateOf(t, in, "a-2"); d.State != inbound.Failed || d.Reason != "refused by the worker" {
			t.Errorf("a-2: %+v", d)
		}
	})
}

// TestPullWaits: a claim is answered as soon as there is something, or at its end,
// or when the process ends, and not before.
func TestPullWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		start := time.Now()
		if got := claimed(t, in, 30*time.Second); len(got) != 0 || time.Since(start) != 30*time.Second {
			t.Errorf("%d events after %v", len(got), time.Since(start))
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		start = time.Now()
		for range 3 {
			wg.Go(func() {
				got := claimed(t, in, 30*time.Second)
				mu.Lock()
				defer mu.Unlock()
				total += len(got)
				if len(got) > 0 && time.Since(start) != 7*time.Second {
					t.Errorf("waited %v", time.Since(start))
				}
			})
		}
		time.Sleep(7 * time.Second)
		insert("a-1")
		synctest.Wait()
		time.Sleep(time.Second)
		in.End()
		wg.Wait()
		if total != 1 || time.Since(start) != 8*time.Second {
			t.Errorf("%d events given out, the end after %v", total, time.Since(start))
		}
		if got := claimed(t, in, time.Minute); len(got) != 0 || time.Since(start) != 8*time.Second {
			t.Error("waited after the end")
		}
	})
}

// TestPullWakesTheNext: a worker that waits gets the next of a lane as soon as the one
// before it is done.
func TestPullWakesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		insert("a-1", "a-2")
		first, start := claimed(t, in, 0), time.Now()
		next := make(chan int)
		go func() { next <- len(claimed(t, in, time.Minute)) }()
		time.Sleep(time.Second)
		if err := in.Ack(t.Context(), first[0].Lease); err != nil {
			t.Fatal(err)
		}
		if n := <-next; n != 1 || time.Since(start) != time.Second {
			t.Errorf("%d after %v", n, time.Since(start))
		}
	})
}

// TestF33PullFence: what a worker says after its lease counts for nothing; whoever
// extends it keeps it.
func TestF33PullFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		insert("a-1")
		first := claimed(t, in, 0)
		time.Sleep(50 * time.Second)
		until, err := in.Extend(t.Context(), first[0].Lease, time.Minute)
		if err != nil || !until.Equal(time.Now().Add(time.Minute)) {
			t.Fatal(until, err)
		}
		start := time.Now()
		second := claimed(t, in, 2*time.Minute)
		if len(second) != 1 || second[0].Header.Get("Postern-Attempt") != "2" || time.Since(start) != time.Minute {
			t.Fatalf("claimed anew after %v: %+v", time.Since(start), second)
		}
		_, nack := in.Nack(t.Context(), first[0].Lease, inbound.Nack{})
		_, extend := in.Extend(t.Context(), first[0].Lease, time.Minute)
		for what, err := range map[string]error{"ack": in.Ack(t.Context(), first[0].Lease), "nack": nack, "extend": extend} {
			if !errors.Is(err, queue.ErrStale) {
				t.Errorf("%s after the lease: %v", what, err)
			}
		}
		if err := in.Ack(t.Context(), second[0].Lease); err != nil {
			t.Error(err)
		}
	})
}

// TestF30PoisonOfWorkers: an event under which workers die is isolated, and does
// not block its lane.
func TestF30PoisonOfWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		insert("a-1", "a-2")
		for range 3 {
			if got := claimed(t, in, 2*time.Minute); len(got) != 1 || got[0].Header.Get("Postern-Event-Id") != "a-1" {
				t.Fatalf("claimed %+v", got)
			}
		}
		if got := claimed(t, in, 2*time.Minute); len(got) != 1 || got[0].Header.Get("Postern-Event-Id") != "a-2" {
			t.Errorf("claimed %+v", got)
		}
		if d := stateOf(t, in, "a-1"); d.State != inbound.Quarantined || d.Reason != "isolated: 3 workers let its lease end without a word" {
			t.Errorf("%+v", d)
		}
		if _, err := in.Act(t.Context(), inbound.ActRelease, inbound.Filter{IDs: []string{"a-1"}}, "ann"); err != nil {
			t.Fatal(err)
		}
		if d := stateOf(t, in, "a-1"); d.State != inbound.Received {
			t.Errorf("released as %+v", d)
		}
	})
}

// TestPullRefuses what is no lease of ours, and a target that is not pulled; what
// a worker does not take is given up in the end.
func TestPullRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, pulledHook)
		for _, text := range []string{"", "x", "e30", "bnVsbA", "!!"} {
			if err := in.Ack(t.Context(), text); !errors.Is(err, inbound.ErrLease) {
				t.Errorf("%q: %v", text, err)
			}
		}
		for _, p := range []inbound.Pull{{Webhook: "hook", Max: 1}, {Webhook: "other", Target: "worker", Max: 1}} {
			if _, err := in.Claim(t.Context(), p); !errors.Is(err, inbound.ErrNoTarget) || !strings.HasSuffix(err.Error(), ": there are webhook=hook&target=worker") {
				t.Errorf("%+v: %v", p, err)
			}
		}
		in.Swap(mustLoad(t, strings.Replace(pulledHook, "  retry", "  deliver \"posted\" { to = \"http://127.0.0.1:1/\" }\n  retry", 1)))
		if _, err := in.Claim(t.Context(), inbound.Pull{Webhook: "hook", Target: "posted", Max: 1}); !errors.Is(err, inbound.ErrNoTarget) {
			t.Errorf("of a target that is called: %v", err)
		}
		insert("a-1")
		for range 4 {
			got := claimed(t, in, time.Hour)
			if _, err := in.Nack(t.Context(), got[0].Lease, inbound.Nack{}); err != nil {
				t.Fatal(err)
			}
		}
		if d := stateOf(t, in, "a-1"); d.State != inbound.Failed || d.Reason != "given up after 4 attempts: not acknowledged" {
			t.Errorf("%+v", d)
		}
	})
}

// TestPullBounds: a claim gives out so many bytes, and what more was claimed is given
// back; a worker that wants an event later has it within a month.
func TestPullBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := store.NewMemory().Inbox()
		in := inbound.New(inbound.Options{Store: box})
		in.Swap(mustLoad(t, pulledHook))
		for _, id := range []string{"1", "2", "3"} {
			a := &inbound.Arrival{Event: &inbound.Event{ID: id, Webhook: "hook", EventID: id, Received: time.Now(), Body: make([]byte, 9<<20)}, To: inbound.To("hook/worker")}
			if err := box.Insert(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		got := claimed(t, in, 0)
		if d := stateOf(t, in, "3"); len(got) != 2 || d.State != inbound.Received || d.Attempt != 0 {
			t.Fatalf("claimed %d, and the third is %+v", len(got), d)
		}
		if _, err := in.Nack(t.Context(), got[0].Lease, inbound.Nack{Delay: 365 * 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		if due := time.Until(stateOf(t, in, "1").Due); due != 30*24*time.Hour {
			t.Errorf("due in %v", due)
		}
	})
}

// TestPullIsGivenBack: a worker that goes away while events are claimed for it has
// not had them.
func TestPullIsGivenBack(t *testing.T) {
	in, insert := worker(t, pulledHook)
	insert("a-1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := in.Claim(ctx, pull(0)); len(got) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", got, err)
	}
	if d := stateOf(t, in, "a-1"); d.State != inbound.Received || d.Attempt != 0 {
		t.Errorf("%+v", d)
	}
}

// TestPullHolds: what a worker refuses stops its lane where the policy says so, as
// it would if it were posted.
func TestPullHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, insert := worker(t, strings.Replace(pulledHook, "  deliver", "  order {\n    mode   = \"lane\"\n    failed = \"hold\"\n  }\n  deliver", 1))
		insert("a-1", "a-2", "b-1")
		got := claimed(t, in, 0)
		if len(got) != 2 {
			t.Fatalf("claimed %+v", got)
		}
		if _, err := in.Nack(t.Context(), got[0].Lease, inbound.Nack{Fail: true}); err != nil {
			t.Fatal(err)
		}
		if more := claimed(t, in, 0); len(more) != 0 {
			t.Errorf("a-2 was given out past a-1, which holds its lane: %+v", more)
		}
		if d := stateOf(t, in, "a-1"); d.State != inbound.Failed || !strings.Contains(d.Reason, "waits for a replay or discard") {
			t.Errorf("a-1: %+v", d)
		}
	})
}
