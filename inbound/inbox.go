package inbound

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/queue"
)

// Options are what an inbox lives on. Store is required.
type Options struct {
	Store    Store
	Observer Observer
	// Dial connects to the application and is where addresses are guarded.
	Dial application.Dial
	// NewID makes correlation ids, unique and growing; UUIDv7 if nil.
	NewID func() string
	// Random yields uniform numbers in [0, 1) for jitter.
	Random func() float64
	// Retain is how long an event is kept after its last move; 0 is for ever.
	Retain time.Duration
	// RetainBodies is how long the headers and the body of an event are kept after its
	// last move, if it is finished; 0 is as long as the event.
	RetainBodies time.Duration
	// RetainSize is how many bytes the bodies of finished events may have; of more the
	// oldest go. 0 is no limit.
	RetainSize int64
	// Grace is how long Run waits for deliveries in flight when it ends; 20 s if 0.
	Grace time.Duration
	// Alone runs work while no other process that shares the store does work of
	// this name, until ctx ends; nil if there are no others.
	Alone func(ctx context.Context, name string, work func(context.Context))
	// Poll is the longest time between two looks for what is due; 5 s if 0.
	Poll time.Duration
	// Egress makes a call under the policy of a provider, for an account that may be
	// "". nil if there is no outbound half.
	Egress func(provider, account string) func(*http.Request) (*http.Response, error)
	// Revoked is told of an event that says that a provider has ended the grant of an
	// account, before the event is acknowledged; it may be told again. nil if nobody
	// keeps grants.
	Revoked func(ctx context.Context, provider, account, event string) error
	// Late is told of a push of an event, by its ID, that was backfilled before; nil
	// if nobody counts them.
	Late func(ctx context.Context, id string) error
	// Woken is told of an event which says only that a provider has something new for
	// an account, before the event is acknowledged. nil if nobody can fetch it.
	Woken func(ctx context.Context, hook *Webhook, account string) error
	// Replicas is how many processes deliver from the store; a rate is divided among
	// them. nil if there is one.
	Replicas func() int
	// MaxInFlight is how many requests, whose bodies are there, are verified and
	// stored at once; 512 if 0. More are answered 503.
	MaxInFlight int
	// MaxBuffered is how many bytes of bodies are held at once; 256 MiB if 0. More
	// are answered 503.
	MaxBuffered int64
}

// Inbox receives and delivers. Its policy is swapped by [Inbox.Swap]; events,
// deliveries in flight and what is known of each target live on.
type Inbox struct {
	opt      Options
	set      atomic.Pointer[Set]
	inflight atomic.Int64 // requests
	buffered atomic.Int64 // bytes of their bodies
	ending   atomic.Bool  // see End
	oldKeys  oldKeys
	skews    skews
	doubts   doubts
	seen     *seen
	dispatch *queue.Dispatcher[Delivery]
	client   *application.Client
	pulls    bell // rings when something may be due
}

// New returns an inbox without webhooks.
func New(o Options) *Inbox {
	if o.NewID == nil {
		o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Alone == nil {
		o.Alone = func(ctx context.Context, _ string, work func(context.Context)) { work(ctx) }
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 512
	}
	if o.MaxBuffered == 0 {
		o.MaxBuffered = 256 << 20
	}
	in := &Inbox{opt: o, client: application.New(o.Dial), seen: newSeen()}
	in.set.Store(&Set{})
	in.dispatch = &queue.Dispatcher[Delivery]{
		Source: o.Store, Targets: in.takes, Attempt: in.attempt, Trouble: o.Observer.trouble, Changed: in.paused,
		Poll: o.Poll, Grace: o.Grace,
	}
	return in
}

// Swap puts a policy in force for the requests and attempts that begin from now
// on. Events of a webhook that is gone stay as they are until it is back.
func (in *Inbox) Swap(s *Set) {
	in.set.Store(s)
	in.Wake()
}

// Wake says that something may be due which another process stored.
func (in *Inbox) Wake() {
	in.dispatch.Wake()
	in.pulls.ring()
}

// wakeFor says that deliveries of an event may be due.
func (in *Inbox) wakeFor(a *Arrival) {
	for _, p := range a.To {
		in.dispatch.WakeFor(p.Target)
	}
	in.pulls.ring()
}

// Set is the policy in force.
func (in *Inbox) Set() *Set { return in.set.Load() }

// takes says what each target takes.
func (in *Inbox) takes() map[string]queue.Target {
	s, n := in.set.Load(), 1
	if in.opt.Replicas != nil {
		n = in.opt.Replicas()
	}
	out := make(map[string]queue.Target, len(s.targets))
	for name, t := range s.targets {
		if t.deliver.Pull {
			continue
		}
		out[name] = queue.Target{Concurrency: t.deliver.Concurrency, Rate: t.deliver.perSecond() / float64(max(n, 1)), Pause: t.retry().Backoff.Max.Duration, Place: t.deliver.address.Place()}
	}
	return out
}

// paused tells of a target that is paused, or no longer.
func (in *Inbox) paused(name string, c queue.Condition) {
	t, ok := in.set.Load().targets[name]
	if !ok {
		return
	}
	in.opt.Observer.paused(&Pause{Webhook: t.hook.Name, Target: name, Condition: c})
}

// Paused lists the targets that are paused now, by name.
func (in *Inbox) Paused() (all []Pause) {
	targets := in.set.Load().targets
	for name, c := range in.dispatch.Conditions() {
		if t, ok := targets[name]; ok && c.Paused {
			all = append(all, Pause{Webhook: t.hook.Name, Target: name, Condition: c})
		}
	}
	slices.SortFunc(all, func(a, b Pause) int { return cmp.Compare(a.Target, b.Target) })
	return all
}

// Run delivers, and removes what is not to be kept any more, until ctx ends; then it
// drains. It returns when nothing is in flight any more.
func (in *Inbox) Run(ctx context.Context) {
	pruned := make(chan struct{})
	go func() { defer close(pruned); in.opt.Alone(ctx, "retention", in.prune) }()
	in.dispatch.Run(ctx)
	in.End()
	<-pruned
	in.client.Close()
}
