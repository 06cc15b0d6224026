package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// wirePolicy retries without thrift, so that the budget does not hide a send.
const wirePolicy = `
provider "plain" {
  hosts    = ["api.plain.test"]
  upstream = "UPSTREAM"

  retry {
    attempts = 4
    budget   = 1
    backoff {
      first = "1ms"
      max   = "5ms"
    }
  }

  breaker {
    failures = 1
    calls    = 1000000
    window   = "30s"
    open     = "1s"
  }

  idempotency {
    header  = "Idempotency-Key"
    methods = ["PATCH"]
  }
}
`

// attempts reads how often Postern says that it sent.
func attempts(t *testing.T, a harness.Answer) int {
	t.Helper()
	n, err := strconv.Atoi(a.Header.Get("Postern-Attempts"))
	if err != nil {
		t.Errorf("%d without a count of attempts: %v", a.Status, a.Header)
	}
	return n
}

// impatient is a client that opens a connection for each call: one that keeps them alive would itself send a GET again
// when its connection breaks before an answer, unseen by the test.
func impatient(p *harness.Postern, http2 bool) *http.Client {
	c := p.Client(http2)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

// TestP7NoHiddenRetry compares, call by call, what arrived with what Postern says it sent. The requests are those that
// Go's transport repeats by itself when a kept-alive connection breaks or a stream is refused.
func TestP7NoHiddenRetry(t *testing.T) {
	eachTransport(t, nil, wirePolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		c := impatient(p, http2(t))
		const at = "https://api.plain.test/x"
		requests := []struct {
			method, body string
			header       []string
		}{
			{http.MethodGet, "", nil},
			{http.MethodHead, "", nil},
			{http.MethodDelete, "", nil},
			{http.MethodPut, "a=1", nil},
			{http.MethodPost, "", nil},
			{http.MethodPost, "a=1", nil},
			{http.MethodPost, "", []string{"Idempotency-Key", "k"}},
			{http.MethodPost, "a=1", []string{"X-Idempotency-Key", "k"}},
			{http.MethodPatch, "a=1", nil},
		}
		steps := []faults.Step{
			faults.ResetUnread(), faults.CloseUnread(), faults.ResetRead(), faults.CloseRead(), faults.ResetHalf(),
			faults.RefuseStream(), faults.GoAway(), faults.Answer(503, "no"), faults.Pass(),
		}
		for _, r := range requests {
			for _, step := range steps {
				// Two warm connections at least, so that a second stale one waits behind the first.
				provider.Forget()
				warm(t, c, at)
				provider.Forget()
				provider.Script(step, step)
				a, err := harness.Do(c, r.method, at, r.body, r.header...)
				if err != nil {
					t.Errorf("%s body %q %v, %v: %v", r.method, r.body, r.header, step, err)
					continue
				}
				if sent, said := provider.Sends(), attempts(t, a); sent != said {
					t.Errorf("%s body %q %v, %v: %d sends on the wire, Postern-Attempts %d (status %d)", r.method, r.body, r.header, step, sent, said, a.Status)
				}
			}
		}
	})
}

// warm leaves two idle connections to the provider where it speaks HTTP/1.1.
func warm(t *testing.T, c *http.Client, at string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := harness.Do(c, http.MethodGet, at+"/warm", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestIdleCloseIsCounted lets the provider close its idle connections at the very moment of the next call.
func TestIdleCloseIsCounted(t *testing.T) {
	eachTransport(t, nil, wirePolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		c := impatient(p, http2(t))
		provider.Forget()
		said := 0
		for i := range 100 {
			closed := make(chan struct{})
			go func() {
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // the race itself, not a wait
				provider.CloseIdle()
				close(closed)
			}()
			method := []string{http.MethodGet, http.MethodPost}[i%2]
			a := call(t, c, method, "https://api.plain.test/x", "")
			said += attempts(t, a)
			<-closed
		}
		// A request that met a connection already closed may never have been read: it is said, and did not arrive.
		if sent := provider.Sends(); sent > said {
			t.Errorf("%d sends on the wire, %d said", sent, said)
		}
	})
}

// TestWireCountUnderChaos sums over many concurrent calls with faults of every kind between them, and compares with
// the metric too.
func TestWireCountUnderChaos(t *testing.T) {
	calls := 300 * harness.Soak()
	eachTransport(t, nil, wirePolicy, func(t *testing.T, provider *faults.Server, p *harness.Postern) {
		steps := []faults.Step{faults.Answer(503, "no"), faults.Answer(429, "slow", "Retry-After", "0"), faults.RefuseStream()}
		if h1 := call(t, p.Client(true), http.MethodGet, "https://api.plain.test/x", ""); h1.Status == 200 && provider.Requests()[0].Proto == "HTTP/1.1" {
			// What breaks an HTTP/2 connection also loses the other calls' frames that are still on their way: said,
			// sent, and never read here. The equation is exact where a connection carries one call at a time.
			steps = append(steps, faults.ResetUnread(), faults.ResetRead(), faults.CloseRead(), faults.ResetHalf())
		}
		provider.Plan(func(n int) faults.Step {
			if i := n * 7919 % 23; i < len(steps) {
				return steps[i]
			}
			return faults.Pass()
		})
		var mu sync.Mutex
		said, statuses := 1, map[string]int{} // the call above
		var wg sync.WaitGroup
		next := make(chan int)
		for w := range 8 {
			c := impatient(p, w%2 == 0)
			wg.Go(func() {
				for i := range next {
					method := []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete}[i%4]
					a, err := harness.Do(c, method, "https://api.plain.test/x", map[bool]string{true: "a=1"}[i%4 > 0 && i%4 < 3])
					if err != nil {
						t.Errorf("%s: %v", method, err)
						continue
					}
					mu.Lock()
					said += attempts(t, a)
					statuses[fmt.Sprint(a.Status, " broken ", a.Broken != nil)]++
					mu.Unlock()
				}
			})
		}
		for i := range calls {
			next <- i
		}
		close(next)
		wg.Wait()
		t.Logf("%d calls, %d sends, %d connections: %v", calls, provider.Sends(), provider.Accepted(), statuses)
		if sent := provider.Sends(); sent != said {
			t.Errorf("%d sends on the wire, the answers say %d", sent, said)
		}
		if metric := int(p.Metric("postern_egress_attempts_total")); metric != said {
			t.Errorf("postern_egress_attempts_total %d, the answers say %d", metric, said)
		}
	})
}
