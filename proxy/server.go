package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy/ca"
)

// Limits bound what one connection may cost.
type Limits struct {
	Header    time.Duration // until the head of a request is there
	Handshake time.Duration // until the first bytes in a tunnel are there
	Idle      time.Duration // between two requests
}

// DefaultLimits are good for everything but tests.
func DefaultLimits() Limits {
	return Limits{Header: 5 * time.Second, Handshake: 5 * time.Second, Idle: 2 * time.Minute}
}

// A Server owns the listeners of the proxy. Its methods may be called from
// several goroutines.
type Server struct {
	handler *Handler
	config  *Config
	dial    Dial
	limits  Limits

	http    http.Server
	drain   *drain.Drain
	ctx     context.Context // of every call
	cancel  context.CancelCauseFunc
	door    *goproxy.ProxyHttpServer
	tls     *tls.Config // of intercepted connections
	inner   *handover
	entry   net.Listener // inner, as it is served
	tunnels tunnels

	// Open binds an address for "proxy", or for the provider of that name, and
	// says whether other processes accept from the same socket; net.Listen if nil.
	// It is set before Listen.
	Open func(name, address string) (l net.Listener, shared bool, err error)

	draining atomic.Bool

	mu      sync.Mutex
	main    net.Listener
	ports   map[string]net.Listener // by the address as configured
	served  bool                    // Serve was called
	serving sync.WaitGroup
	failed  chan error
}

// NewServer returns a server for the proxy block config, that has no policy
// yet. Errors of single connections, such as an application that does not trust
// the authority, are written to errors, which may be nil.
func NewServer(config *Config, h *Handler, authority *ca.Authority, limits Limits, dial Dial, errors *log.Logger) *Server {
	s := &Server{handler: h, config: config, dial: dial, limits: limits, door: newDoor(), inner: newHandover(), failed: make(chan error, 1), ports: map[string]net.Listener{}}
	s.tls = authority.ServerConfig(func(c net.Conn) string { return c.(*replayed).entry.target.Host })
	s.http = http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            limits.Header,
		IdleTimeout:                  limits.Idle,
		MaxHeaderBytes:               64<<10 - 4096, // net/http adds 4 KiB
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     errors,
		BaseContext:                  func(l net.Listener) context.Context { return s.base(l) },
		ConnContext:                  connContext,
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.drain = drain.New(&s.http, refusal)
	s.entry = s.drain.Listener(s.inner, false)
	return s
}

// ServeHTTP implements [http.Handler] for all listeners.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		s.connect(w, r)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// entrance is a listener with what it says about calls.
type entrance struct {
	net.Listener
	entry *entry
}

func (s *Server) base(l net.Listener) context.Context {
	if e, ok := l.(*entrance); ok {
		return context.WithValue(s.ctx, entryKey{}, e.entry)
	}
	return s.ctx
}

// connContext gives connections out of tunnels the entry that they bear.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*replayed); ok {
		return context.WithValue(ctx, entryKey{}, c.entry)
	}
	return ctx
}

// Listen binds the proxy's own address.
func (s *Server) Listen() error {
	l, err := s.bind("proxy", s.config.Listen, &entry{way: viaListener})
	if err != nil {
		return fmt.Errorf("listen for outbound calls: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.main = l
	return nil
}

// Addr is where the proxy listens.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.main.Addr()
}

func (s *Server) bind(name, address string, e *entry) (net.Listener, error) {
	open := s.Open
	if open == nil {
		open = func(_, address string) (net.Listener, bool, error) {
			l, err := net.Listen("tcp", address)
			return l, false, err
		}
	}
	l, shared, err := open(name, address)
	if err != nil {
		return nil, err
	}
	l = s.drain.Listener(l, shared)
	if host, _, err := net.SplitHostPort(address); err == nil {
		e.name, _ = NormaliseHost(host)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		e.loopback = tcp.IP.IsLoopback()
	}
	e.tunnels = &s.tunnels
	if s.config.TLS != nil {
		cfg, err := s.config.TLS.Load("http/1.1") // CONNECT takes a whole connection
		if err != nil {
			l.Close()
			return nil, err
		}
		l = tls.NewListener(l, cfg)
	}
	return &entrance{l, e}, nil
}

// Serve accepts connections until [Server.Shutdown], then returns nil.
func (s *Server) Serve() error {
	s.mu.Lock()
	s.served = true
	s.start(s.main)
	s.start(s.entry)
	for _, l := range s.ports {
		s.start(l)
	}
	s.mu.Unlock()
	err := <-s.failed
	if err != nil {
		s.http.Close() // half a proxy is none
	}
	s.serving.Wait()
	return err
}

// start serves one listener. Called with mu held.
func (s *Server) start(l net.Listener) {
	s.serving.Go(func() {
		err := s.http.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		} else if s.retired(l) {
			return
		}
		select {
		case s.failed <- err:
		default:
		}
	})
}

// EndKeepAlive lets every answer from now on end its connection. Calls and tunnels are
// still accepted.
func (s *Server) EndKeepAlive() { s.drain.EndKeepAlive() }

// Shutdown stops accepting and waits for calls and tunnels under way. Two
// seconds before the context's end the calls that are left are answered with
// shutting_down, and at its end what is left is closed. Then its error says that
// there was something.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	err := s.drain.Shutdown(ctx, func() { s.cancel(shuttingDown(true)) })
	if err == nil {
		err = s.tunnels.wait(ctx)
	}
	s.tunnels.closeAll()
	s.inner.Close()
	s.http.Close()
	s.cancel(nil)
	s.handler.direct.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("calls or tunnels were cut off at the end of the drain: %w", err)
	}
	return nil
}

// Swap makes set and the clients and unmatched of config the policy from now
// on, and opens and closes the providers' own ports as set says. If a port
// cannot be opened nothing is changed.
func (s *Server) Swap(set *policy.Set, config *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.openPorts(portsOf(set), config); err != nil {
		return err
	}
	s.handler.Swap(set, config.Denies(), config.Clients...)
	return nil
}
