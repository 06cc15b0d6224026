package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

// letters is where stages have calls kept: the outbox, once there is one.
type letters struct{ held atomic.Pointer[outbox.Outbox] }

// Keep implements [deadletter.Letters].
func (l *letters) Keep(x *policy.Exchange, r *http.Request, resp *http.Response, err error, unknown bool) {
	if o := l.held.Load(); o != nil {
		o.Keep(x, r, resp, err, unknown)
	}
}

// Waiting implements [deadletter.Letters].
func (l *letters) Waiting(provider string) bool {
	o := l.held.Load()
	return o != nil && o.Waiting(provider)
}

// Succeeded implements [deadletter.Letters].
func (l *letters) Succeeded(x *policy.Exchange, r *http.Request, window time.Duration) {
	if o := l.held.Load(); o != nil {
		o.Succeeded(x, r, window)
	}
}

// openOutbox makes what keeps and sends calls.
func (g *gate) openOutbox(l *loaded) {
	g.outbox = outbox.New(outbox.Options{
		Store: g.db.Outbox(), Ring: g.vault.ring, Observer: g.tel.Outbox(), Retain: l.Store.Retain.Duration, Grace: graceDeliveries,
		Policy: func() *policy.Set {
			if now := g.now.Load(); now != nil {
				return now.outbound
			}
			return l.outbound
		},
		Send:     g.sendKept,
		Location: func(id string) string { return g.adminAt() + "/api/v1/outbox/calls/" + id },
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (*g.deliveries.Load())(ctx, network, address)
		},
		Alone: g.alone, Poll: g.poll(),
	})
	g.letters.held.Store(g.outbox)
	g.tel.OutboxStats(g.outbox.Stats)
	g.handler.Accept = func(x *policy.Exchange, r *http.Request) (proxy.Accepted, error) {
		a, err := g.outbox.Accept(x, r)
		if err != nil {
			return proxy.Accepted{}, err
		}
		return proxy.Accepted{ID: a.ID, Location: a.Location, Status: string(a.State)}, nil
	}
}

// adminAt is the URL of the admin listener, by the address that is bound.
func (g *gate) adminAt() string {
	c := *g.now.Load().Config
	bound := *c.Admin
	bound.Listen = g.admin.Addr().String()
	c.Admin = &bound
	return adminURL(&c)
}

// sendKept sends a call of the outbox by way of the policy in force.
func (g *gate) sendKept(r *http.Request, e outbox.Envelope) (*http.Response, *policy.Exchange, error) {
	x := &policy.Exchange{ID: e.ID, Client: e.Client, Account: e.Account, Tags: e.Tags, Unsure: e.Unsure, Decided: e.Decided, Stored: true}
	resp, err := g.handler.Send(x, e.Provider, r)
	return resp, x, err
}

// keepsCalls reports whether a policy stores calls.
func keepsCalls(set *policy.Set) bool {
	for _, name := range set.Providers() {
		for _, plan := range set.Provider(name).Plans() {
			for _, st := range plan.Stages {
				if keepsCall(st) {
					return true
				}
			}
		}
	}
	return false
}

func keepsCall(st policy.PlannedStage) bool { return st.Name == "deadletter" || st.Name == "async" }
