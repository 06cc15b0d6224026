package store_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
)

// soak multiplies what a test repeats.
func soak() int {
	if os.Getenv("POSTERN_SOAK") != "" {
		return 10
	}
	return 1
}

// calls is an application that notes who called it for what.
type calls struct {
	mu    sync.Mutex
	by    map[string][]string // by event: workers, in order of arrival
	first chan struct{}       // closed by the first call
	hold  map[string]chan struct{}
}

func (a *calls) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	who, event := r.Header.Get("Worker"), r.Header.Get("Event")
	a.mu.Lock()
	if a.by[event] == nil && a.first != nil {
		close(a.first)
		a.first = nil
	}
	a.by[event] = append(a.by[event], who)
	hold := a.hold[who]
	a.mu.Unlock()
	if hold != nil {
		<-hold
	}
}

func (a *calls) of(event string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.by[event])
}

// TestF33StoppedWorkerCannotSettle stops a process that has claimed until its
// lease is over and another process has the work. When it goes on it does not
// call the application, and its result is refused.
func TestF33StoppedWorkerCannotSettle(t *testing.T) {
	for range soak() {
		t.Run("before its call", func(t *testing.T) { stopped(t, true, false) })
		t.Run("during its call", func(t *testing.T) { stopped(t, false, false) })
		t.Run("until the call of the other", func(t *testing.T) { stopped(t, false, true) })
	}
}

// stopped stops the first worker, and lets it go on when the second has applied
// the event, or with busy while it calls the application.
func stopped(t *testing.T, ask, busy bool) {
	called, firstMay, secondMay := make(chan struct{}), make(chan struct{}), make(chan struct{})
	app := &calls{by: map[string][]string{}, first: called, hold: map[string]chan struct{}{"worker-00": firstMay, "worker-01": secondMay}}
	releaseFirst, releaseSecond := sync.OnceFunc(func() { close(firstMay) }), sync.OnceFunc(func() { close(secondMay) })
	c := hire(t, peers.Database(t), orders{Lease: 700 * time.Millisecond, Concurrency: 1}, app.ServeHTTP)
	defer releaseFirst()
	defer releaseSecond()
	first := c.start(func(o *orders) { o.Ask = ask })
	c.insert("evt", "", "body")
	want := []string{"worker-00", "worker-01"}
	if ask {
		first.await(t, "claimed evt")
		want = want[1:]
	} else {
		<-called
	}
	first.signal(t, syscall.SIGSTOP)
	at := time.Now()
	second := c.start()
	for !slices.Contains(app.of("evt"), second.name) {
		if time.Since(at) > 20*time.Second {
			t.Fatal("the other one does not take over")
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(at)
	if took > c.order.Lease+workerPoll+2*time.Second {
		t.Errorf("taken over after %v, the lease is %v", took, c.order.Lease)
	}
	if !busy {
		releaseSecond()
		second.await(t, "applied evt")
	}
	if ask {
		fmt.Fprintln(first.input)
	}
	releaseFirst()
	first.signal(t, syscall.SIGCONT)
	first.await(t, "stale evt")
	releaseSecond()
	second.await(t, "applied evt")
	if got := app.of("evt"); !slices.Equal(got, want) {
		t.Errorf("called by %v, want %v", got, want)
	}
	var moves []string
	for _, m := range c.trail("evt") {
		moves = append(moves, m.Replica+" "+string(m.To))
	}
	if !slices.Equal(moves, []string{"worker-00 processing", "worker-01 processing", "worker-01 applied"}) {
		t.Errorf("the trail is %q", moves)
	}
	t.Logf("taken over %v after the stop, lease %v", took.Round(time.Millisecond), c.order.Lease)
}

// TestF33KilledWorkerIsTakenOver kills one of four processes under load, again
// and again: all is applied, and what the dead one had is taken over as soon as
// its lease is over, its place as the one that leads too.
func TestF33KilledWorkerIsTakenOver(t *testing.T) {
	const lease = time.Second
	app := &calls{by: map[string][]string{}}
	c := hire(t, peers.Database(t), orders{Lease: lease, Concurrency: 16, Lead: "housekeeping"}, func(w http.ResponseWriter, r *http.Request) {
		app.ServeHTTP(w, r)
		time.Sleep(80*time.Millisecond + rand.N(80*time.Millisecond)) // so that everybody has some in hand at any time
	})
	var crew []*life
	for range 4 {
		crew = append(crew, c.start())
	}
	var stored atomic.Int64
	done := make(chan struct{})
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
				}
				c.insert(fmt.Sprintf("evt-%d-%d", s, i), "", "body")
				stored.Add(1)
			}
		})
	}
	var dead []*life
	for round := range 3 * soak() {
		time.Sleep(300*time.Millisecond + rand.N(500*time.Millisecond))
		victim := rand.IntN(len(crew))
		if round%3 == 0 {
			victim = c.leader(crew)
		}
		crew[victim].kill(t)
		dead = append(dead, crew[victim])
		crew[victim] = c.start()
	}
	time.Sleep(300 * time.Millisecond)
	close(done)
	senders.Wait()
	c.settled(int(stored.Load()), lease+workerPoll+20*time.Second)
	c.takenOver(dead, lease)
	c.oneLeads(lease)
}

