package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
)

// badDays says what happens to which of the calls at Stripe, counted from 0,
// before it succeeds. A round is: create a customer, read it, create a charge,
// read it.
func badDays() map[int][]faults.Step {
	down := faults.Answer(http.StatusServiceUnavailable, `{"error":{"type":"api_error","message":"try again"}}`, "Content-Type", "application/json")
	slower := faults.Answer(http.StatusTooManyRequests, `{"error":{"type":"rate_limit_error"}}`, "Content-Type", "application/json", "Retry-After", "1")
	lost := faults.ResetRead() // the request has arrived whole, the answer is never seen
	return map[int][]faults.Step{
		4:  {down, down},
		6:  {lost},
		9:  {down},
		12: {slower},
		14: {lost, down},
		17: {lost},
		19: {slower},
	}
}

// outgoing is what both ends of the calls saw.
type outgoing struct {
	environment []string // of the application
	calls       []call   // at Stripe
	unsafe      call     // at the ledger
	sends       []faults.Request
	unsafeSends []faults.Request
}

// calls runs the application.
func (s *stage) calls(ctx context.Context) (*outgoing, error) {
	var script []faults.Step
	bad := badDays()
	for i := range 4 * rounds {
		script = append(append(script, bad[i]...), faults.Pass())
	}
	s.stripe.Script(script...)
	s.ledger.Script(faults.ResetRead())
	s.account.step("calls", "%s makes %d at Stripe, which has a bad day, and one at a ledger", s.client.name, 4*rounds)
	begun := time.Now()
	out, err := s.gate.command(ctx, append([]string{"exec", "-c", s.gate.dir, "--"}, s.client.args...)...)
	if err != nil {
		return nil, fmt.Errorf("the application: %w", err)
	}
	s.account.step("", "done after %s", short(time.Since(begun)))
	o := &outgoing{sends: s.stripe.Requests(), unsafeSends: s.ledger.Requests()}
	return o, o.read(out)
}

// read takes the application's output apart.
func (o *outgoing) read(out string) error {
	all := strings.Split(strings.TrimSpace(out), "\n")
	if len(all) < 2 {
		return fmt.Errorf("the application printed only %q", out)
	}
	var first struct{ Environment []string }
	if err := json.Unmarshal([]byte(all[0]), &first); err != nil {
		return fmt.Errorf("the application's environment: %w", err)
	}
	o.environment = first.Environment
	for _, line := range all[1:] {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return fmt.Errorf("the application's output %q: %w", line, err)
		}
		o.calls = append(o.calls, c)
	}
	o.unsafe = o.calls[len(o.calls)-1]
	o.calls = o.calls[:len(o.calls)-1]
	return nil
}

// of splits the sends into those of each call, by what Postern says.
func (o *outgoing) of() (groups [][]faults.Request) {
	rest := o.sends
	for _, c := range o.calls {
		n := min(max(c.attempts(), 0), len(rest))
		groups = append(groups, rest[:n])
		rest = rest[n:]
	}
	return groups
}

func (c call) attempts() (n int) {
	fmt.Sscan(c.Postern["attempts"], &n)
	return n
}

// tellCalls is the account of the calls at Stripe.
func (s *stage) tellCalls(o *outgoing) {
	a := s.account
	a.title("Calls to Stripe, by " + s.client.name)
	groups, answered, attempts, retried := o.of(), 0, 0, 0
	a.line("%-5s%-33s%-20s%-20s%s", "call", "", "the provider", "the application", "attempts")
	for i, c := range o.calls {
		attempts += c.attempts()
		if c.Status == http.StatusOK && c.Error == "" && c.Postern["source"] == "provider" && c.Postern["outcome"] == "ok" {
			answered++
		}
		if c.attempts() > 1 || c.Status != http.StatusOK {
			retried++
			a.line("%-5d%-33s%-20s%-20s%d", i+1, fmt.Sprintf("%-4s %.26s", c.Method, c.Path), onTheWire(groups[i]), fmt.Sprint(c.Status), c.attempts())
		}
	}
	a.line("%-5s%-33s%-20s%-20s%s", "", fmt.Sprintf("%d others", len(o.calls)-retried), "200", "200", "1")
	a.blank()
	if c := firstError(o.calls); c != nil {
		a.line("the first that went wrong: %s %s: %d %s", c.Method, c.Path, c.Status, c.Error)
	}
	a.check("the application saw 200", answered == 4*rounds && len(o.calls) == 4*rounds, "%d of %d times", answered, 4*rounds)
	planned := 0
	for _, steps := range badDays() {
		planned += len(steps)
	}
	a.check("calls that were retried", retried == len(badDays()), "%d, for %d failures", retried, planned)
	a.check("attempts", attempts == len(o.sends) && attempts == 4*rounds+planned, "%d by Postern-Attempts, %d on the wire", attempts, len(o.sends))
	s.tellSends(o, groups)
}

