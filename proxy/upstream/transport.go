package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/postern-proxy/postern/policy"
)

// Options configure a [Transport].
type Options struct {
	Guard          *Guard         // says which addresses may be dialled; nil lets public ones through
	RootCAs        *x509.CertPool // whom to believe; nil is the system
	HTTP1          bool           // do not offer HTTP/2
	Mirror         bool           // offer HTTP/2 only for requests that came over it, and to hosts that refuse HTTP/1.1
	ConnectTimeout time.Duration  // of a connection attempt where the policy sets none; default 10 s
	IdleTimeout    time.Duration  // for which an unused connection is kept; default 60 s
	IdlePerHost    int            // unused HTTP/1.1 connections kept per provider and host; default 256

	// Dial replaces the guard and the network, for tests that run in memory.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Transport sends requests to providers: it is what the innermost stage of
// every plan calls. Each RoundTrip is one attempt: it puts the request on the
// wire at most once, and fills in Now of the [policy.Exchange] in the request's
// context, whose Body is the body it sends.
//
// It follows no redirect, decodes nothing, adds neither User-Agent nor
// Accept-Encoding, keeps no cookie, ignores Alt-Svc, and always verifies TLS.
// An Expect header is not forwarded: by the time a request is here, its body
// is wanted.
type Transport struct {
	opt    Options
	pool   pool
	strict sync.Map // addresses that refuse HTTP/1.1
	h2     *http2Transport
}

// New returns a transport.
func New(opt Options) *Transport {
	if opt.Guard == nil {
		opt.Guard = new(Guard)
	}
	if opt.ConnectTimeout <= 0 {
		opt.ConnectTimeout = 10 * time.Second
	}
	if opt.IdleTimeout <= 0 {
		opt.IdleTimeout = 60 * time.Second
	}
	if opt.IdlePerHost <= 0 {
		opt.IdlePerHost = 256
	}
	t := &Transport{opt: opt, h2: newHTTP2(opt)}
	t.pool.entries = make(map[key]*entry)
	t.pool.idleTimeout, t.pool.idlePerHost = opt.IdleTimeout, opt.IdlePerHost
	return t
}

// CloseIdle closes the connections that are not in use; those in use are closed
// once they are not. Call it when a reload changes what may be dialled.
func (t *Transport) CloseIdle() { t.pool.closeIdle(false) }

// Close is [Transport.CloseIdle] for good: later attempts fail with [ErrClosed].
func (t *Transport) Close() { t.pool.closeIdle(true) }

// RoundTrip makes one attempt. It obeys the deadlines of the exchange: Until
// up to the response headers, Connect for the connection, Idle without progress
// afterwards. It returns
//
//   - [context.Cause] of the request's context if that ended,
//   - a [policy.Denial] of code not_allowed around a [*Refused] if the guard
//     refuses the address, of code bad_request if the request cannot be written,
//   - an error that wraps [ErrRequestBody] if the application broke off,
//   - an [*Error] for everything else.
//
// Reading the response's body fails likewise, and never ends in io.EOF before
// the provider said that it was whole. The body of a 101 is an
// [io.ReadWriteCloser].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := policy.From(req.Context())
	start := time.Now()
	resp, err := t.attempt(req.Context(), x, req)
	x.Upstream += time.Since(start)
	x.Now.Err = err
	return resp, err
}

func (t *Transport) attempt(ctx context.Context, x *policy.Exchange, req *http.Request) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	k, err := t.target(req, x)
	if err != nil {
		return nil, err
	}
	resp, err := t.over(ctx, x, req, k)
	if err != nil && k.mirrored && refusesHTTP1(err) {
		t.strict.Store(k.addr(), true)
		k.http1, k.mirrored = false, false
		return t.over(ctx, x, req, k)
	}
	return resp, err
}

// refusesHTTP1 reports whether a TLS handshake failed because HTTP/1.1 was all
// that was offered (RFC 7301 §3.2): nothing was sent. Package tls has no type
// for the alert.
func refusesHTTP1(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == OpTLS && strings.Contains(e.Err.Error(), "no application protocol")
}

