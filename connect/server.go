package connect

import (
	"bytes"
	_ "embed" // for the style sheet
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/seal"
)

// Options are what the server lives on. All are required.
type Options struct {
	Keeper *connection.Keeper
	Store  connection.Store           // of tickets
	Ring   func() (*seal.Ring, error) // the seal in force, or why there is none
	NewID  func() string              // makes correlation ids
	Log    *slog.Logger               // of what net/http complains about
	Step   func(Step)                 // is told what happens; must not block
}

// A Step is what one browser did on its way. It holds no secret.
type Step struct {
	ID       string // correlation id, which the customer is shown if it went wrong
	Provider string // "" if it is not known
	Account  string
	What     string // such as "the customer was sent to the provider"
	Err      error  // why it went no further; nil if it did
	Level    slog.Level
}

// A Server answers the connect listener.
type Server struct {
	opt    Options
	config atomic.Pointer[Config]
	mux    *http.ServeMux
	slots  chan struct{} // taken by requests that may need the store
}

// maxInFlight is how many requests may need the store at once. More are told to
// come again: nobody who guesses links is to keep the store from others.
const maxInFlight = 64

// New returns a server that goes by c.
func New(c *Config, o Options) *Server {
	s := &Server{opt: o, mux: http.NewServeMux(), slots: make(chan struct{}, maxInFlight)}
	s.Swap(c)
	s.mux.HandleFunc("/connect/{link}", s.crowded(s.link))
	s.mux.HandleFunc("/callback/{provider}", s.crowded(s.callback))
	s.mux.HandleFunc("/connect/done", s.done)
	s.mux.HandleFunc("/connect/style.css", s.style)
	s.mux.HandleFunc("/", s.nothing)
	return s
}

// Swap makes c the configuration of the requests that begin from now on. Where
// to listen is not changed by it.
func (s *Server) Swap(c *Config) { s.config.Store(c) }

// HTTP returns the HTTP server; its Addr is that of the connect block. The
// caller listens, with TLS if [Config] says so, and shuts it down.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Addr: s.config.Load().Listen, Handler: s,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
}

// Refusal is the HTTP/1.1 answer to a request that was sent when its connection
// was about to end, and that nobody has read.
func Refusal() []byte {
	const text = "Please try again.\n"
	return []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
		strconv.Itoa(len(text)) + "\r\n\r\n" + text)
}

// maxBody is how much of a body is read, in bytes: nothing that is posted here
// has any.
const maxBody = 4 << 10

// ServeHTTP serves a request that comes under the public name or an address. The
// name is never used to make a URL.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.config.Load()
	h := w.Header()
	h.Set("Postern-Id", s.opt.NewID())
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", c.policy("'none'"))
	if len(c.Embed) == 0 {
		h.Set("X-Frame-Options", "DENY") // cannot name an origin; where there are some, frame-ancestors does
	}
	if !c.called(r.Host) {
		s.refuse(w, r, misdirected)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// policy is the Content-Security-Policy: no script, our own style sheet, forms
// to form only, frames in the pages of embed only.
func (c *Config) policy(form string) string {
	ancestors := "'none'"
	if len(c.Embed) > 0 {
		ancestors = strings.Join(c.Embed, " ")
	}
	return "default-src 'none'; style-src 'self'; base-uri 'none'; form-action " + form + "; frame-ancestors " + ancestors
}

// called reports whether the listener may be called by this Host: the name of
// public_url, that of listen, or an address, which is what load balancers do and
// no page that was rebound to us can.
func (c *Config) called(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	own, _, _ := net.SplitHostPort(c.Listen)
	public, err := url.Parse(c.PublicURL)
	return host != "" && (strings.EqualFold(host, own) || err == nil && strings.EqualFold(host, public.Hostname()))
}

// crowded refuses a request when too many are served already.
func (s *Server) crowded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			s.refuse(w, r, busy)
		}
	}
}

// allows reports whether the method is one of these, and otherwise answers.
func (s *Server) allows(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	s.refuse(w, r, method)
	return false
}

func (s *Server) nothing(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, notFound) }

//go:embed style.css
var styleText []byte

func (s *Server) style(w http.ResponseWriter, r *http.Request) {
	if s.allows(w, r, http.MethodGet, http.MethodHead) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(styleText))
	}
}

// done is where a browser ends that is sent nowhere else. It is the same for
// everybody.
func (s *Server) done(w http.ResponseWriter, r *http.Request) {
	if s.allows(w, r, http.MethodGet, http.MethodHead) {
		s.show(w, http.StatusOK, pageDone, &view{Heading: "Connected"})
	}
}
