package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/inbound/scheme"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	fallbacks "github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/proxy/ca"
	"github.com/postern-proxy/postern/proxy/clientenv"
	"github.com/postern-proxy/postern/proxy/upstream"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/shared"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/telemetry"
)

// A gate is everything that runs, put together: outbound proxy, inbox, admin.
type gate struct {
	path     string // of the configuration
	messages io.Writer
	features []policy.Feature
	verify   inbound.Schemes
	live     *credential.Live
	answers  *idempotency.Live
	stale    *fallbacks.Kept
	secrets  *block.Secrets
	tel      *telemetry.Telemetry

	guard     *upstream.Guard
	transport *upstream.Transport
	authority *ca.Authority
	handler   *proxy.Handler
	proxy     *proxy.Server
	self      replica.Replica
	db        store.Database
	keeper    *connection.Keeper
	roster    *replica.Roster
	tokens    tokens
	vault     vault
	shared    *shared.Redis // nil if there is none
	inbox     *inbound.Inbox
	overseer  *oversight.Runner
	outbox    *outbox.Outbox
	letters   letters
	receiver  *http.Server
	drainer   *drain.Drain // of receiver
	webhooks  net.Listener
	admin     *adminServer
	connect   *connectServer // nil if the policy has no such listener
	sockets   *sockets
	manager   *manager      // nil if no service manager is told
	delay     time.Duration // between the end of readiness and that of serving

	first      *loaded // at start: what was bound and opened
	now        atomic.Pointer[loaded]
	deliveries atomic.Pointer[dialer]
	loading    sync.Mutex
	reloaded   chan struct{} // after each reload, whoever asked for it: what is watched may be other files
	ready      atomic.Bool
	watching   atomic.Bool
	generation atomic.Int64
	loadedAt   atomic.Pointer[time.Time]
	refused    atomic.Pointer[string] // why the last reload was refused, "" if it was not
}

// dialer opens connections to where a policy says that webhooks go.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// openGate loads the configuration and opens everything, listeners included.
// Nothing is served yet.
func openGate(ctx context.Context, path string, log telemetry.Options, messages io.Writer) (*gate, error) {
	g := &gate{path: path, messages: messages, live: credential.NewLive(), answers: new(idempotency.Live), stale: fallbacks.NewKept(), secrets: block.NewSecrets(os.Environ()), guard: new(upstream.Guard), reloaded: make(chan struct{}, 1)}
	log.Secrets, log.Gather = g.secrets, true
	log.Version, log.Revision = buildVersion()
	g.self = replica.Self(os.Getenv("POSTERN_REPLICA"), log.Version)
	log.Replica = g.self.ID
	g.tel = telemetry.New(log)
	g.secrets.Observe(func(c block.Change) { g.tel.Secret(c.Ref, c.Err, c.Kept, c.Till) })
	var err error
	if g.features, err = stages(g.tel, means{tokens: &g.tokens, alive: g.tokens.live, live: g.live, egress: g.egress, letters: &g.letters, answers: g.answers, stale: g.stale}); err != nil {
		return nil, &exitError{exitFailure, err}
	}
	if g.sockets, err = handedSockets(g.tel); err != nil {
		return nil, &exitError{exitFailure, err}
	}
	g.verify = scheme.All(keys.New(keys.Options{Dial: g.guard.DialContext}), g.egress)
	g.transport = upstream.New(upstream.Options{Guard: g.guard, Mirror: true})
	l, err := g.load(ctx)
	if err != nil {
		g.secrets.Close()
		return nil, err
	}
	if err := g.open(ctx, l); err != nil {
		g.close()
		return nil, &exitError{exitFailure, err}
	}
	return g, nil
}

