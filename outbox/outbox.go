package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/seal"
)

// An Envelope is what an exchange of the outbox's has from the call that it is for.
type Envelope struct {
	Provider, Client, Account string
	ID                        string // the correlation id
	Tags                      string
	Unsure                    bool // it may have had its effect already
	Decided                   bool // a person wants it sent, whatever became of it before
}

// Options are what an outbox lives on. Store, Ring, Policy and Send are required.
type Options struct {
	Store Store
	// Ring has the keys for what is kept. Its error says how to have some.
	Ring   func() (*seal.Ring, error)
	Policy func() *policy.Set // in force
	// Send sends a call by way of the policy in force, as an exchange of its own,
	// which is never nil. It does not look at what this package keeps.
	Send     func(*http.Request, Envelope) (*http.Response, *policy.Exchange, error)
	Observer Observer
	// Location is the URL at which a person or a program finds a call.
	Location func(id string) string
	// Dial connects to the application for callbacks and is where addresses are guarded.
	Dial application.Dial
	// NewID makes ids, unique and growing; UUIDv7 if nil.
	NewID func() string
	// Random yields uniform numbers in [0, 1) for jitter.
	Random func() float64
	// Retain is how long a call is kept after its last move; 0 is for ever.
	Retain time.Duration
	// Grace is how long Run waits for calls in flight when it ends; 20 s if 0.
	Grace time.Duration
	// Alone runs work while no other process that shares the store does work of
	// this name, until ctx ends; nil if there are no others.
	Alone func(ctx context.Context, name string, work func(context.Context))
	// Poll is the longest time between two looks for what is due; 5 s if 0.
	Poll time.Duration
}

// Observer is told what happens. Every func may be nil, must not block, and is
// called by several goroutines at once.
type Observer struct {
	Moved func(*Transition)
	// Letter is told of a dead letter that was kept.
	Letter func(provider string, outcome policy.Outcome)
	// Trouble is told what failed in the background, or could not be kept.
	Trouble func(doing string, err error)
}

func (o *Observer) moved(t *Transition) {
	if o.Moved != nil {
		o.Moved(t)
	}
}

func (o *Observer) trouble(doing string, err error) {
	if o.Trouble != nil {
		o.Trouble(doing, err)
	}
}

// Outbox accepts, keeps and sends calls. The policy is that in force at the time.
type Outbox struct {
	opt      Options
	dispatch *queue.Dispatcher[Call]
	client   *application.Client
	index    index
}

// New returns an outbox that does nothing yet: see [Outbox.Run].
func New(o Options) *Outbox {
	if o.NewID == nil {
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Alone == nil {
		o.Alone = func(ctx context.Context, _ string, work func(context.Context)) { work(ctx) }
	}
	if o.Location == nil {
		o.Location = func(id string) string { return id }
	}
	b := &Outbox{opt: o, client: application.New(o.Dial)}
	b.dispatch = &queue.Dispatcher[Call]{
		Source: o.Store, Targets: b.targets, Attempt: b.attempt, Trouble: func(doing string, err error) { o.Observer.trouble("outbox: "+doing, err) },
		Poll: o.Poll, Grace: o.Grace,
	}
	return b
}

// Wake says that something may be due: another process stored it, or the policy
// is another.
func (o *Outbox) Wake() { o.dispatch.Wake() }

// callbackTo is the target of callbacks about calls of a provider.
const callbackTo = "callback:"

// targets says how many calls each provider takes at once. Calls of a provider
// that is gone wait until it is back.
func (o *Outbox) targets() map[string]queue.Target {
	set := o.opt.Policy()
	out := map[string]queue.Target{}
	for _, name := range set.Providers() {
		n, pause := 0, time.Duration(0)
		for _, plan := range set.Provider(name).Plans() {
			how := scheduleOf(plan)
			n, pause = max(n, how.Concurrency), max(pause, how.Backoff.Max.Duration)
		}
		t := queue.Target{Concurrency: n, Pause: pause}
		out[name], out[callbackTo+name] = t, t
	}
	return out
}

// Run sends what is due, keeps the index of dead letters fresh, and deletes what
// is older than Retain, until ctx ends; then it drains. It returns when nothing
// is in flight any more.
func (o *Outbox) Run(ctx context.Context) {
	pruned, fresh := make(chan struct{}), make(chan struct{})
	go func() { defer close(pruned); o.opt.Alone(ctx, "outbox retention", o.prune) }()
	go func() { defer close(fresh); o.refresh(ctx) }()
	o.dispatch.Run(ctx)
	<-pruned
	<-fresh
	o.client.Close()
}

const pruneBatch = 100

func (o *Outbox) prune(ctx context.Context) {
	queue.Retain(ctx, o.opt.Retain, pruneBatch, o.opt.Store.Prune, func(err error) { o.opt.Observer.trouble("deleting old calls of the outbox", err) })
}

// Keys counts the calls of a store that are to be sent, or wait for a person, by
// the id of the key that they are sealed under.
func Keys(ctx context.Context, s Store) (map[string]int, error) {
	heads, err := s.Heads(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[string]int{}
	for head, n := range heads {
		if id := seal.HeadID([]byte(head)); id != "" {
			ids[id] += n
		}
	}
	return ids, nil
}

// planOf is the plan that a call would go by now, nil if there is none.
func (o *Outbox) planOf(provider, method, escapedPath string) *policy.Plan {
	p := o.opt.Policy().Provider(provider)
	if p == nil {
		return nil
	}
	m, _ := p.Match(method, escapedPath)
	return m.Plan
}

// outcomeOf is the class of what came of a call.
func outcomeOf(x *policy.Exchange, resp *http.Response, err error) policy.Outcome {
	switch {
	case err != nil && errors.Is(err, context.Canceled):
		return policy.Cancelled
	case err != nil:
		return denialOf(err).Code.Outcome()
	case x.Outcome != "":
		return x.Outcome
	}
	return policy.OfStatus(resp.StatusCode)
}

// denialOf is what an error says in the words of a problem.
func denialOf(err error) *policy.Denial {
	d := new(policy.Denial)
	if errors.As(err, &d) {
		return d
	}
	return &policy.Denial{Code: policy.CodeUnreachable, Detail: "the provider could not be reached, or the connection broke", Err: err}
}
