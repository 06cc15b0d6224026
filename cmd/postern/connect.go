package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/connect"
	"github.com/postern-proxy/postern/drain"
)

// connectServer is the connect listener, bound.
type connectServer struct {
	net.Listener
	*connect.Server
	http  *http.Server
	drain *drain.Drain
}

// openConnect binds the connect listener, if the policy has one.
func (g *gate) openConnect(l *loaded) error {
	if l.Connect == nil {
		return nil
	}
	c := &connectServer{Server: connect.New(l.Connect, connect.Options{
		Keeper: g.keeper, Store: g.db.Connections(), Ring: g.vault.ring, Log: g.tel.Log, Step: g.connectStep,
		NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	})}
	c.http = c.HTTP()
	if l.Connect.TLS != nil {
		var err error
		if c.http.TLSConfig, err = l.Connect.TLS.Load("h2", "http/1.1"); err != nil {
			return err
		}
	}
	c.drain = drain.New(c.http, connect.Refusal)
	bound, shared, err := g.sockets.open("connect", c.http.Addr)
	if err != nil {
		return fmt.Errorf("listen for customers who connect accounts: %w", err)
	}
	c.Listener = c.drain.Listener(bound, shared)
	g.connect = c
	return nil
}

// endConnect ends the connect listener: who is on the way back from a provider
// is served.
func (g *gate) endConnect(ctx context.Context) error {
	if g.connect == nil {
		return nil
	}
	return g.connect.drain.Shutdown(ctx, nil)
}

// session makes a link by which a customer connects an account.
func (g *gate) session(ctx context.Context, ask admin.NewConnectSession, by string) (admin.ConnectSession, error) {
	if g.connect == nil {
		return admin.ConnectSession{}, admin.Refuse(http.StatusUnprocessableEntity, "Write connect { public_url = \"https://connect.example.com\" } into the policy, with the address at which customers reach it, and start Postern anew.", "the policy has no connect listener, where customers would grant access")
	}
	s, err := g.connect.Open(ctx, connect.Request{Provider: ask.Provider, Account: ask.Account, Credential: ask.Credential, ReturnTo: ask.ReturnTo, By: by})
	if err != nil {
		return admin.ConnectSession{}, err
	}
	return admin.ConnectSession{
		URL: s.URL, Expires: s.Expires, Provider: s.Provider, Account: s.Account, Credential: s.Credential, Scopes: append([]string{}, s.Scopes...),
		ReturnTo: s.ReturnTo, ReturnToIgnored: s.ReturnToIgnored,
	}, nil
}

// connectStep logs what one browser did on its way.
func (g *gate) connectStep(s connect.Step) {
	attrs := []slog.Attr{slog.String("provider", s.Provider), slog.String("account", s.Account)}
	if s.Err != nil {
		attrs = append(attrs, slog.Any("error", s.Err))
	}
	g.tel.TransitionOf(s.ID, s.Level, s.What, attrs...)
}

// serve serves customers until the server is shut down.
func (c *connectServer) serve() error {
	serve := c.http.Serve
	if c.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return c.http.ServeTLS(l, "", "") }
	}
	if err := serve(c.Listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve customers who connect accounts: %w", err)
	}
	return nil
}
