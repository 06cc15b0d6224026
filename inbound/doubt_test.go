package inbound_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// TestNothingIsConfirmed: when the provider knows nothing of what unsigned webhooks
// tell, twenty times in a row, that is told once, and again only after it has known
// something.
func TestNothingIsConfirmed(t *testing.T) {
	a := newApp(t, nil)
	u := &upstream{plan: func(_ int, r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "known") {
			return says(200, r.URL.Path)
		}
		return says(404, "")
	}}
	b := latestBox(t, a, u, "debounce = \"0s\"\ngone = \"skip\"")
	b.run()
	n := 0
	told := func(of string, times int) int {
		want := map[string]inbound.State{"known": inbound.Applied, "made-up": inbound.Ignored}[of]
		for range times {
			n++
			b.post("/hook", fmt.Sprintf(`{"id":"%d","key":"%s%d"}`, n, of, n), nil)
			b.state(fmt.Sprint(n), want)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, word := range b.troubles {
			if !strings.Contains(word, `webhook "hook": the provider knows nothing of what its last 20 events tell`) {
				t.Errorf("told %q", word)
			}
		}
		return len(b.troubles)
	}
	for i, step := range []struct {
		of    string
		times int
		want  int
	}{{"made-up", 19, 0}, {"known", 1, 0}, {"made-up", 19, 0}, {"made-up", 1, 1}, {"made-up", 25, 1}, {"known", 1, 1}, {"made-up", 20, 2}} {
		if got := told(step.of, step.times); got != step.want {
			t.Errorf("step %d: told %d times, want %d", i+1, got, step.want)
		}
	}
}
