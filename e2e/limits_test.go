package e2e

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
)

const (
	limitRate  = 1000
	limitBurst = 100
)

const limitPolicy = `
provider "example" {
  hosts    = ["api.example.com"]
  upstream = "PROVIDER"
  retry { attempts = 1 }
  limit "published" {
    rate  = "1000/s"
    burst = 100
    wait  = "5s"
  }
}
`

// arrivals is when calls came to the provider.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

func (a *arrivals) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.mu.Unlock()
	io.WriteString(w, "{}")
}

// between counts those of a span of time.
func (a *arrivals) between(from, to time.Time) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.at {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// excess is by how many calls the provider saw more than the rate, in that span of time in which it saw most.
func (a *arrivals) excess() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.SortFunc(a.at, time.Time.Compare)
	least, most := math.Inf(1), 0.0
	for i, t := range a.at {
		at := limitRate * t.Sub(a.at[0]).Seconds()
		least = min(least, float64(i)-at)
		most = max(most, float64(i+1)-at-least)
	}
	return most
}

// fleet is several Postern processes before one provider, with more callers than the limit lets through.
type fleet struct {
	list     []*harness.Postern
	provider *arrivals
	refused  atomic.Int64 // what was answered by Postern
	stall    atomic.Int64 // the most that a sleep of this process was too long, in ns: the machine's doing
	stop     chan struct{}
	wg       sync.WaitGroup
}

