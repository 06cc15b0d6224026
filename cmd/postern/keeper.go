package main

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// endpointIdle is how long an authorization server may be silent within an answer.
const endpointIdle = 10 * time.Second

// openKeeper makes what keeps the tokens of accounts.
func (g *gate) openKeeper() {
	g.keeper = connection.NewKeeper(connection.Options{
		Store: g.db.Connections(), Ring: g.vault.ring, Holder: g.self.ID, Shared: g.db.Members() != nil,
		Observer: g.tel, Guard: g.secrets.Guard, Random: rand.Float64,
	})
	g.live.Keeper, g.live.Guard = g.keeper, g.secrets.Guard
	g.live.Do = func(w credential.Way, r *http.Request) (*http.Response, bool, error) { return ask(g.transport, w, r) }
}

// tend does for connections what no call does.
func (g *gate) tend(ctx context.Context) { g.alone(ctx, "connections", g.keeper.Tend) }

// endKeeper waits for renewals that are under way: an answer that nobody stores
// is a grant that is lost.
func (g *gate) endKeeper() error {
	if g.keeper == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), graceRenewals)
	defer cancel()
	return g.keeper.Close(ctx)
}

// ended takes note of an event by which a provider says that it has ended a grant.
func (g *gate) ended(ctx context.Context, provider, account, event string) error {
	_, err := g.keeper.EndedBy(ctx, provider, account, "the provider says that the grant has ended", "webhook "+event)
	return err
}

// sources lists how the tokens of a policy are had.
func sources(set *policy.Set) (list []*connection.Source) {
	seen := map[*connection.Source]bool{}
	for _, name := range set.Providers() {
		for _, plan := range set.Provider(name).Plans() {
			for _, st := range plan.Stages {
				if s, ok := st.Holds.(*connection.Source); ok && !seen[s] {
					seen[s] = true
					list = append(list, s)
				}
			}
		}
	}
	return list
}

// ask sends a request to an authorization server: by way of the guard and the
// transport of all calls, but of no policy. It is sent once.
func ask(transport http.RoundTripper, w credential.Way, r *http.Request) (resp *http.Response, executed bool, err error) {
	id, _ := uuid.NewV7() // fails only if the system has no randomness, which ends the program
	x := &policy.Exchange{ID: id.String(), Start: time.Now(), Request: r, Plan: &policy.Plan{Provider: w.Provider + " (token endpoint)"}}
	switch {
	case w.Upstream != nil:
		x.Plan.Upstream = w.Upstream
	case w.Named:
		x.Plan.Upstream = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}
	}
	x.Certificate = w.Certificate
	x.Body = policy.NewBody(r.Body, r.ContentLength, 0)
	x.Total, _ = r.Context().Deadline()
	x.Idle = endpointIdle
	out := r.Clone(policy.With(r.Context(), x))
	out.Body = nil
	if up := w.Upstream; up != nil && net.ParseIP(up.Hostname()) == nil {
		out.Host = up.Host // as for calls
	} else if out.Host == "" {
		out.Host = out.URL.Host
	}
	x.Began()
	if resp, err = transport.RoundTrip(out); err != nil {
		return nil, x.Now.Alone() != policy.No, err
	}
	return resp, true, nil
}
