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

// TestMembersWiped: a Redis that forgot everybody is no reason to take oneself
// for the only one, until those who were known had time to give word. One that is
// gone is an error, soon.
func TestMembersWiped(t *testing.T) {
	s := peers.RedisFor(t, peers.RedisOptions{})
	place := [3]replica.Members{}
	for i := range place {
		place[i] = open(t, s.URL(), "x", nil).Members()
	}
	self := [3]replica.Replica{replica.Self("a", "1"), replica.Self("b", "1"), replica.Self("c", "1")}
	const within = 500 * time.Millisecond
	see := func(i int) int {
		t.Helper()
		list, err := place[i].Beat(t.Context(), self[i], within)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	see(0)
	see(1)
	see(2)
	if got := see(0); got != 3 {
		t.Fatalf("%d seen", got)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a, b := see(0), see(1); a != 3 || b < 2 {
			t.Errorf("after the wipe %d and %d were seen", a, b)
		}
	}
	for end := time.Now().Add(20 * time.Second); see(0)+see(1) != 4; time.Sleep(10 * time.Millisecond) { // the third never came again
		if time.Now().After(end) {
			t.Fatalf("%d and %d are seen", see(0), see(1))
		}
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if list, err := place[0].Beat(t.Context(), self[0], time.Minute); err == nil || time.Since(start) > 2*time.Second {
		t.Errorf("%v, %v after %v", list, err, time.Since(start))
	}
}
