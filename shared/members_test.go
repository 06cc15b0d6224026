package shared

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMembers(t *testing.T) {
	for name, url := range map[string]string{
		"miniredis": "redis://" + miniredis.RunT(t).Addr(),
		"redis":     peers.RedisFor(t, peers.RedisOptions{}).URL(),
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Members(t, func(t *testing.T) (a, b replica.Members) {
				return open(t, url, t.Name(), nil).Members(), open(t, url, t.Name(), nil).Members()
			})
		})
	}
}

// TestMembersWiped: a Redis that forgot everybody has them again with their next
// beat, and one that is gone is an error, soon.
func TestMembersWiped(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	m := open(t, s.URL(), "x", nil).Members()
	a, b := replica.Self("a", "1"), replica.Self("b", "1")
	see := func(who replica.Replica, want int) {
		t.Helper()
		if list, err := m.Beat(t.Context(), who, time.Minute); err != nil || len(list) != want {
			t.Errorf("%v, %v: want %d", list, err, want)
		}
	}
	see(a, 1)
	see(b, 2)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	see(a, 1)
	see(b, 2)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if list, err := m.Beat(t.Context(), a, time.Minute); err == nil || time.Since(start) > 2*time.Second {
		t.Errorf("%v, %v after %v", list, err, time.Since(start))
	}
}
