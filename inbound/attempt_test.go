package inbound

import (
	"context"
	"testing"
	"time"

	"github.com/postern-proxy/postern/queue"
)

// giving is a store that takes note of what is given back.
type giving struct {
	Store
	back []queue.Lease
}

func (g *giving) Release(_ context.Context, leases []queue.Lease) error {
	g.back = append(g.back, leases...)
	return nil
}

// TestPulledSinceTheClaim: what was claimed to be posted, to a target that is pulled or
// gone by now, is given back, and no attempt.
func TestPulledSinceTheClaim(t *testing.T) {
	s := &giving{}
	in := New(Options{Store: s})
	in.Swap(&Set{targets: map[string]target{"hook/worker": {hook: &Webhook{Name: "hook"}, deliver: &Deliver{Name: "worker", Pull: true}}}})
	for i, name := range []string{"hook/worker", "hook/gone"} {
		l := queue.Lease{Key: int64(i + 1), Token: 1, Until: time.Now().Add(time.Minute)}
		if r := in.attempt(t.Context(), queue.Item[Delivery]{Lease: l, Target: name}); r.Health != queue.Silent || len(s.back) != i+1 || s.back[i] != l {
			t.Errorf("%s: %+v, given back %+v", name, r, s.back)
		}
	}
}

// TestMillis: a time in milliseconds is read exactly, so that equal ones are equal.
func TestMillis(t *testing.T) {
	for _, u := range []Unit{Seconds, Millis} {
		for _, n := range []string{"1700000000123", "1764460800001"} {
			if at := u.Parse(n); at.UnixMilli() != map[string]int64{"1700000000123": 1700000000123, "1764460800001": 1764460800001}[n] || at.Nanosecond()%1e6 != 0 {
				t.Errorf("%s in %s is %s", n, u, at)
			}
		}
	}
}