// load reads the configuration, its secrets included, and reports problems.
func (g *gate) load(ctx context.Context) (*loaded, error) {
	l, diags := load(g.path, g.secrets, g.features, g.transport, g.verify)
	if l.Context != nil && !diags.HasErrors() {
		missing := l.Context.Resolve(ctx)
		if err := l.inbound.Ready(); err != nil && len(missing) == 0 {
			missing = hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: "Unusable secret of a webhook", Detail: err.Error() + ". Its requests are answered 503 until that is mended."}}
		}
		diags = append(diags, missing...)
		if !diags.HasErrors() {
			diags = append(diags, l.outbound.Ready()...)
		}
	}
	report(g.messages, diags, l.Files)
	if diags.HasErrors() {
		return nil, &exitError{exitUsage, &invalid{g.path, diags}}
	}
	return l, nil
}

// invalid is a configuration with mistakes, which were reported.
type invalid struct {
	path  string
	diags hcl.Diagnostics
}

func (e *invalid) Error() string { return fmt.Sprintf("the configuration in %s is not valid", e.path) }

// reason is the first mistake in one line, for where there is no room for all.
func (e *invalid) reason() (text string) {
	errs := e.diags.Errs()
	for _, d := range e.diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text = d.Summary + ": " + strings.TrimSuffix(d.Detail, ".")
		if d.Subject != nil {
			text = fmt.Sprintf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, text)
		}
		break
	}
	if n := len(errs) - 1; n > 0 {
		text += fmt.Sprintf(" (and %s)", count(n, "more mistake"))
	}
	return text
}

// open opens what outlives reloads, in the order in which one thing needs the
// other.
func (g *gate) open(ctx context.Context, l *loaded) (err error) {
	g.first = l
	if g.authority, err = ca.Open(string(l.Proxy.CA)); err != nil {
		return err
	}
	if err := clientenv.WriteTrust(string(l.Proxy.Trust), g.authority.PEM()); err != nil {
		return err
	}
	g.tel.AuthorityExpires(g.authority.NotAfter())
	if err := g.openStore(ctx, l); err != nil {
		return err
	}
	if err := g.keys(ctx, l); err != nil {
		return err
	}
	if err := g.openTokens(l); err != nil {
		return err
	}
	g.openKeeper()
	g.answers.Store, g.answers.Ring, g.answers.Told = g.db.Answers(), g.vault.ring, g.tel.Trouble
	g.stale.Open(g.db.Stale(), g.vault.ring, g.tel.Trouble)
	g.roster = replica.NewRoster(g.self, g.tel.Trouble, g.tokens.changed, g.places()...)
	g.tel.Replicas(g.roster.Live)
	g.handler = proxy.NewHandler(g.dial)
	g.handler.Done = g.done
	g.handler.Passed = g.passed
	g.proxy = proxy.NewServer(l.Proxy, g.handler, g.authority, proxy.DefaultLimits(), g.dial, slog.NewLogLogger(g.tel.Log.Handler(), slog.LevelDebug))
	g.proxy.Open = g.sockets.open
	g.inbox = inbound.New(inbound.Options{
		Store: g.db.Inbox(), Observer: g.tel.Inbox(), Retain: l.Store.Retain.Duration, Grace: graceDeliveries,
		RetainBodies: l.Store.RetainBodies.Duration, RetainSize: int64(l.Store.RetainSize),
		Alone: g.alone, Poll: g.poll(), Revoked: g.ended, Egress: g.handler.Egress,
		Late: func(ctx context.Context, id string) error { return g.overseer.Late(ctx, id) },
		Woken: func(ctx context.Context, hook *inbound.Webhook, account string) error {
			return g.overseer.Woken(ctx, hook, account)
		},
		Replicas: g.roster.Live,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (*g.deliveries.Load())(ctx, network, address)
		},
	})
	g.tel.InboxStats(g.inbox.Stats)
	g.overseer = oversight.New(oversight.Options{
		Inbox: g.inbox, Store: g.db.Oversight(), Egress: g.handler.Egress, Accounts: g.connected, Alone: g.alone, Observer: g.tel.Oversight(),
	})
	g.tel.OversightStats(g.overseer)
	g.openOutbox(l)
	if err := g.use(l); err != nil {
		return err
	}
	return g.listen(l)
}

