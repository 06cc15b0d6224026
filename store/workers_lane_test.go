package store_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
)

// ordered is an application that watches the order in which it is called.
type ordered struct {
	mu    sync.Mutex
	lanes map[string]*seen
	wrong []string
	again int // calls for an event that had come before
	late  int // calls for an event after the next one had come

	woken map[string]time.Time // when a worker that had been stopped went on; taken out by its late call
}

// seen is what has come of one lane: numbers count from 1.
type seen struct{ come, closed int }

func (a *ordered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died before it had said what it wanted
	}
	var lane string
	var n int
	if _, err := fmt.Sscan(string(body), &lane, &n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.come(lane, n, r.Header.Get("Worker"))
	time.Sleep(rand.N(10 * time.Millisecond))
	if rand.IntN(10) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.lanes[lane]
	s.closed = max(s.closed, n) // the earliest moment at which it may be closed
}

func (a *ordered) come(lane string, n int, who string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.lanes[lane]
	if s == nil {
		s = &seen{}
		a.lanes[lane] = s
	}
	if n > s.closed+1 {
		a.wrong = append(a.wrong, fmt.Sprintf("lane %s: %d came from %s, and only %d are closed", lane, n, who, s.closed))
	}
	if n < s.come {
		// Who is stopped after its last look at the lease and before it calls, calls when it goes on.
		a.late++
		if time.Since(a.woken[who]) > time.Second {
			a.wrong = append(a.wrong, fmt.Sprintf("lane %s: %d came from %s after %d had come", lane, n, who, s.come))
		}
		delete(a.woken, who)
	} else if n == s.come {
		a.again++
	}
	s.come = max(s.come, n)
}

// TestF33LanesAcrossWorkers delivers lanes by four processes of which one after
// the other is killed, or stopped for longer than its lease: in each lane the
// application sees one event at a time, in the order of arrival, but for one call
// of a process that was stopped as it was about to make it.
func TestF33LanesAcrossWorkers(t *testing.T) {
	const lease, lanes = 500 * time.Millisecond, 24
	each, rounds := 40, 8*soak()
	if soak() > 1 {
		each = 250
	}
	app := &ordered{lanes: map[string]*seen{}, woken: map[string]time.Time{}}
	c := hire(t, peers.Database(t), orders{Lease: lease, Concurrency: 8}, app.ServeHTTP)
	var crew []*life
	for range 4 {
		crew = append(crew, c.start())
	}
	var senders sync.WaitGroup
	for l := range lanes {
		senders.Go(func() {
			for i := range each {
				c.insert(laneEvent(l, i+1), fmt.Sprintf("lane-%02d", l), fmt.Sprintf("lane-%02d %d", l, i+1))
				time.Sleep(rand.N(20 * time.Millisecond))
			}
		})
	}
	kills, stops := 0, 0
	for range rounds {
		time.Sleep(rand.N(300 * time.Millisecond))
		i := rand.IntN(len(crew))
		if rand.IntN(2) == 0 {
			kills++
			crew[i].kill(t)
			crew[i] = c.start()
			continue
		}
		stops++
		crew[i].signal(t, syscall.SIGSTOP)
		time.Sleep(lease + rand.N(lease))
		app.mu.Lock()
		app.woken[crew[i].name] = time.Now()
		app.mu.Unlock()
		crew[i].signal(t, syscall.SIGCONT)
	}
	senders.Wait()
	c.settled(lanes*each, 2*time.Minute)
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, w := range app.wrong[:min(len(app.wrong), 10)] {
		t.Error(w)
	}
	stale := 0
	for _, l := range c.lives {
		stale += len(l.said("stale"))
	}
	t.Logf("%d lanes of %d, %d kills, %d stops: %d calls repeated for the head of a lane, %d late, %d late results refused", lanes, each, kills, stops, app.again, app.late, stale)
	for l := range lanes {
		var closed time.Time
		for i := range each {
			trail := c.trail(laneEvent(l, i+1))
			if trail[0].At.Before(closed) {
				t.Errorf("%s was claimed %v before the one ahead was closed", laneEvent(l, i+1), closed.Sub(trail[0].At))
			}
			last := trail[len(trail)-1]
			if closed = last.At; last.To != inbound.Applied {
				t.Errorf("%s ended %s", laneEvent(l, i+1), last.To)
			}
		}
	}
}

func laneEvent(lane, n int) string { return fmt.Sprintf("evt-%02d-%04d", lane, n) }
