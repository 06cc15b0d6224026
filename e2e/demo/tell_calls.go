package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/e2e/faults"
)

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
	same, creates, kept, authorized, versioned := 0, 0, 0, 0, 0
	keys := map[string]bool{}
	for i, g := range groups {
		if o.calls[i].Method == http.MethodPost {
			creates++
		}
		if !slices.ContainsFunc(g, func(r faults.Request) bool { return !sameOperation(o.calls[i], g[0], r) }) && len(g) > 0 {
			same++
			keys[g[0].Header.Get("Idempotency-Key")] = true
			if o.calls[i].Own != "" {
				kept++
			}
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
	a.check("idempotency keys", creates == len(keys) && creates == 2*rounds, "%d for %d creates: %s", len(keys), creates, whose(kept, len(keys)-kept))
	holds := holding(strings.Join(o.environment, "\n"), s.gate.secrets())
	a.check("keys the application holds", len(holds) == 0 && len(o.environment) > 0, "%s in %d variables", noneOr(holds), len(o.environment))
	a.check("the provider saw the real key", authorized == len(o.sends), "in %d of %d sends, and no other", authorized, len(o.sends))
	a.check("the provider saw one version", versioned == len(o.sends) && len(version) == 1, "%s", strings.Join(slices.Collect(maps.Keys(version)), ", "))
}

// sameOperation reports whether the send r is an attempt of the call c whose first is first.
func sameOperation(c call, first, r faults.Request) bool {
	key := r.Header.Values("Idempotency-Key")
	if r.Method != c.Method || r.Target != c.Path || string(r.Body) != string(first.Body) || !slices.Equal(key, first.Header.Values("Idempotency-Key")) || c.Own != "" && !slices.Equal(key, []string{c.Own}) {
		return false
	}
	return c.Method == http.MethodPost && len(key) == 1 && key[0] != "" || c.Method == http.MethodGet && len(key) == 0
}

// whose says who made the idempotency keys.
func whose(apps, posterns int) string {
	switch {
	case apps+posterns == 0:
		return "none"
	case apps == 0:
		return "all Postern's"
	case posterns == 0:
		return "all the application's"
	}
	return fmt.Sprintf("%d its own, %d Postern's", apps, posterns)
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