// openStore opens the store.
func (g *gate) openStore(ctx context.Context, l *loaded) error {
	where, err := l.Store.Where(l.Folder)
	if err != nil {
		return err
	}
	g.vault.file = keyFile(where)
	g.db, err = store.Open(ctx, where, store.Options{
		Replica: g.self.ID, Retain: l.Store.Retain.Duration, Answers: int64(l.Store.Answers), Trouble: g.tel.Trouble,
		Wake: func() {
			if g.ready.Load() {
				g.inbox.Wake()
				g.outbox.Wake()
			}
		},
	})
	return err
}

// alone runs work in one replica at a time.
func (g *gate) alone(ctx context.Context, name string, work func(context.Context)) {
	replica.Singleton{Leases: g.db.Leases(), Name: name, Holder: g.self.ID, Lease: leadLease, Trouble: g.tel.Trouble}.Run(ctx, work)
}

// leadLease is how long what one replica does for all rests when it dies.
const leadLease = 15 * time.Second

// poll is how often to look for what other replicas have stored: word of it may
// be lost.
func (g *gate) poll() time.Duration {
	if g.db.Members() == nil {
		return 0
	}
	return time.Second
}

// maintain does for the store what it needs, while this replica is the one that
// does.
func (g *gate) maintain(ctx context.Context) {
	g.alone(ctx, "maintenance", func(ctx context.Context) {
		for {
			if err := g.db.Maintain(ctx); err != nil && ctx.Err() == nil {
				g.tel.Trouble("maintaining the store", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(5 * time.Minute):
			}
		}
	})
}

// dial connects to a host that no provider names. That the guard refuses an
// address is a decision, not a failure of the network.
func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.guard.DialContext(ctx, network, address)
	var refused *upstream.Refused
	if errors.As(err, &refused) {
		return nil, &policy.Denial{Code: policy.NotAllowed, Stage: "guard", Detail: refused.Error(), Hint: fallback(refused.Cure, "No policy can allow this address."), Err: refused}
	}
	return conn, err
}

// protect tells the guard which addresses are ours, and which private ones may
// be dialled.
func (g *gate) protect(l *loaded) {
	rules := upstream.Rules{Private: l.Proxy.Networks()}
	for _, a := range g.addresses(l) {
		if at, err := netip.ParseAddrPort(a.String()); err == nil {
			rules.Self = append(rules.Self, at)
		}
	}
	g.guard.Set(rules)
}

// addresses lists what is bound.
func (g *gate) addresses(l *loaded) (bound []net.Addr) {
	if g.admin == nil { // the last to be bound
		return nil
	}
	bound = []net.Addr{g.proxy.Addr(), g.webhooks.Addr(), g.admin.Addr()}
	if g.connect != nil {
		bound = append(bound, g.connect.Addr())
	}
	for _, name := range l.outbound.Providers() {
		if a := g.proxy.Port(l.outbound.Provider(name).Listen); a != nil {
			bound = append(bound, a)
		}
	}
	return bound
}

// close closes what open opened before it failed.
func (g *gate) close() {
	if g.webhooks != nil {
		g.webhooks.Close()
	}
	if g.connect != nil {
		g.connect.Close()
	}
	if g.proxy != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = g.proxy.Shutdown(ctx)
	}
	_ = g.closeShared()
	if g.db != nil {
		_ = g.db.Close()
	}
	g.secrets.Close()
	g.tel.Close()
}

// done writes the journal of one call.
func (g *gate) done(x *policy.Exchange, r proxy.Result) {
	g.tel.Outbound(x, telemetry.Call(r))
}

// egress is the way for stages to ask a provider: the handler is made after them.
func (g *gate) egress(provider, account string) func(*http.Request) (*http.Response, error) {
	return g.handler.Egress(provider, account)
}

func (g *gate) passed(p proxy.Passage) {
	g.tel.Passed(telemetry.Passage{
		Start: p.Start, Client: p.Client, Host: p.Target.Address(),
		In: p.In, Out: p.Out, Duration: p.Duration, Err: p.Err,
	})
}
