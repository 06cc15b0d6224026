package shared

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/policy/limit"
)

var published = limit.Key{Provider: "example", Name: "published"}

// A crowd is callers of several replicas that all want more than the limit
// grants, and what they saw.
type crowd struct {
	rule     limit.Rule
	replicas []*Redis
	stop     atomic.Bool
	wg       sync.WaitGroup

	mu      sync.Mutex
	used    []time.Time     // when each token was used
	by      []int           // by replica
	refused int             // for want of a place
	asking  []time.Duration // how long Reserve took
	late    time.Duration   // the most that a caller woke up after its time: the machine's doing
}

// fill starts callers of each replica, who wait for a place within as long as
// within says.
func (c *crowd) fill(callers int, within time.Duration) {
	c.by = make([]int, len(c.replicas))
	for i, r := range c.replicas {
		for range callers {
			c.wg.Go(func() {
				for !c.stop.Load() {
					c.call(i, r, within)
				}
			})
		}
	}
}

func (c *crowd) call(i int, r *Redis, within time.Duration) {
	start := time.Now()
	p := r.Reserve(published, c.rule, within)
	asked := time.Since(start)
	due := time.Now().Add(p.Wait)
	if p.OK {
		time.Sleep(p.Wait)
	} else {
		due = time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = append(c.asking, asked)
	c.late = max(c.late, now.Sub(due))
	if p.OK {
		c.used = append(c.used, now)
		c.by[i]++
	} else {
		c.refused++
	}
}

// end lets the callers go.
func (c *crowd) end() {
	c.stop.Store(true)
	c.wg.Wait()
	slices.SortFunc(c.used, time.Time.Compare)
	slices.Sort(c.asking)
}

// excess is by how many tokens the use went beyond the rate, in that span of time
// in which it did most.
func (c *crowd) excess() float64 {
	least, most := math.Inf(1), 0.0
	for i, t := range c.used {
		at := c.rule.Rate * t.Sub(c.used[0]).Seconds()
		least = min(least, float64(i)-at)
		most = max(most, float64(i+1)-at-least)
	}
	return most
}

// bounded checks that no span of time saw more than the document promises:
// bursts times the burst, and 0.1 s worth of the rate; 0.3 s worth where Redis was
// away. A machine that woke callers too late made them come together.
func (c *crowd) bounded(t *testing.T, bursts, more float64) {
	t.Helper()
	most := bursts*float64(c.rule.Burst) + c.rule.Rate*(more+c.late.Seconds())
	if got := c.excess(); got > most {
		t.Errorf("%.0f tokens beyond the rate, want at most %.0f", got, most)
	}
}

// brief checks that no call waited for Redis for long. What the machine did to
// callers that only slept is not Redis's doing.
func (c *crowd) brief(t *testing.T) {
	t.Helper()
	const hard = 50 * time.Millisecond
	if p99, most := c.asking[len(c.asking)*99/100], c.asking[len(c.asking)-1]; p99 > hard || most > hard+c.late {
		t.Errorf("asking took %v (p99), %v (most); callers woke up to %v late", p99, most, c.late)
	}
}

func (c *crowd) String() string {
	n := len(c.asking)
	return fmt.Sprintf("%d used %v, %d refused, excess %.0f; asking p50 %v p99 %v max %v, woke up to %v late",
		len(c.used), c.by, c.refused, c.excess(), c.asking[n/2], c.asking[n*99/100], c.asking[n-1], c.late)
}

// four opens four replicas of one Redis.
func four(t testing.TB, s *peers.Redis) (list []*Redis) {
	t.Helper()
	for range 4 {
		list = append(list, open(t, s.URL(), "test", func(o *Options) { o.Live = func() int { return 4 } }))
	}
	for _, r := range list {
		ready(t, r)
	}
	return list
}

// lasting is how long the long rounds are.
func lasting(short, long time.Duration) time.Duration {
	if os.Getenv("POSTERN_SOAK") != "" {
		return long
	}
	return short
}

// TestOneLimitOfFour: four replicas use one limit fully, and no more.
func TestOneLimitOfFour(t *testing.T) {
	for name, within := range map[string]time.Duration{"those who wait": 5 * time.Second, "those who do not": 0} {
		t.Run(name, func(t *testing.T) {
			s := peers.RedisFor(t, peers.RedisOptions{})
			c := &crowd{rule: limit.Rule{Rate: 1000, Burst: 50}, replicas: four(t, s)}
			start := time.Now()
			c.fill(16, within)
			time.Sleep(lasting(4*time.Second, 30*time.Second))
			length := time.Since(start).Seconds()
			c.end()
			t.Log(c)
			inside := 0
			for _, at := range c.used {
				if at.Sub(start).Seconds() <= length {
					inside++
				}
			}
			want := c.rule.Rate*length + float64(c.rule.Burst)
			if share := float64(inside) / want; share < 0.97 || share > 1.03 {
				t.Errorf("%d in %.1f s, which is %.1f %% of the limit", inside, length, 100*share)
			}
			for i, n := range c.by {
				if float64(n) < want/4/4 {
					t.Errorf("replica %d had %d of %d", i, n, len(c.used))
				}
			}
			c.bounded(t, 1, 0.1)
			c.brief(t)
		})
	}
}

// TestNobodyStarves: a replica that wants little gets it, however much another
// one wants, whether callers wait or not.
func TestNobodyStarves(t *testing.T) {
	for name, within := range map[string]time.Duration{"those who wait": 5 * time.Second, "those who do not": 0} {
		t.Run(name, func(t *testing.T) {
			s := peers.RedisFor(t, peers.RedisOptions{})
			all := four(t, s)
			c := &crowd{rule: limit.Rule{Rate: 500, Burst: 100}, replicas: all[:1]}
			c.fill(32, within)
			time.Sleep(500 * time.Millisecond) // the burst
			passed, n := 0, 0
			for start := time.Now(); time.Since(start) < 2*time.Second; n++ {
				if p := all[1].Reserve(published, c.rule, within); p.OK {
					time.Sleep(p.Wait)
					passed++
				} else {
					time.Sleep(2 * time.Millisecond)
				}
			}
			c.end()
			t.Logf("%d of %d wishes beside %s", passed, n, c)
			if within == 0 && passed < 10 || within > 0 && passed < n {
				t.Errorf("%d of %d wishes were granted", passed, n)
			}
		})
	}
}

// TestF16Faults: whatever becomes of Redis, calls go on under the limit, wait for
// Redis no longer than promised, and come back to it.
func TestF16Faults(t *testing.T) {
	for _, f := range []struct {
		name        string
		bursts      float64
		begin, mend func(*peers.Redis) error
	}{
		{"killed", 1, (*peers.Redis).Kill, (*peers.Redis).Start},
		{"paused", 1, (*peers.Redis).Pause, (*peers.Redis).Continue},
		{"flushed", 2, flushes, flushes},
		{"evicting", 2, evict, nothing},
		{"out of memory", 1, starve, feed},
		{"read only", 1, follow, lead},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := peers.RedisFor(t, peers.RedisOptions{})
			c := &crowd{rule: limit.Rule{Rate: 1000, Burst: 400}, replicas: four(t, s)}
			start := time.Now()
			c.fill(8, time.Second)
			for _, step := range []func(*peers.Redis) error{nothing, f.begin, f.mend, nothing} {
				if err := step(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(lasting(500*time.Millisecond, 5*time.Second))
			}
			for _, r := range c.replicas {
				ready(t, r)
			}
			length := time.Since(start).Seconds()
			c.end()
			t.Log(c)
			if share := float64(len(c.used)) / (c.rule.Rate * length); share < 0.8 {
				t.Errorf("only %.0f %% of the limit was used", 100*share)
			}
			c.bounded(t, f.bursts, 0.3)
			c.brief(t)
		})
	}
}

func nothing(*peers.Redis) error { return nil }

// flushes wipes Redis ten times.
func flushes(s *peers.Redis) error {
	for range 10 {
		if err := s.Flush(); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// evict makes Redis drop most of its keys.
func evict(s *peers.Redis) error {
	if _, err := s.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-random"); err != nil {
		return err
	}
	if _, err := s.Do("CONFIG", "SET", "maxmemory", "2500000"); err != nil {
		return err
	}
	for i := range 3000 {
		if _, err := s.Do("SET", fmt.Sprint("filler", i), strings.Repeat("x", 2000)); err != nil {
			return err
		}
	}
	return nil
}

func starve(s *peers.Redis) error {
	_, err := s.Do("CONFIG", "SET", "maxmemory", "1")
	return err
}

func feed(s *peers.Redis) error {
	_, err := s.Do("CONFIG", "SET", "maxmemory", "0")
	return err
}

// follow makes Redis the replica of one that is not there, as a failover may.
func follow(s *peers.Redis) error {
	_, err := s.Do("REPLICAOF", "127.0.0.1", "1")
	return err
}

func lead(s *peers.Redis) error {
	_, err := s.Do("REPLICAOF", "NO", "ONE")
	return err
}
