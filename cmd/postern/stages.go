package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/allow"
	"github.com/postern-proxy/postern/policy/breaker"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/awssigv4"
	"github.com/postern-proxy/postern/policy/credential/basic"
	"github.com/postern-proxy/postern/policy/credential/bearer"
	"github.com/postern-proxy/postern/policy/credential/body"
	"github.com/postern-proxy/postern/policy/credential/clientcredentials"
	"github.com/postern-proxy/postern/policy/credential/githubapp"
	"github.com/postern-proxy/postern/policy/credential/header"
	"github.com/postern-proxy/postern/policy/credential/hmac"
	"github.com/postern-proxy/postern/policy/credential/httpsignature"
	"github.com/postern-proxy/postern/policy/credential/jwtbearer"
	"github.com/postern-proxy/postern/policy/credential/mtls"
	"github.com/postern-proxy/postern/policy/credential/oauth2"
	"github.com/postern-proxy/postern/policy/credential/path"
	"github.com/postern-proxy/postern/policy/credential/query"
	"github.com/postern-proxy/postern/policy/deadletter"
	fallbacks "github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/policy/look"
	"github.com/postern-proxy/postern/policy/outcome"
	"github.com/postern-proxy/postern/policy/reconcile"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/policy/timeout"
	"github.com/postern-proxy/postern/policy/upsert"
	"github.com/postern-proxy/postern/policy/version"
)

// observer is told what stages do beside what stands in the exchange.
type observer interface {
	limit.Observer
	Breaker(provider, endpoint string, open bool)
	VersionMismatch(provider string)
	ClockSkew(provider string, seconds float64)
	Echoed(provider, endpoint string, masked bool)
	Certificate(s policy.Scope, until time.Time, err error)
	CertificateEnds(s policy.Scope, until time.Time)
}

// means is what features live on that outlives every policy. Each may be left
// out: then it is of this process alone, or there is none.
type means struct {
	tokens  limit.Source       // of limits
	alive   func() int         // how many replicas there are
	live    *credential.Live   // the state of credentials
	letters deadletter.Letters // where calls are kept that have failed
	egress  look.Egress        // of what stages ask providers themselves
	answers *idempotency.Live  // where answers under idempotency keys are kept
	stale   *fallbacks.Kept    // where answers are kept for when a provider is down
}

// fill puts what is of this process alone where something was left out.
func (m *means) fill() (err error) {
	if m.alive == nil {
		m.alive = func() int { return 1 }
	}
	if m.tokens == nil {
		if m.tokens, err = limit.NewLocal(m.alive); err != nil {
			return err
		}
	}
	if m.live == nil {
		m.live = credential.NewLive()
	}
	if m.egress == nil {
		m.egress = func(string, string) func(*http.Request) (*http.Response, error) { return nowhere }
	}
	if m.answers == nil {
		m.answers = new(idempotency.Live)
	}
	if m.stale == nil {
		m.stale = fallbacks.NewKept()
	}
	return nil
}

// stages lists every feature in the order in which it sees a request,
// outermost first, whatever order the files have. A stage feels the ones below
// it and must not care about those above.
func stages(o observer, m means) ([]policy.Feature, error) {
	if err := m.fill(); err != nil {
		return nil, err
	}
	circuits, err := breaker.Feature(o.Breaker)
	if err != nil {
		return nil, err
	}
	cooldown, guard, err := limit.Cooldown(o)
	if err != nil {
		return nil, err
	}
	limits, err := limit.Feature(o, m.tokens, m.alive)
	if err != nil {
		return nil, err
	}
	live := m.live
	live.Skew, live.Echoed = o.ClockSkew, o.Echoed
	certificates := mtls.NewLive()
	certificates.Changed, certificates.Ends = o.Certificate, o.CertificateEnds
	return []policy.Feature{
		allow.Feature(),                    // may this leave?
		outbox.Feature(),                   // what becomes of calls that are handed over for later; no stage
		deadletter.Feature(m.letters),      // a final failure is kept
		fallbacks.Feature(m.stale),         // the last good answer while the provider cannot be asked
		idempotency.Feature(m.answers),     // one key for all attempts
		timeout.Total(),                    // of the call, waits and retries included
		upsert.Feature(m.egress),           // create or update: looks first
		reconcile.Feature(m.egress),        // looks when the effect is unknown
		retry.Feature(rand.Float64),        // the only place that sends again
		circuits,                           // sees every attempt
		cooldown,                           // holds back who was told to slow down
		limits,                             // count what really goes out
		guard,                              // of cooldown, for those who waited for a limit
		timeout.Attempt(),                  // of one attempt, without the waits above
		version.Feature(o.VersionMismatch), //
		mtls.Feature(certificates),         // credentials last: unseen by the others, afresh for each attempt
		bearer.Feature(live),
		basic.Feature(live),
		header.Feature(live),
		query.Feature(live),
		path.Feature(live),
		body.Feature(live),
		oauth2.Feature(live),
		clientcredentials.Feature(live),
		jwtbearer.Feature(live),
		githubapp.Feature(live),
		hmac.Feature(live), // these sign what the others put
		awssigv4.Feature(live),
		httpsignature.Feature(live),
		outcome.Fault(),   // code, message and request id of a failure
		outcome.Feature(), // reads the answer once; its verdict is what all above go by
	}, nil
}
