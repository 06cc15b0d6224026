package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

type adminServer struct {
	net.Listener
	http http.Server
}

func (g *gate) newAdmin(l *loaded) (*adminServer, error) {
	ln, err := net.Listen("tcp", l.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for admin: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !g.ready.Load() {
			w.WriteHeader(503)
		}
	})
	mux.Handle("/metrics", g.tel.Handler())
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/allocs", pprof.Handler("allocs").ServeHTTP)
	return &adminServer{ln, http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func (a *adminServer) serve() error {
	if err := a.http.Serve(a.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *adminServer) shutdown(ctx context.Context) error { return a.http.Shutdown(ctx) }
