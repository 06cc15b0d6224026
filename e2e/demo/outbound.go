package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
	s.account.step("calls", "%d to Stripe, which has a bad day, and one to a ledger, by %s", 4*rounds, s.client.name)
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
