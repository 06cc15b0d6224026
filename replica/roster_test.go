package replica_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/replica"
)

// log collects what is told.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) trouble(doing string, err error) { l.add(doing + ": " + err.Error()) }
func (l *log) changed(live int)                { l.add(fmt.Sprint(live)) }

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) is(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("told %q, want %q", l.lines, want)
	}
}

// start runs something until stop, which waits for it.
func start(run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	return func() { cancel(); <-done }
}

func names(r *replica.Roster) string {
	var all []string
	for _, one := range r.List() {
		all = append(all, one.Name)
	}
	return strings.Join(all, " ")
}

func is(t *testing.T, when string, r *replica.Roster, want string) {
	t.Helper()
	if got := names(r); got != want || r.Live() != len(strings.Fields(want)) {
		t.Errorf("%s: %s live, want %s", when, got, want)
	}
}

func TestSelf(t *testing.T) {
	a, b := replica.Self("", "1"), replica.Self("pod-1", "1")
	if a.Name == "" || !strings.HasPrefix(a.ID, a.Name+"-") || b.Name != "pod-1" || b.ID == replica.Self("pod-1", "1").ID {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestRosterAlone(t *testing.T) {
	r := replica.NewRoster(replica.Self("one", ""), nil, nil)
	r.Run(t.Context()) // returns: there is nobody to ask
	is(t, "without a source", r, "one")
	if r.Self().Name != "one" {
		t.Errorf("self is %+v", r.Self())
	}
}

// TestRosterFollowsLife: replicas learn of each other within a beat, of one that
// leaves within a beat, of one that dies within seven seconds.
func TestRosterFollowsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, mine, l := newPlace(), newPlace(), &log{}
		one := replica.NewRoster(replica.Self("one", ""), l.trouble, l.changed, p, mine)
		two := replica.NewRoster(replica.Self("two", ""), l.trouble, nil, p)
		is(t, "at first", one, "one")
		stop := start(one.Run)
		time.Sleep(time.Minute)
		leave := start(two.Run)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		is(t, "after a beat", one, "one two")
		is(t, "seen by the other", two, "one two")
		leave()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		is(t, "after it has left", one, "one")

		dead := replica.Self("dead", "")
		_, _ = p.Beat(t.Context(), dead, time.Minute)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		is(t, "after its only beat", one, "dead one")
		time.Sleep(7 * time.Second)
		synctest.Wait()
		is(t, "when it is silent", one, "one")
		stop()
		if delete(p.seen, dead.ID); len(p.seen) != 0 || len(mine.seen) != 0 {
			t.Errorf("left behind: %v, %v", p.seen, mine.seen)
		}
		l.is(t, "2", "1", "2", "1")
	})
}

// TestRosterRidesOutAnOutage: what was known last stays while a source fails, one
// that hangs holds up no other, and each outage is told once.
func TestRosterRidesOutAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, other, l := newPlace(), newPlace(), &log{}
		one := replica.NewRoster(replica.Self("one", ""), l.trouble, l.changed, p, other)
		two := replica.NewRoster(replica.Self("two", ""), func(string, error) {}, nil, p)
		stop, stopTwo := start(one.Run), start(two.Run)
		time.Sleep(3 * time.Second)
		for range 2 {
			p.set(true, false)
			time.Sleep(time.Hour)
			is(t, "during the outage", one, "one two")
			p.set(false, false)
			time.Sleep(10 * time.Second)
			is(t, "after the outage", one, "one two")
		}
		told := "learning of the other replicas: " + errDown.Error()
		l.is(t, "2", told, told)

		stopTwo() // and once it is known that one has gone, it is so
		time.Sleep(10 * time.Second)
		is(t, "after one has left", one, "one")
		two = replica.NewRoster(replica.Self("two", ""), func(string, error) {}, nil, p)
		stopTwo = start(two.Run)
		time.Sleep(10 * time.Second)
		p.set(false, true) // hangs
		_, _ = other.Beat(t.Context(), replica.Self("three", ""), time.Hour)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		is(t, "while one source hangs", one, "one three two")
		began := time.Now()
		stop()
		stopTwo()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("leaving took %v", took)
		}
	})
}