// leader waits until one of the crew leads and returns its place.
func (c *crew) leader(all []*life) int {
	c.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for i, l := range all {
			if len(l.said("leads")) > len(l.said("led")) {
				return i
			}
		}
	}
	c.Fatal("nobody leads")
	return 0
}

// takenOver looks up what the dead held at their end: who had it next, and when.
func (c *crew) takenOver(dead []*life, lease time.Duration) {
	c.Helper()
	died := map[string]time.Time{}
	for _, l := range dead {
		died[l.name] = l.killed
	}
	var worst time.Duration
	orphans := 0
	c.all(func(r *inbound.Record) {
		applied := 0
		for i, m := range r.Trail {
			if m.To == inbound.Applied {
				applied++
			}
			end, isDead := died[m.Replica]
			if !isDead || m.To != inbound.Processing || i+1 < len(r.Trail) && r.Trail[i+1].Replica == m.Replica {
				continue
			}
			orphans++
			if i+1 == len(r.Trail) {
				c.Errorf("%s: nobody took it over", r.ID)
				continue
			}
			worst = max(worst, r.Trail[i+1].At.Sub(end))
		}
		if applied != 1 {
			c.Errorf("%s was applied %d times: %+v", r.ID, applied, r.Trail)
		}
	})
	if orphans == 0 {
		c.Error("the dead had nothing in their hands: nothing was tested")
	}
	if worst > lease+workerPoll+time.Second {
		c.Errorf("taken over after %v, the lease is %v", worst, lease)
	}
	c.Logf("%d deaths, %d deliveries in their hands, all taken over, the last %v after its worker's death; lease %v", len(dead), orphans, worst.Round(time.Millisecond), lease)
}

// all shows every event.
func (c *crew) all(see func(*inbound.Record)) {
	c.Helper()
	for f := (inbound.Filter{Limit: 500}); ; {
		page, err := c.db.Inbox().List(c.Context(), f)
		if err != nil {
			c.Fatal(err)
		}
		for _, e := range page.Events {
			r, err := c.db.Inbox().Show(c.Context(), e.ID)
			if err != nil {
				c.Fatal(err)
			}
			see(r)
		}
		if page.Next == "" {
			return
		}
		f.Cursor = page.Next
	}
}

// oneLeads checks that there was one leader at a time, and never long none.
func (c *crew) oneLeads(lease time.Duration) {
	c.Helper()
	type reign struct {
		name     string
		from, to time.Time
	}
	var reigns []reign
	for _, l := range c.lives {
		ends := l.said("led")
		for i, s := range l.said("leads") {
			r := reign{l.name, s.at, time.Now()}
			switch {
			case i < len(ends):
				r.to = ends[i].at
			case !l.killed.IsZero():
				r.to = l.killed
			}
			reigns = append(reigns, r)
		}
	}
	slices.SortFunc(reigns, func(a, b reign) int { return a.from.Compare(b.from) })
	var names []string
	var longest time.Duration
	for i, r := range reigns {
		names = append(names, r.name)
		if i == 0 {
			continue
		}
		gap := r.from.Sub(reigns[i-1].to)
		longest = max(longest, gap)
		if gap < 0 {
			c.Errorf("%s leads %v before %s is done", r.name, -gap, reigns[i-1].name)
		}
	}
	if longest > lease+lease/2+time.Second {
		c.Errorf("nobody led for %v, the lease is %v", longest, lease)
	}
	if len(reigns) < 2 {
		c.Errorf("the leader was never replaced: %s", strings.Join(names, ", "))
	}
	c.Logf("led by %s; the longest time without a leader was %v", strings.Join(names, ", "), longest.Round(time.Millisecond))
}