// over makes the attempt over a connection of k.
func (t *Transport) over(ctx context.Context, x *policy.Exchange, req *http.Request, k key) (*http.Response, error) {
	if until := x.Until(); !until.IsZero() && !time.Now().Before(until) {
		return nil, &Error{OpDial, k.addr(), errDeadline, true}
	}
	out, err := newOutgoing(req, x, k)
	if err != nil {
		return nil, fault(ctx, OpWrite, k.addr(), err)
	}
	defer out.release()
	for tries := 1; ; tries++ {
		l, err := t.lease(ctx, x, k)
		if err != nil {
			var e *Error
			x.Now.Dialled = errors.As(err, &e) && e.Op == OpTLS
			return nil, err
		}
		x.Now.Dialled, x.Now.Connected, x.Now.Reused = true, true, l.reused()
		if l.h1 != nil {
			return l.h1.roundTrip(ctx, x, out)
		}
		resp, err := l.h2.roundTrip(ctx, x, out)
		if err != errNotTaken {
			return resp, err
		}
		if tries == 4 {
			return nil, fault(ctx, OpWrite, k.addr(), err)
		}
	}
}

// key says which connections a request may share. Nothing is shared between
// providers (claim C24), nor between an address asked for and one that a policy
// puts in its place, nor between client certificates (pitfall P8): who is on a
// connection speaks for the certificate that was shown on it.
type key struct {
	provider   string
	cert       string // ID of the client certificate, "" for none
	scheme     string
	host, port string // dialled, and verified
	named      bool   // by the policy
	http1      bool   // HTTP/2 is not wanted
	mirrored   bool   // because the application does not speak it
}

func (k *key) addr() string { return net.JoinHostPort(k.host, k.port) }

func (t *Transport) target(req *http.Request, x *policy.Exchange) (key, error) {
	u, k := req.URL, key{}
	if x.Plan != nil {
		k.provider = x.Plan.Provider
		if x.Plan.Upstream != nil {
			u, k.named = x.Plan.Upstream, true
		}
	}
	k.scheme, k.host, k.port = u.Scheme, u.Hostname(), u.Port()
	switch {
	case k.scheme == "https" && k.port == "":
		k.port = "443"
	case k.scheme == "http" && k.port == "":
		k.port = "80"
	case k.scheme != "https" && k.scheme != "http":
		return k, malformedRequest("A URL that is neither http nor https")
	}
	if k.host == "" {
		return k, malformedRequest("A URL without a host")
	}
	if x.Certificate != nil {
		if k.scheme == "http" {
			return k, clearText(k.addr())
		}
		k.cert = x.Certificate.ID()
	}
	k.http1 = t.opt.HTTP1 || upgradeOf(req.Header) != ""
	if t.opt.Mirror && !k.http1 && req.ProtoMajor < 2 {
		_, strict := t.strict.Load(k.addr())
		k.http1, k.mirrored = !strict, !strict
	}
	return k, nil
}

// dial makes a connection for k, TLS included.
func (t *Transport) dial(ctx context.Context, k key, e *entry) (net.Conn, Op, error) {
	dial := t.opt.Dial
	if dial == nil {
		dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.opt.Guard.dial(ctx, network, addr, k.named)
		}
	}
	raw, err := dial(ctx, "tcp", k.addr())
	if err != nil {
		return nil, OpDial, err
	}
	w := newWire(raw)
	if k.scheme == "http" {
		return w, "", nil
	}
	c, err := handshake(ctx, w, k, e)
	if err != nil {
		raw.Close()
		if denial, ok := k.refusal(err); ok {
			err = denial
		}
		return nil, OpTLS, err
	}
	return c, "", nil
}

// tlsConfig is that of one key: sessions are not resumed across providers, nor
// with another client certificate.
func (t *Transport) tlsConfig(k key) *tls.Config {
	c := &tls.Config{
		RootCAs:            t.opt.RootCAs,
		ServerName:         k.host,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{http2.NextProtoTLS, "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(4),

		DynamicRecordSizingDisabled: true, // one system call per write, not per packet
	}
	if k.http1 {
		c.NextProtos = c.NextProtos[1:]
	}
	return c
}
