package policy_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy"
)

const tenantPolicy = `
	retry {
		attempts = 2
		budget   = 1
		backoff {
			first  = "100ms"
			jitter = "none"
		}
	}
	breaker {
		calls = 3
		open  = "10s"
	}
	limit "mine" {
		rate  = "1/s"
		burst = 4
		by    = account
		wait  = "0s"
	}
	cooldown { wait = "0s" }
	idempotency { header = "Idempotency-Key" }
	credential "bearer" { token = [env("NEW"), env("OLD")] }
`

// move is one thing that a tenant does.
type move struct {
	tenant int
	method string
	status int           // the provider's answer to this tenant
	wait   time.Duration // before it
}

// TestC45Tenancy: what one account does never changes what happens to another:
// in any interleaving an account sees what it sees alone. The calls of the two
// have the same keys, paths and bodies. None repeats its own: the budget of retries
// is the provider's, and a repeat comes out of it.
func TestC45Tenancy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) move {
			return move{
				rapid.IntRange(0, 1).Draw(rt, "tenant"), rapid.SampledFrom([]string{"GET", "POST"}).Draw(rt, "method"),
				rapid.SampledFrom([]int{200, 404, 429, 500, 503}).Draw(rt, "status"), time.Duration(rapid.IntRange(0, 4000).Draw(rt, "ms")) * time.Millisecond,
			}
		}), 1, 25).Draw(rt, "moves")
		var both, alone [2][]string
		synctest.Test(t, func(t *testing.T) { both = tenants(t, moves, -1) })
		for who := range alone {
			synctest.Test(t, func(t *testing.T) { alone[who] = tenants(t, moves, who)[who] })
			if !slices.Equal(both[who], alone[who]) {
				rt.Fatalf("tenant %d sees\n%s\nalone it sees\n%s", who, strings.Join(both[who], "\n"), strings.Join(alone[who], "\n"))
			}
		}
	})
}

// tenants plays the moves of one tenant, or of both with -1, at the same
// instants, and lists what each saw.
func tenants(t *testing.T, moves []move, only int) (saw [2][]string) {
	var now move
	h := compile(t, func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
		return &http.Response{StatusCode: now.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
	}, tenantPolicy)
	at := time.Now()
	for _, m := range moves {
		at = at.Add(m.wait + 200*time.Millisecond) // longer than any call takes
		if only >= 0 && m.tenant != only {
			continue
		}
		time.Sleep(time.Until(at))
		now = m
		name := string(rune('A' + m.tenant))
		x, resp, err := h.do(call{method: m.method, path: "/x", body: "same", account: name, header: http.Header{"Idempotency-Key": {fmt.Sprint(len(saw[m.tenant]))}}})
		line := fmt.Sprintf("%s: %d attempts, %v", m.method, x.Attempts, err)
		if err == nil {
			line = fmt.Sprintf("%s: %d attempts, %d", m.method, x.Attempts, resp.StatusCode)
		}
		saw[m.tenant] = append(saw[m.tenant], line)
	}
	return saw
}