// deploy starts n processes, each with what main adds to its configuration, and waits until all know of each other.
func deploy(t *testing.T, n int, main string) *fleet {
	t.Helper()
	f := &fleet{provider: &arrivals{}, stop: make(chan struct{})}
	s := upstream(t, faults.Config{Backend: f.provider})
	files := harness.Files{"postern.hcl": harness.Main + main, "example.hcl": strings.ReplaceAll(limitPolicy, "PROVIDER", s.URL())}
	for range n {
		f.list = append(f.list, harness.Start(t, files))
	}
	for _, p := range f.list {
		await(t, "all replicas to be known", func() bool { return p.Metric("postern_replicas") == float64(n) })
	}
	t.Cleanup(f.end)
	return f
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// call starts callers of each process.
func (f *fleet) call(callers int) {
	for _, p := range f.list {
		c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}, Timeout: time.Minute}
		for range callers {
			f.wg.Go(func() {
				defer c.CloseIdleConnections()
				for {
					select {
					case <-f.stop:
						return
					default:
					}
					a, err := harness.Do(c, http.MethodGet, "http://"+p.Proxy+"/p/example/v1/things", "")
					if err != nil || a.Status != http.StatusOK {
						f.refused.Add(1)
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
	}
	f.wg.Go(func() {
		for {
			start := time.Now()
			select {
			case <-f.stop:
				return
			case <-time.After(time.Millisecond):
			}
			f.stall.Store(max(f.stall.Load(), int64(time.Since(start)-time.Millisecond)))
		}
	})
}

// end lets the callers go.
func (f *fleet) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.wg.Wait()
}

// slow is how many calls there were, and how many of them spent more than 50 ms in Postern, neither upstream nor waiting
// for the limit.
func (f *fleet) slow() (calls, over float64) {
	for _, p := range f.list {
		n := p.Metric("postern_egress_overhead_seconds_count")
		calls += n
		over += n - p.Metric("postern_egress_overhead_seconds_bucket", `le="0.05"`)
	}
	return calls, over
}

// bounded checks that the provider never saw more at once than the documents promise: bursts times the burst, and 0.1 s
// worth of the rate; 0.3 s worth where Redis was away; and what a busy machine let come together.
func (f *fleet) bounded(t *testing.T, bursts, more float64) {
	t.Helper()
	stall := time.Duration(f.stall.Load())
	got, most := f.provider.excess(), bursts*limitBurst+limitRate*(more+0.05+2*stall.Seconds())
	t.Logf("%.0f calls beyond the rate at most, %.0f allowed; the machine stood still for up to %v; %d refused", got, most, stall, f.refused.Load())
	if got > most {
		t.Errorf("the provider saw %.0f calls beyond the rate, want at most %.0f", got, most)
	}
}

// exact checks that the limit is used fully, and no more, for a while.
func (f *fleet) exact(t *testing.T) {
	t.Helper()
	f.call(16)
	time.Sleep(time.Second) // the burst
	length := 4 * time.Second
	if harness.Soak() > 1 {
		length = 30 * time.Second
	}
	from := time.Now()
	time.Sleep(length)
	to := time.Now()
	f.end()
	rate := float64(f.provider.between(from, to)) / to.Sub(from).Seconds()
	t.Logf("%.1f/s with %d processes over %v", rate, len(f.list), length)
	if math.Abs(rate/limitRate-1) > 0.03 {
		t.Errorf("%.1f/s, want %d within 3 %%", rate, limitRate)
	}
}

// TestOneLimit: one limit, four processes.
func TestOneLimit(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		s := peers.RedisFor(t, peers.RedisOptions{})
		f := deploy(t, 4, fmt.Sprintf("shared { url = %q }\n", s.URL()))
		f.exact(t)
		f.bounded(t, 1, 0.1)
		for i, p := range f.list {
			if n := p.Metric("postern_limit_fallbacks_total"); n > 0 {
				t.Logf("process %d counted %.0f calls alone", i, n)
			}
		}
	})
	t.Run("postgres", func(t *testing.T) { // without Redis it is divided
		f := deploy(t, 4, fmt.Sprintf("store { url = %q }\n", peers.Database(t)))
		f.exact(t)
		f.bounded(t, 1, 0.1)
	})
}

// TestF16Redis: Redis fails in the middle. Calls go on under the limit, and come back to it.
func TestF16Redis(t *testing.T) {
	for _, fault := range []struct {
		name        string
		bursts      float64
		local       bool // the limit is divided meanwhile
		begin, mend func(*peers.Redis) error
	}{
		{"killed", 1, true, (*peers.Redis).Kill, (*peers.Redis).Start},
		{"paused", 1, true, (*peers.Redis).Pause, (*peers.Redis).Continue},
		{"flushed", 2, false, (*peers.Redis).Flush, (*peers.Redis).Flush},
	} {
		t.Run(fault.name, func(t *testing.T) {
			s := peers.RedisFor(t, peers.RedisOptions{})
			f := deploy(t, 4, fmt.Sprintf("shared { url = %q }\n", s.URL()))
			f.call(16)
			while := 2 * time.Second
			if harness.Soak() > 1 {
				while = 10 * time.Second
			}
			time.Sleep(while)
			calls, over := f.slow()
			if err := fault.begin(s); err != nil {
				t.Fatal(err)
			}
			from := time.Now()
			if fault.local {
				for _, p := range f.list {
					await(t, "readiness to say it", func() bool {
						status, body, err := p.Get("/readyz?verbose")
						return err == nil && status == http.StatusOK && strings.Contains(body, "[!] limits: local")
					})
					if p.Metric("postern_limit_shared_up") != 0 {
						t.Error("the metric says that limits are shared")
					}
				}
			}
			time.Sleep(while)
			rate := float64(f.provider.between(from, time.Now())) / time.Since(from).Seconds()
			if err := fault.mend(s); err != nil {
				t.Fatal(err)
			}
			for _, p := range f.list {
				await(t, "limits to be shared again", func() bool { return p.Metric("postern_limit_shared_up") == 1 })
			}
			time.Sleep(while)
			allCalls, allOver := f.slow()
			f.end()
			t.Logf("%.1f/s without Redis; over 50 ms: %.0f of %.0f before, %.0f of %.0f after", rate, over, calls, allOver-over, allCalls-calls)
			if rate < 0.85*limitRate || rate > 1.05*limitRate+fault.bursts*limitBurst {
				t.Errorf("%.1f/s meanwhile", rate)
			}
			if allOver-over > 0.01*(allCalls-calls)+max(0, over) {
				t.Errorf("%.0f of %.0f calls spent more than 50 ms in Postern", allOver-over, allCalls-calls)
			}
			f.bounded(t, fault.bursts, 0.3)
			if f.refused.Load() > 0 {
				t.Errorf("%d calls were not answered by the provider", f.refused.Load())
			}
		})
	}
}
