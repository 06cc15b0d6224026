package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/policy"
)

// An opening is what was decided about one CONNECT.
type opening struct {
	action *goproxy.ConnectAction
	target net.Conn // of a blind tunnel
}

type openingKey struct{}

// newDoor is the CONNECT protocol. It takes nothing from the environment, and
// rejects what nothing was decided about.
func newDoor() *goproxy.ProxyHttpServer {
	p := goproxy.NewProxyHttpServer()
	p.Logger = log.New(io.Discard, "", 0)
	p.Tr = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errUndecided }}
	p.ConnectDial = nil
	p.ConnectDialWithReq = func(r *http.Request, _, _ string) (net.Conn, error) {
		if o, ok := r.Context().Value(openingKey{}).(*opening); ok && o.target != nil {
			return o.target, nil
		}
		return nil, errUndecided
	}
	p.OnRequest().HandleConnectFunc(func(host string, ctx *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		if o, ok := ctx.Req.Context().Value(openingKey{}).(*opening); ok {
			return o.action, host
		}
		return goproxy.RejectConnect, host
	})
	return p
}

var errUndecided = errors.New("nothing was decided about this CONNECT")

// connect serves a CONNECT: a host that a provider names is intercepted, any
// other is tunnelled blind or refused.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	c := s.handler.newCall(w, r, entryOf(r.Context()))
	if err := c.openTunnel(s.draining.Load()); err != nil {
		defer c.done()
		c.refuse(err)
		return
	}
	if c.target.provider != nil {
		s.intercept(c)
		return
	}
	s.blind(c)
}

// openTunnel decides whether a tunnel may be opened, and whereto.
func (c *call) openTunnel(draining bool) error {
	if err := c.readFields(); err != nil {
		return err
	}
	if draining {
		return shuttingDown(false)
	}
	if c.entry.way != viaListener {
		return badRequest("CONNECT is not possible here", "send it to the proxy's own address")
	}
	a, err := ParseAuthority(c.r.RequestURI, "")
	if err != nil {
		return badRequest(err.Error(), "CONNECT names HOST:PORT")
	}
	c.target.at, c.target.scheme = a, "https"
	if a.Port == "80" {
		c.target.scheme = "http"
	}
	c.target.provider = c.state.set.Find(a.Host, a.Port)
	if err := c.identify(nil); err != nil {
		return err
	}
	if c.target.provider == nil && c.state.deny {
		return noProvider(&c.target)
	}
	return nil
}

// intercept ends the tunnel here: what comes out of it goes to net/http.
func (s *Server) intercept(c *call) {
	e := &entry{
		way: viaTunnel, target: c.target.at, scheme: c.target.scheme, text: c.target.at.Text(c.target.scheme),
		client: c.x.Client, account: c.x.Account, tunnels: &s.tunnels,
	}
	d := &door{ResponseWriter: c.w, wrap: func(conn *replayed) { conn.entry = e }}
	o := &opening{action: &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: func(_ *http.Request, _ net.Conn, _ *goproxy.ProxyCtx) {
		if err := s.enter(d.conn); err != nil {
			d.conn.Close()
			c.notEntered(err)
		}
	}}}
	s.door.ServeHTTP(d, c.r.WithContext(context.WithValue(c.r.Context(), openingKey{}, o)))
}

// notEntered writes the journal of a tunnel in which there was nothing to serve.
func (c *call) notEntered(err error) {
	r := &c.result
	r.Err, r.Source, r.Executed = err, policy.FromPostern, policy.No
	r.Status, r.Outcome = StatusCancelled, policy.Cancelled
	if errors.Is(err, errNotTLS) {
		r.Status, r.Code, r.Outcome = http.StatusBadRequest, policy.BadRequest, policy.BadRequest.Outcome()
	}
	c.done()
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

var errNotTLS = errors.New("what is in the tunnel is not TLS")

// enter finds out what is in a tunnel and hands it to net/http.
func (s *Server) enter(conn *replayed) error {
	tn, ok := s.tunnels.add(conn)
	defer s.tunnels.remove(tn)
	if !ok {
		return errShuttingDown
	}
	conn.SetDeadline(time.Now().Add(s.limits.Handshake))
	if _, err := io.WriteString(conn, established); err != nil {
		return err
	}
	if len(conn.head) == 0 {
		buf := make([]byte, 2048) // a ClientHello fits
		n, err := conn.Conn.Read(buf)
		if n == 0 {
			return cmp.Or(err, io.ErrNoProgress)
		}
		conn.head = buf[:n]
	}
	const handshake = 0x16 // TLS record type, RFC 8446 §5.1
	isTLS := conn.head[0] == handshake
	if !isTLS && conn.entry.scheme != "http" {
		io.WriteString(conn, notTLS)
		return errNotTLS
	}
	conn.SetDeadline(time.Time{})
	if !isTLS {
		return s.inner.give(conn)
	}
	if conn.entry.scheme == "http" { // TLS on port 80 is https, with its port
		conn.entry.scheme = "https"
		conn.entry.text = conn.entry.target.Text("https")
	}
	return s.inner.give(tls.Server(conn, s.tls))
}

// notTLS answers what looks like anything but TLS, most likely plain HTTP.
const notTLS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nWhat follows CONNECT to this port has to be TLS.\n"

// dialTime is how long opening a blind tunnel may take.
const dialTime = 10 * time.Second

// blind tunnels bytes that nobody here looks at.
func (s *Server) blind(c *call) {
	ctx, cancel := context.WithTimeout(c.r.Context(), dialTime)
	target, err := s.dial(ctx, "tcp", c.target.at.Address())
	cancel()
	if err != nil {
		defer c.done()
		c.refuse(err)
		return
	}
	end := s.passage(c)
	far := &replayed{Conn: target, ended: end.received}
	o := &opening{action: goproxy.OkConnect, target: far}
	d := &door{ResponseWriter: c.w, wrap: func(conn *replayed) {
		conn.Conn, conn.ended = drain.Release(conn.Conn), end.sent
		end.tunnel, _ = s.tunnels.add(conn, far)
	}}
	s.door.ServeHTTP(d, c.r.WithContext(context.WithValue(c.r.Context(), openingKey{}, o)))
	if d.conn == nil {
		target.Close()
	}
}

// passage counts what goes through a blind tunnel. It is over when both
// directions are.
type passage struct {
	s      *Server
	p      Passage
	left   atomic.Int32
	tunnel *tunnel
}

func (s *Server) passage(c *call) *passage {
	p := &passage{s: s, p: Passage{Start: c.x.Start, Client: c.x.Client, Target: c.target.at}}
	p.left.Store(2)
	return p
}

func (p *passage) received(n int64) { p.p.In = n; p.end() }
func (p *passage) sent(n int64)     { p.p.Out = n; p.end() }

func (p *passage) end() {
	if p.left.Add(-1) > 0 {
		return
	}
	p.s.tunnels.remove(p.tunnel)
	p.p.Duration = time.Since(p.p.Start)
	p.s.handler.passed(p.p)
}
