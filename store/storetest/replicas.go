package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/replica"
)

// Members tests a [replica.Members]. open returns two handles, independent of
// each other, on one empty place; the test closes them.
func Members(t *testing.T, open func(*testing.T) (a, b replica.Members)) {
	for name, run := range map[string]func(t *testing.T, a, b replica.Members){
		"replicas see each other": membersSee, "one that is silent is gone": membersSilent,
		"one that leaves is gone at once": membersLeave, "all see all": membersAll,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			run(t, a, b)
		})
	}
}

func member(name string) replica.Replica {
	r := replica.Self(name, "1.2.3")
	r.Started = r.Started.Add(-time.Hour).Truncate(time.Microsecond)
	return r
}

// beat gives word of r and returns the ids of those that live.
func beat(t *testing.T, m replica.Members, r replica.Replica, within time.Duration) []string {
	t.Helper()
	all, err := m.Beat(t.Context(), r, within)
	if err != nil {
		t.Fatalf("beat: %v", err)
	}
	var ids []string
	for _, other := range all {
		ids = append(ids, other.ID)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids ...string) []string { slices.Sort(ids); return ids }

func membersSee(t *testing.T, a, b replica.Members) {
	one, two := member("one"), member("two")
	if got := beat(t, a, one, time.Minute); !slices.Equal(got, []string{one.ID}) {
		t.Errorf("alone: %v", got)
	}
	for range 2 { // again is not twice
		if got := beat(t, b, two, time.Minute); !slices.Equal(got, sorted(one.ID, two.ID)) {
			t.Errorf("together: %v", got)
		}
	}
	all, err := a.Beat(t.Context(), one, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		want := map[string]replica.Replica{one.ID: one, two.ID: two}[r.ID]
		if r.Name != want.Name || r.Version != want.Version || !r.Started.Equal(want.Started) || time.Since(r.Seen).Abs() > time.Minute {
			t.Errorf("known as %+v, want %+v", r, want)
		}
	}
}

func membersSilent(t *testing.T, a, b replica.Members) {
	one, two := member("one"), member("two")
	beat(t, a, one, time.Minute)
	time.Sleep(2 * blink)
	if got := beat(t, b, two, blink); !slices.Equal(got, []string{two.ID}) {
		t.Errorf("%v live, want %s alone", got, two.ID)
	}
	if got := beat(t, a, one, time.Minute); !slices.Contains(got, one.ID) {
		t.Errorf("one that is back is not among %v", got)
	}
}

func membersLeave(t *testing.T, a, b replica.Members) {
	one, two := member("one"), member("two")
	beat(t, a, one, time.Minute)
	beat(t, b, two, time.Minute)
	if err := a.Leave(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	if got := beat(t, b, two, time.Minute); !slices.Equal(got, []string{two.ID}) {
		t.Errorf("%v live, want %s alone", got, two.ID)
	}
	if err := a.Leave(t.Context(), "nobody"); err != nil {
		t.Errorf("nobody leaves: %v", err)
	}
}

func membersAll(t *testing.T, a, b replica.Members) {
	var wg sync.WaitGroup
	want := make([]string, 20)
	for i := range want {
		r, m := member(fmt.Sprintf("many-%02d", i)), []replica.Members{a, b}[i%2]
		want[i] = r.ID
		wg.Go(func() {
			if _, err := m.Beat(t.Context(), r, time.Minute); err != nil {
				t.Errorf("beat: %v", err)
			}
		})
	}
	wg.Wait()
	last := member("last")
	if got := beat(t, a, last, time.Minute); !slices.Equal(got, sorted(append(want, last.ID)...)) {
		t.Errorf("%d live, want all: %s", len(got), strings.Join(got, " "))
	}
}

// Leases tests a [replica.Leases]. open returns two handles, independent of each
// other, on one empty place; the test closes them.
func Leases(t *testing.T, open func(*testing.T) (a, b replica.Leases)) {
	for name, run := range map[string]func(t *testing.T, a, b replica.Leases){
		"one holds": leasesOne, "one that is silent loses it": leasesSilent, "one that yields frees it": leasesYield,
		"of many that ask one gets it": leasesRace, "who waits too long is told": leasesCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			run(t, a, b)
		})
	}
}

// hold asks for a lease and checks what is said of its end.
func hold(t *testing.T, l replica.Leases, name, holder string, lease time.Duration) bool {
	t.Helper()
	before := time.Now()
	held, until, err := l.Hold(t.Context(), name, holder, lease)
	if err != nil {
		t.Fatalf("hold %s: %v", name, err)
	}
	if counted := until.Add(-lease); held && (counted.Before(before) || counted.After(time.Now())) {
		t.Errorf("a lease of %v ends %v after it was asked for", lease, until.Sub(before))
	}
	return held
}

func leasesOne(t *testing.T, a, b replica.Leases) {
	for range 2 { // taken, then extended
		if !hold(t, a, "work", "one", lease) {
			t.Error("not held by one")
		}
	}
	if hold(t, b, "work", "two", lease) || hold(t, a, "work", "two", lease) {
		t.Error("held by two at once")
	}
	if !hold(t, b, "other", "two", lease) {
		t.Error("another name is not free")
	}
}

func leasesSilent(t *testing.T, a, b replica.Leases) {
	if !hold(t, a, "work", "one", blink) {
		t.Fatal("not held")
	}
	end := time.Now().Add(10 * time.Second)
	for !hold(t, b, "work", "two", lease) {
		if time.Now().After(end) {
			t.Fatal("not free when its time was over")
		}
		time.Sleep(time.Millisecond)
	}
	if hold(t, a, "work", "one", lease) {
		t.Error("held again by who was too late")
	}
}

func leasesYield(t *testing.T, a, b replica.Leases) {
	ctx := t.Context()
	hold(t, a, "work", "one", lease)
	if err := b.Yield(ctx, "work", "two"); err != nil {
		t.Errorf("yield of another's lease: %v", err)
	}
	if hold(t, b, "work", "two", lease) {
		t.Error("freed by who did not hold it")
	}
	if err := a.Yield(ctx, "work", "one"); err != nil {
		t.Fatal(err)
	}
	if !hold(t, b, "work", "two", lease) {
		t.Error("not free after a yield")
	}
}

func leasesRace(t *testing.T, a, b replica.Leases) {
	for round := range 5 {
		var wg sync.WaitGroup
		var got atomic.Int32
		for i := range 16 {
			wg.Go(func() {
				held, _, err := []replica.Leases{a, b}[i%2].Hold(t.Context(), fmt.Sprint("race", round), fmt.Sprint(i), lease)
				if err != nil {
					t.Errorf("hold: %v", err)
				}
				if held {
					got.Add(1)
				}
			})
		}
		if wg.Wait(); got.Load() != 1 {
			t.Errorf("%d hold it", got.Load())
		}
	}
}

func leasesCancelled(t *testing.T, a, _ replica.Leases) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if held, _, err := a.Hold(ctx, "work", "one", lease); held || err == nil {
		t.Errorf("held %v, %v after the caller left", held, err)
	}
}
