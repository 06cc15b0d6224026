package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-proxy/postern/store"
)

// peer is one way for the load to reach the upstream, or one inbox.
type peer struct {
	name    string
	about   string // how it is set up, for the reader
	missing string // why it is not measured
	only    string // prefix list of the scenarios it takes part in, separated by blanks; empty means all of its side
	side    string // outbound, credential, keyed, inbound, postgres or shared
	child   *child // whose CPU and memory are measured; nil for direct
	door    door
	others  []*child // further processes of the same peer, measured with it
	inbox   string   // address of an inbound listener
	inboxes []string // or of several, used in turn
	path    string   // and the path events go to
	heap    func(context.Context) (heap, error)
	stored  func(context.Context) (int, error) // events on disk; nil when it cannot tell
	profile string                             // URL of its CPU profile
	policed bool                               // it must add the credential, version and key
	tokens  int                                // so many times it must ask for one
	settle  func(context.Context, int) error   // waits until n events are applied
	local   func(workers int) []op             // instead of connections: work that the load generator does itself
	// share measures a share by itself, instead of driving a load.
	share    func(ctx context.Context, f *field, s scenario, p *peer, length time.Duration) (sample, error)
	executed func(context.Context) (int, error) // statements executed so far in its database; nil where there is none
	calls    int                                // made so far, unmeasured ones too
	spoiled  bool                               // a call failed: its counts mean nothing any more
}

func (p *peer) takes(s scenario) bool {
	if p.side != s.side {
		return false
	}
	if p.only == "" {
		return true
	}
	for _, prefix := range strings.Fields(p.only) {
		if strings.HasPrefix(s.name, prefix) {
			return true
		}
	}
	return false
}

// clientTLS is how the load generator speaks TLS: verified, and X25519 only, so that no peer is measured by another's
// choice of key exchange.
func clientTLS(pool *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: pool, ServerName: host, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// field is everything that was started for a run.
type field struct {
	dir      string
	certs    authority
	upstream *child
	control  string // the upstream's control address
	peers    []*peer
	cluster  *cluster         // nil unless something on PostgreSQL is measured
	stores   []store.Database // open in this process
}

// stop ends every process that was started, the upstream last.
func (f *field) stop() {
	stopped := map[*child]bool{nil: true}
	for _, p := range f.peers {
		for _, c := range append(p.others, p.child) {
			if !stopped[c] {
				c.stop()
				stopped[c] = true
			}
		}
	}
	for _, db := range f.stores {
		_ = db.Close()
	}
	if f.cluster != nil {
		_ = f.cluster.close()
	}
	if f.upstream != nil {
		f.upstream.stop()
	}
}

// start starts the upstream and every peer that the settings ask for. On an error nothing is left running.
func start(ctx context.Context, set settings, dir string) (*field, error) {
	f := &field{dir: dir}
	certs, err := newAuthority(dir)
	if err != nil {
		return nil, err
	}
	f.certs = certs
	up, at, err := startRole(ctx, dir, "upstream", "-certs", dir, fmt.Sprintf("-h2=%v", set.UpstreamH2))
	if err != nil {
		return nil, err
	}
	f.upstream, f.control = up, at.Control
	f.peers = []*peer{{name: "direct", about: "no proxy", side: "outbound", door: door{addr: at.Addr, tls: clientTLS(certs.pool)}}}
	for _, add := range []func() ([]*peer, error){
		func() ([]*peer, error) { return startGoproxy(ctx, set, f, at.Addr, "goproxy", "ecdsa") },
		func() ([]*peer, error) { return startGoproxy(ctx, set, f, at.Addr, "goproxy-rsa", "rsa") },
		func() ([]*peer, error) { return startNginx(ctx, set, f, at.Addr) },
		func() ([]*peer, error) {
			return startInbox(ctx, set, f, "inbound", "sqlite", "one SQLite transaction per event")
		},
		func() ([]*peer, error) {
			return startInbox(ctx, set, f, "inbound", "append", "grouped fsync of an append-only file")
		},
		func() ([]*peer, error) {
			return startInbox(ctx, set, f, "storm", "append", "grouped fsync of an append-only file; it notices no duplicate")
		},
		func() ([]*peer, error) {
			found, err := startInbox(ctx, set, f, "inbound", "append-listener", "Postern's own listener over the same append-only file")
			for _, p := range found {
				p.only = "inbound"
			}
			return found, err
		},
		func() ([]*peer, error) { return startPostern(ctx, set, f, at.Addr) },
		func() ([]*peer, error) { return startCredentials(ctx, set, f, at.Addr) },
		func() ([]*peer, error) { return startKeyed(ctx, set, f, at.Addr) },
		func() ([]*peer, error) { return startPostgres(ctx, set, f) },
		func() ([]*peer, error) { return startShared(ctx, set, f) },
	} {
		more, err := add()
		f.peers = append(f.peers, more...)
		if err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

// leftOut is the row of a peer that the -peers flag does not name.
func leftOut(set settings, name string) bool { return !set.Peers.MatchString(name) }

func startGoproxy(ctx context.Context, set settings, f *field, upstream, name, leaf string) ([]*peer, error) {
	if leftOut(set, name) {
		return nil, nil
	}
	ca := filepath.Join(f.dir, name+"-ca.pem")
	c, at, err := startRole(ctx, f.dir, "goproxy", "-certs", f.dir, "-upstream", upstream, "-protocol", set.GoproxyUp, "-leaf", leaf, "-ca", ca)
	if err != nil {
		return nil, err
	}
	p := &peer{
		name: name, side: "outbound", child: c, heap: roleHeap(at), profile: profileURL(at.Control),
		about: "elazarl/goproxy MITM, " + leaf + " leaves, certificate and ticket keys cached, pooled " + set.GoproxyUp + " upstream, no policy",
	}
	if leaf == "rsa" {
		p.only = "fresh resume"
	}
	pool, err := trust(ca)
	p.door = door{addr: at.Addr, connect: true, tls: clientTLS(pool)}
	return []*peer{p}, err
}

func startInbox(ctx context.Context, set settings, f *field, side, role, about string) ([]*peer, error) {
	if leftOut(set, role) {
		return nil, nil
	}
	dir := filepath.Join(f.dir, side)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c, at, err := startRole(ctx, f.dir, role, "-dir", dir)
	if err != nil {
		return nil, err
	}
	return []*peer{{
		name: role, about: about, side: side, child: c, inbox: at.Addr, path: "/now", heap: roleHeap(at), profile: profileURL(at.Control),
		stored: func(ctx context.Context) (int, error) {
			var n int
			err := fetchJSON(ctx, "http://"+at.Control+"/stored", &n)
			return n, err
		},
	}}, nil
}

func roleHeap(at ready) func(context.Context) (heap, error) {
	return func(ctx context.Context) (heap, error) {
		var h heap
		err := fetchJSON(ctx, "http://"+at.Control+"/heap", &h)
		return h, err
	}
}

func profileURL(addr string) string { return "http://" + addr + "/debug/pprof/profile" }

// errGone is the answer about a peer that ended by itself.
var errGone = errors.New("it has ended")

// alive fails when the peer's process ended.
func (p *peer) alive() error {
	for _, c := range p.processes() {
		select {
		case <-c.done:
			return fmt.Errorf("%s: %w: %s", p.name, errGone, c.tail())
		default:
		}
	}
	return nil
}

// processes are those that do the peer's work; none for direct.
func (p *peer) processes() []*child {
	if p.child == nil {
		return nil
	}
	return append([]*child{p.child}, p.others...)
}
