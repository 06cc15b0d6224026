package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/telemetry"
)

// sockets are what the service manager listens on for this process, by their
// FileDescriptorName: "proxy", "inbound", "connect", "admin", or that of a
// provider which has a listen of its own (systemd.socket(5), sd_listen_fds(3)). They stay open
// when the process ends, so that nobody is refused before the next one.
type sockets struct {
	files map[string]*os.File
	own   map[string]bool // which of the process's own listeners have theirs
	tel   *telemetry.Telemetry
}

func handedSockets(tel *telemetry.Telemetry) (*sockets, error) {
	s := &sockets{files: map[string]*os.File{}, own: map[string]bool{}, tel: tel}
	for _, f := range activation.Files(true) {
		if s.files[f.Name()] != nil {
			return nil, fmt.Errorf("the service manager gives two sockets called %q: give each a FileDescriptorName of its own", f.Name())
		}
		s.files[f.Name()] = f
	}
	return s, nil
}

// open returns the socket of that name, or binds address. shared says that it
// is the service manager's. Those of the process itself it gives once: a second
// one that asks is a provider of that name.
func (s *sockets) open(name, address string) (l net.Listener, shared bool, err error) {
	f := s.files[name]
	if f == nil {
		l, err = net.Listen("tcp", address)
		return l, false, err
	}
	if s.own[name] {
		return nil, false, fmt.Errorf("the socket %q of the service manager cannot serve two: rename the provider %[1]q, which has listen, or take that away", name)
	}
	s.own[name] = isOwn(name)
	if l, err = net.FileListener(f); err != nil {
		return nil, false, fmt.Errorf("take the socket %q of the service manager: %w", name, err)
	}
	if err := s.check(name, address, l.Addr()); err != nil {
		return nil, false, errors.Join(err, l.Close())
	}
	return l, true, nil
}

// check refuses what is no TCP socket, and one that more can reach than the
// address in the configuration, which decides who has to prove who they are.
func (s *sockets) check(name, configured string, actual net.Addr) error {
	tcp, ok := actual.(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("the socket %q of the service manager is on %s: it has to be a TCP socket", name, actual)
	}
	if strings.TrimPrefix(configured, "localhost") != configured {
		configured = "127.0.0.1" + strings.TrimPrefix(configured, "localhost")
	}
	at, err := netip.ParseAddrPort(configured)
	if strings.HasPrefix(configured, ":") {
		at, err = netip.ParseAddrPort("[::]" + configured)
	}
	if err == nil && int(at.Port()) == tcp.Port && (at.Addr() == tcp.AddrPort().Addr().Unmap() || at.Addr().IsUnspecified() && tcp.IP.IsUnspecified()) {
		return nil
	}
	if name != "inbound" && name != "connect" && !tcp.IP.IsLoopback() && err == nil && at.Addr().IsLoopback() {
		return fmt.Errorf("the socket %q of the service manager is on %s, which others can reach, and the configuration says %s: make the two the same", name, actual, configured)
	}
	s.tel.Transition(slog.LevelWarn, "the service manager's socket is used, not the address in the configuration",
		slog.String("socket", name), slog.String("address", actual.String()), slog.String("configured", configured))
	return nil
}

// isOwn reports whether a socket of this name is for the process itself, not for
// a provider.
func isOwn(name string) bool {
	return name == "proxy" || name == "inbound" || name == "connect" || name == "admin"
}

// unused lists the sockets that nothing is called like.
func (s *sockets) unused(l *loaded) (names []string) {
	for name := range s.files {
		p := l.outbound.Provider(name)
		if !isOwn(name) && (p == nil || p.Listen == "") || name == "connect" && l.Connect == nil {
			names = append(names, name)
		}
	}
	return names
}

// listen binds every listener.
func (g *gate) listen(l *loaded) (err error) {
	for _, name := range g.sockets.unused(l) {
		g.tel.Transition(slog.LevelWarn, "a socket of the service manager is not used: it is called neither proxy, inbound, connect nor admin, nor like a provider that has listen; or the policy has no such listener", slog.String("socket", name))
	}
	if err := g.proxy.Listen(); err != nil {
		return err
	}
	g.receiver = g.inbox.Server()
	if l.Inbound.TLS != nil {
		if g.receiver.TLSConfig, err = l.Inbound.TLS.Load("h2", "http/1.1"); err != nil {
			return err
		}
	}
	g.drainer = drain.New(g.receiver, inbound.Refusal)
	bound, shared, err := g.sockets.open("inbound", g.receiver.Addr)
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	g.webhooks = g.drainer.Listener(bound, shared)
	if err := g.openConnect(l); err != nil {
		return err
	}
	if g.admin, err = g.newAdmin(l); err != nil {
		return err
	}
	g.protect(l)
	return nil
}

// serveWebhooks serves the inbox until it is shut down.
func (g *gate) serveWebhooks() error {
	serve := g.receiver.Serve
	if g.receiver.TLSConfig != nil {
		serve = func(l net.Listener) error { return g.receiver.ServeTLS(l, "", "") }
	}
	if err := serve(g.webhooks); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve webhooks: %w", err)
	}
	return nil
}
