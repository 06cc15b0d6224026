package credential_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/clientcredentials"
)

// TestTokenAwaited: a call waits for a token as long as the whole call may last, and
// the provider has the attempt's time for itself. A call whose time is over says what
// it has waited for; the token is there for the next.
func TestTokenAwaited(t *testing.T) {
	const takes, attempt = 15 * time.Second, 10 * time.Second
	for _, c := range []struct {
		name  string
		total time.Duration
		late  bool
	}{{"longer than an attempt", time.Minute, false}, {"without a limit", 0, false}, {"longer than the call", 5 * time.Second, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newBench(t, func(live *credential.Live) policy.Feature {
					grant := live.Do
					live.Do = func(w credential.Way, r *http.Request) (*http.Response, bool, error) {
						time.Sleep(takes)
						return grant(w, r)
					}
					return clientcredentials.Feature(live)
				}, `
					token_url     = "https://auth.example.com/token"
					client_id     = "postern"
					client_secret = env("SECRET")`)
				start := time.Now()
				*s.x = policy.Exchange{Plan: s.plan, Account: account, Body: s.sent, Request: s.r, Deadline: start.Add(attempt)}
				if c.total > 0 {
					s.x.Total = start.Add(c.total)
				}
				_, err := s.rt.RoundTrip(s.r)
				var d *policy.Denial
				switch {
				case !c.late && (err != nil || s.x.Waited != takes || s.x.Deadline != start.Add(takes+attempt)):
					t.Errorf("%v; waited %v, and the provider has until %v", err, s.x.Waited, s.x.Deadline.Sub(start))
				case c.late && (!errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, "a new one is being asked for") || d.RetryAfter <= 0 || s.x.Waited != c.total):
					t.Errorf("after %v: %v", s.x.Waited, err)
				}
				time.Sleep(takes)
				s.call(t)
				if s.x.Waited != 0 {
					t.Errorf("the next call waited %v", s.x.Waited)
				}
			})
		})
	}
}
