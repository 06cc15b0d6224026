package admin

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
)

// Options are what the server shows and acts on. All are required.
type Options struct {
	Version, Revision string // of this program

	Metrics http.Handler
	Log     *slog.Logger
	Checks  []Check // of readiness, in the order in which they are shown

	Policy func() *policy.Set // in force
	Inbox  *inbound.Inbox
	Outbox *outbox.Outbox
	Keeper *connection.Keeper
	// Oversight looks after the webhooks of the inbox.
	Oversight *oversight.Runner
	// Connect makes a link by which a customer connects an account; by is who asks.
	// Its error is a [*Problem], a [*connection.RequestError], or that of the store.
	Connect func(ctx context.Context, ask NewConnectSession, by string) (ConnectSession, error)
	Running func() Running
	// Reload loads the configuration anew. An error says in full why it was
	// refused and what is in force instead.
	Reload func(context.Context) error
}

// A Check is one condition of being ready. It concerns this process alone: a
// provider that is down is no reason to take it out of service.
type Check struct {
	Name string // such as "store"
	Run  func(context.Context) error

	Informs bool // its failure is shown, and no reason to take the process out of service
}

// Running is what the process that contains the server knows of itself.
type Running struct {
	Generation int // of the configuration: it grows with each that comes into force
	Loaded     time.Time
	Refused    string // why the last reload was refused, "" if it was not
	Listeners  []Listener
	Replica    string // id of this process
	Store      Store
	Replicas   []Replica
}

// A Server answers the admin listener.
type Server struct {
	opt      Options
	config   atomic.Pointer[Config]
	routes   map[string]*route // by pattern
	mux      *http.ServeMux
	cross    *http.CrossOriginProtection
	since    time.Time
	document []byte // OpenAPI

	started  atomic.Bool
	draining atomic.Bool
}

// New returns a server that goes by c.
func New(c *Config, o Options) *Server {
	s := &Server{opt: o, routes: map[string]*route{}, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), since: time.Now()}
	s.Swap(c)
	table := routes()
	for i := range table {
		r := &table[i]
		s.routes[r.pattern()] = r
		s.mux.HandleFunc(r.pattern(), func(w http.ResponseWriter, req *http.Request) { r.serve(s, w, req) })
	}
	s.document = document(table, o.Version)
	return s
}

// Swap makes c the configuration of the requests that begin from now on. Where
// to listen is not changed by it.
func (s *Server) Swap(c *Config) { s.config.Store(c) }

// Ready reports whether the token can be used now. If not, every request that
// needs it is refused.
func (s *Server) Ready() error {
	_, err := s.config.Load().token()
	return err
}

// Drain makes readyz say that the process is about to end.
func (s *Server) Drain() { s.draining.Store(true) }

// HTTP returns the HTTP server; its Addr is that of the admin block. The caller
// listens, with TLS if [Config] says so, and shuts it down.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Addr: s.config.Load().Listen, Handler: s,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 90 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
}