// tellSends is about what the provider saw.
func (s *stage) tellSends(o *outgoing, groups [][]faults.Request) {
	a := s.account
	same, creates, authorized, versioned := 0, 0, 0, 0
	keys := map[string]bool{}
	for i, g := range groups {
		if o.calls[i].Method == http.MethodPost {
			creates++
		}
		if !slices.ContainsFunc(g, func(r faults.Request) bool { return !sameOperation(o.calls[i], g[0], r) }) && len(g) > 0 {
			same++
			keys[g[0].Header.Get("Idempotency-Key")] = true
		}
	}
	delete(keys, "")
	version := map[string]bool{}
	for _, r := range o.sends {
		if slices.Equal(r.Header.Values("Authorization"), []string{"Bearer " + s.gate.stripeKey}) {
			authorized++
		}
		if v := r.Header.Values("Stripe-Version"); len(v) == 1 {
			version[v[0]] = true
			versioned++
		}
	}
	a.check("attempts of a call are one operation", same == len(o.calls), "%d of %d calls: same path, body, key", same, len(o.calls))
	a.check("idempotency keys", creates == len(keys) && creates == 2*rounds, "%d, one for each of %d creating calls", len(keys), creates)
	holds := holding(strings.Join(o.environment, "\n"), s.gate.secrets())
	a.check("keys the application holds", len(holds) == 0 && len(o.environment) > 0, "%s in %d variables", noneOr(holds), len(o.environment))
	a.check("the provider saw the real key", authorized == len(o.sends), "in %d of %d sends, and no other", authorized, len(o.sends))
	a.check("the provider saw one version", versioned == len(o.sends) && len(version) == 1, "%s", strings.Join(slices.Collect(maps.Keys(version)), ", "))
}

// sameOperation reports whether the send r is an attempt of the call c whose first is first.
func sameOperation(c call, first, r faults.Request) bool {
	key := r.Header.Values("Idempotency-Key")
	if r.Method != c.Method || r.Target != c.Path || string(r.Body) != string(first.Body) || !slices.Equal(key, first.Header.Values("Idempotency-Key")) {
		return false
	}
	return c.Method == http.MethodPost && len(key) == 1 && key[0] != "" || c.Method == http.MethodGet && len(key) == 0
}

// tellUnsafe is the account of the one call that may not be sent again.
func (s *stage) tellUnsafe(o *outgoing) {
	a, c := s.account, o.unsafe
	a.title("A call to a provider that knows no idempotency keys")
	a.line("POST https://%s%s was received, and then the connection broke.", ledgerHost, c.Path)
	a.blank()
	a.check("sent", len(o.unsafeSends) == 1 && c.attempts() == 1, "%d on the wire, %d by Postern-Attempts", len(o.unsafeSends), c.attempts())
	a.check("the application was told", c.Status == http.StatusBadGateway && c.Problem.Code == "unreachable" && c.Problem.Executed == "maybe" && c.Postern["executed"] == "maybe",
		"%d %s, executed: %s", c.Status, c.Problem.Code, c.Problem.Executed)
	if c.Problem.Hint != "" {
		a.blank()
		a.line("The hint in its answer: %s", c.Problem.Hint)
	}
	if c.Error != "" {
		a.line("it went wrong: %s", c.Error)
	}
}

// onTheWire is what the provider did to each attempt.
func onTheWire(sends []faults.Request) string {
	var did []string
	for _, r := range sends {
		if r.Status == 0 {
			did = append(did, "reset")
		} else {
			did = append(did, fmt.Sprint(r.Status))
		}
	}
	return strings.Join(did, ", ")
}

func firstError(calls []call) *call {
	i := slices.IndexFunc(calls, func(c call) bool { return c.Status != http.StatusOK || c.Error != "" })
	if i < 0 {
		return nil
	}
	return &calls[i]
}
