package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/policy"
)

// adminServer is the admin listener, bound.
type adminServer struct {
	net.Listener
	*admin.Server
	http *http.Server
}

// newAdmin binds the admin listener.
func (g *gate) newAdmin(l *loaded) (*adminServer, error) {
	version, revision := buildVersion()
	s := admin.New(l.Admin, admin.Options{
		Version: version, Revision: revision, Metrics: g.tel.Handler(), Log: g.tel.Log,
		Checks: append([]admin.Check{
			{Name: "config", Run: func(context.Context) error { return g.check(g.now.Load() != nil, "no configuration is in force") }},
			{Name: "listeners", Run: func(context.Context) error { return g.check(g.ready.Load(), "the listeners are not being served") }},
			{Name: "store", Run: g.db.Ready},
			{Name: "clock", Informs: true, Run: func(context.Context) error { return g.inbox.Clock() }},
		}, g.limitsCheck()...),
		Policy: func() *policy.Set { return g.now.Load().outbound },
		Inbox:  g.inbox, Oversight: g.overseer, Outbox: g.outbox, Running: g.running, Keeper: g.keeper, Connect: g.session,
		Reload: func(ctx context.Context) error {
			g.secrets.Again()
			return g.reload(ctx)
		},
	})
	if err := s.Ready(); err != nil {
		return nil, err
	}
	a := &adminServer{Server: s, http: s.HTTP()}
	var err error
	if a.Listener, _, err = g.sockets.open("admin", a.http.Addr); err != nil {
		return nil, fmt.Errorf("listen for admin: %w", err)
	}
	if l.Admin.TLS != nil {
		config, err := l.Admin.TLS.Load("h2", "http/1.1")
		if err != nil {
			return nil, errors.Join(err, a.Listener.Close())
		}
		a.Listener = tls.NewListener(a.Listener, config)
	}
	return a, nil
}

func (g *gate) check(ok bool, otherwise string) error {
	if ok {
		return nil
	}
	return errors.New(otherwise)
}

// running is what the admin listener says of this process.
func (g *gate) running() admin.Running {
	l := g.now.Load()
	r := admin.Running{
		Generation: int(g.generation.Load()), Loaded: *g.loadedAt.Load(), Refused: *g.refused.Load(),
		Listeners: []admin.Listener{
			{Name: "proxy", Address: g.proxy.Addr().String()}, {Name: "inbound", Address: g.webhooks.Addr().String()}, {Name: "admin", Address: g.admin.Addr().String()},
		},
	}
	if g.connect != nil {
		r.Listeners = append(r.Listeners, admin.Listener{Name: "connect", Address: g.connect.Addr().String()})
	}
	for _, name := range l.outbound.Providers() {
		if a := g.proxy.Port(l.outbound.Provider(name).Listen); a != nil {
			r.Listeners = append(r.Listeners, admin.Listener{Name: name, Address: a.String()})
		}
	}
	r.Replica = g.self.ID
	r.Store.Where = g.db.Where()
	r.Store.Promise, r.Store.Sure = g.db.Promise()
	for _, other := range g.roster.List() {
		r.Replicas = append(r.Replicas, admin.Replica{ID: other.ID, Version: other.Version, Started: other.Started, Seen: other.Seen})
	}
	return r
}

func (a *adminServer) serve() error {
	if err := a.http.Serve(a.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}

func (a *adminServer) shutdown(ctx context.Context) error { return a.http.Shutdown(ctx) }
