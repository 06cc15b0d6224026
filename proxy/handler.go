package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/postern-proxy/postern/policy"
)

// Dial opens a connection to a host that no provider names. It has to refuse
// what nobody may reach; a [policy.Denial] is passed on to the application.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// A Handler serves outbound calls, whichever way they came in. The policy it
// goes by can be swapped at any time; a call keeps the one it started with.
type Handler struct {
	// Done gets every call when its last byte is out, or its client is gone,
	// also if it was refused before a plan was found.
	Done func(*policy.Exchange, Result)
	// Passed gets the traffic of hosts that no provider names. It may be nil.
	Passed func(Passage)
	// Accept stores a call that is to be sent later, as it is on its way to its
	// plan, and says where it is found. nil if nothing is stored here.
	Accept func(*policy.Exchange, *http.Request) (Accepted, error)
	// Stall is how long an application may keep a body of its own, or the
	// reading of an answer, without progress where the policy sets no limit.
	Stall time.Duration

	state  atomic.Pointer[state]
	direct *http.Transport // for hosts that no provider names
	copies sync.Pool       // of *[copySize]byte
}

const copySize = 32 << 10

// state is everything that a reload replaces.
type state struct {
	set     *policy.Set
	clients []Client
	deny    bool              // hosts that no provider names
	ports   map[string]string // names of providers by the address of their own ports
}

// NewHandler returns a handler without policy: [Handler.Swap] has to be called
// before the first request.
func NewHandler(dial Dial) *Handler {
	h := &Handler{Done: func(*policy.Exchange, Result) {}, Stall: 20 * time.Second, direct: newDirect(dial)}
	h.copies.New = func() any { return new([copySize]byte) }
	return h
}

// newDirect is the transport for hosts that no provider names. It takes
// nothing from the environment.
func newDirect(dial Dial) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Swap makes set, the clients and the fate of unmatched hosts the policy of
// all calls that start from now on.
func (h *Handler) Swap(set *policy.Set, deny bool, clients ...Client) {
	h.state.Store(&state{set, clients, deny, portsOf(set)})
}

// A call is one request on its way through a Handler.
type call struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	entry *entry
	state *state

	x      policy.Exchange
	target target
	head   controls
	body   inflow
	trace  httptrace.ClientTrace

	mu      sync.Mutex // guards the response against late informational ones
	settled bool       // the final response is under way
	hints   int        // informational responses passed on

	result  Result
	started time.Time // when response headers were there
}

func (h *Handler) newCall(w http.ResponseWriter, r *http.Request, e *entry) *call {
	c := &call{h: h, w: w, r: r, entry: e, state: h.state.Load()}
	id, _ := uuid.NewV7() // fails only if the system has no randomness, which ends the program
	c.x.ID, c.x.Start, c.x.Request = id.String(), time.Now(), r
	return c
}

// ServeHTTP serves one call, except CONNECT, which is the [Server]'s.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := h.newCall(w, r, entryOf(r.Context()))
	defer c.done()
	if err := c.serve(); err != nil {
		c.refuse(err)
	}
}

func (c *call) serve() error {
	c.expectBody()
	if v := c.r.Header["Traceparent"]; len(v) == 1 {
		c.x.Trace = v[0]
	}
	if err := c.readHead(); err != nil {
		return err
	}
	if err := c.locate(); err != nil {
		return err
	}
	if err := c.match(); err != nil {
		return err
	}
	if c.head.async {
		return c.accept()
	}
	return c.forward()
}

// match finds the client, and the plan that its call goes by.
func (c *call) match() error {
	t := &c.target
	if t.provider == nil {
		switch err := c.identify(nil); {
		case err != nil:
			return err
		case t.named || c.state.deny:
			return noProvider(t)
		}
		return nil
	}
	m, err := t.provider.Match(c.r.Method, t.escapedPath(c.r.URL))
	if m.Plan != nil {
		c.x.Plan, c.x.Endpoint = m.Plan, m.Endpoint
	}
	if err := c.identify(m.Plan); err != nil { // before err: it tells about the policy
		return err
	}
	if err != nil {
		return err
	}
	return clearText(t.scheme, m.Plan)
}

// clearText refuses to send a credential in clear text, unless the policy
// itself names where to.
func clearText(scheme string, plan *policy.Plan) error {
	if scheme != "http" || len(plan.Slots) == 0 || plan.Upstream != nil {
		return nil
	}
	return &policy.Denial{
		Code: policy.NotAllowed, Stage: stage,
		Detail: "a call that gets a credential would leave in clear text",
		Hint:   "use https, or name a plain-text upstream in the provider block",
	}
}

// done writes the journal. It runs last, also when the client has left.
func (c *call) done() {
	c.mu.Lock()
	c.settled = true
	c.mu.Unlock()
	c.body.close(c.r, c.h.Stall)
	if c.x.Body != nil {
		c.x.Body.Close()
	}
	end := time.Now()
	r := &c.result
	r.Duration, r.In = end.Sub(c.x.Start), c.body.read.Load()
	if c.started.IsZero() {
		c.started = end
	}
	r.Overhead = max(0, c.started.Sub(c.x.Start)-c.x.Upstream-c.x.Waited)
	if c.passing() && r.Source != policy.FromPostern {
		c.h.passed(Passage{c.x.Start, c.x.Client, c.target.at, r.In, r.Out, r.Duration, r.Err})
		return
	}
	r.conclude(&c.x)
	c.h.Done(&c.x, *r)
}

// passing reports whether the call is for a host that no provider names.
func (c *call) passing() bool { return c.target.provider == nil && c.target.at.Host != "" }

func (h *Handler) passed(p Passage) {
	if h.Passed != nil {
		h.Passed(p)
	}
}
