package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says how a Server listens and who answers when no step does.
type Config struct {
	CA      *CA          // nil: in the clear, HTTP/1.1
	Hosts   []string     // names in the certificate beside 127.0.0.1 and localhost
	NoH2    bool         // over TLS, offer HTTP/1.1 only
	Backend http.Handler // nil: 200 with an empty JSON object
}

// Server is one listener. Its methods may be called at any time from any goroutine.
type Server struct {
	cfg     Config
	ln      net.Listener
	tlsConf *tls.Config
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	requests []*Request
	script   []Step
	plan     func(n int) Step
	accepted int
	turned   int // connections that are still to be turned away
	conns    map[*conn]struct{}
	changed  chan struct{} // closed and replaced at each arrival
}

// conn is one accepted connection. served and idle are guarded by Server.mu.
type conn struct {
	net.Conn
	id     int
	tcp    *net.TCPConn
	proto  string
	served int
	idle   bool
}

// Listen starts a server on a free loopback port.
func Listen(cfg Config) (*Server, error) {
	if cfg.Backend == nil {
		cfg.Backend = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "{}")
		})
	}
	s := &Server{cfg: cfg, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
	if cfg.CA != nil {
		cert, err := cfg.CA.leaf(cfg.Hosts)
		if err != nil {
			return nil, err
		}
		s.tlsConf = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
		if cfg.NoH2 {
			s.tlsConf.NextProtos = []string{"http/1.1"}
		}
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s.ln = ln
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// URL is the server's origin: http or https, 127.0.0.1, port.
func (s *Server) URL() string {
	if s.cfg.CA != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Script sets the steps of the next requests; after them comes Plan's word, or Pass.
func (s *Server) Script(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = steps
}

// Plan sets what decides each step from the number of sends before it, until Forget. It is called under a lock.
func (s *Server) Plan(f func(n int) Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = f
}

// CloseIdle closes, in order, every connection that is between requests, and returns how many.
func (s *Server) CloseIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if c.idle {
			c.tcp.Close()
			n++
		}
	}
	return n
}

// TurnAway resets the next n connections as soon as they are made.
func (s *Server) TurnAway(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turned = n
}

// Close stops listening, resets what is open and waits for the end of all it started.
func (s *Server) Close() {
	s.cancel()
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.reset()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		tcp := nc.(*net.TCPConn)
		s.mu.Lock()
		s.accepted++
		if s.turned > 0 {
			s.turned--
			s.mu.Unlock()
			(&conn{tcp: tcp}).reset()
			continue
		}
		c := &conn{Conn: tcp, tcp: tcp, id: s.accepted, proto: "HTTP/1.1"}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			c.reset()
		}
		s.wg.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(c *conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.tcp.Close()
	}()
	if s.tlsConf != nil {
		tc := tls.Server(c.tcp, s.tlsConf)
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		err := tc.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return
		}
		c.Conn = tc
		if tc.ConnectionState().NegotiatedProtocol == "h2" {
			c.proto = "HTTP/2.0"
			s.serveH2(c)
			return
		}
	}
	s.serveH1(c)
}

// reset makes close send RST instead of FIN.
func (c *conn) reset() {
	c.tcp.SetLinger(0)
	c.tcp.Close()
}

// pause waits for the step's delay; false means the server is closing.
func (s *Server) pause(step Step) bool {
	if step.delay == 0 {
		return s.ctx.Err() == nil
	}
	t := time.NewTimer(step.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}
