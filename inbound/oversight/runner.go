// Package oversight looks after webhooks from the provider's side: what it says
// that it has sent, for how long it has been silent, whether it still knows the
// subscription.
//
// Read it in this order:
//
//	runner.go    what runs, and when
//	sweep.go     one run of reconcile: page after page, from a cursor that is on disk
//	items.go     what becomes of the items of a page
//	report.go    what a run has found, and what is kept between runs
//	wake.go      runs at once, because a webhook says that there is something new
//	silence.go   for how long a webhook may be silent, and is
//	subscription.go  whether the provider still has it
//	question.go  how a provider is asked
//	store.go     what a store promises
package oversight

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/postern-proxy/postern/inbound"
)

// Options are what oversight lives on. All but Accounts and Alone is required.
type Options struct {
	Inbox *inbound.Inbox
	Store Store
	// Egress makes a call under the policy of a provider, for an account that may be
	// "".
	Egress func(provider, account string) func(*http.Request) (*http.Response, error)
	// Accounts lists the accounts that are connected at a provider.
	Accounts func(ctx context.Context, provider string) ([]string, error)
	// Alone runs work while no other process that shares the store does work of
	// this name, until ctx ends; nil if there are no others.
	Alone    func(ctx context.Context, name string, work func(context.Context))
	Observer Observer
}

// Observer is told what happens. Every func may be nil, must not block, and is
// called by several goroutines at once.
type Observer struct {
	// Named is told of events that a list has named for the first time.
	Named func(webhook string, expected, backfilled int)
	// Swept is told of each run of reconcile that has ended.
	Swept func(*Report)
	// Silent is told once of a silence that is too long, and when it is over.
	Silent func(s Silence, over bool)
	// Subscribed is told when a subscription does otherwise than before; before is ""
	// the first time.
	Subscribed func(s Subscription, before Health)
	// Trouble is told what failed in the background.
	Trouble func(doing string, err error)
}

func (o *Observer) trouble(doing string, err error) {
	if o.Trouble != nil {
		o.Trouble(doing, err)
	}
}

// Runner looks after the webhooks of the policy in force.
type Runner struct {
	opt   Options
	token string // of the leases of this process

	mu      sync.Mutex
	running map[Watch]bool // in this process
	due     map[Watch]look // as the store said, or as was decided here

	silences map[string]Silence // by webhook, while this process watches
	asked    chan request       // runs that a person asks for
	pings    map[Watch]ping     // that ask for a run which has not begun
	rung     chan struct{}      // there is a ping
	marking  singleflight.Group // by webhook and account
	wg       sync.WaitGroup
}

// request is a run that a person asks for.
type request struct {
	watch Watch
	hook  *inbound.Webhook
	state *state
	from  time.Time
	dry   bool
}

// New returns a runner that does nothing until [Runner.Run].
func New(o Options) *Runner {
	if o.Alone == nil {
		o.Alone = func(ctx context.Context, _ string, work func(context.Context)) { work(ctx) }
	}
	if o.Accounts == nil {
		o.Accounts = func(context.Context, string) ([]string, error) { return nil, nil }
	}
	return &Runner{opt: o, token: uuid.NewString(), running: map[Watch]bool{}, due: map[Watch]look{}, silences: map[string]Silence{}, asked: make(chan request), pings: map[Watch]ping{}, rung: make(chan struct{}, 1)}
}

// tick is how often it is looked whether something is due.
const tick = time.Second

// Run looks after everything until ctx ends, and returns when nothing is under way
// any more.
func (r *Runner) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.opt.Alone(ctx, "oversight", r.scheduled) })
	all.Go(func() { r.onDemand(ctx) })
	all.Go(func() { r.wakeful(ctx) })
	all.Wait()
	r.wg.Wait()
}

// onDemand runs what is asked for.
func (r *Runner) onDemand(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-r.asked:
			r.wg.Go(func() {
				defer r.ended(q.watch)
				r.manual(ctx, q)
			})
		}
	}
}

// scheduled runs what is due.
func (r *Runner) scheduled(ctx context.Context) {
	r.mu.Lock()
	clear(r.due) // another process may have been at it
	r.mu.Unlock()
	var wg sync.WaitGroup
	defer func() {
		wg.Wait()
		r.mu.Lock()
		clear(r.silences)
		r.mu.Unlock()
	}()
	var looked time.Time
	for {
		if now := time.Now(); now.Sub(looked) >= orphaned {
			looked = now
			r.orphans(ctx)
		}
		for _, w := range r.opt.Inbox.Set().Webhooks() {
			if w.Reconcile != nil {
				r.each(ctx, w, KindReconcile, w.Reconcile.Accounts, w.Reconcile.Every.Duration, &wg, r.sweepDue)
			}
			if w.Expect != nil {
				r.each(ctx, w, KindExpect, false, pace(w.Expect), &wg, r.watchDue)
			}
			if w.Subscription != nil {
				r.each(ctx, w, KindSubscription, w.Subscription.Accounts, w.Subscription.Every.Duration, &wg, r.checkDue)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tick):
		}
	}
}

// each begins work on those watches of a webhook that are due. Those of one
// webhook and kind are worked on one after the other.
func (r *Runner) each(ctx context.Context, w *inbound.Webhook, kind string, perAccount bool, every time.Duration, wg *sync.WaitGroup, work func(context.Context, *inbound.Webhook, Watch) time.Time) {
	whole := Watch{kind + " of all", w.Name, ""}
	if !r.begin(whole) {
		return
	}
	wg.Go(func() {
		defer r.ended(whole)
		accounts, err := r.accounts(ctx, w, perAccount)
		if err != nil {
			r.opt.Observer.trouble("looking for accounts", err)
			return
		}
		for _, account := range accounts {
			watch := Watch{kind, w.Name, account}
			if ctx.Err() != nil || !r.isDue(watch, every) || !r.begin(watch) {
				continue
			}
			r.next(watch, every, work(ctx, w, watch))
			r.ended(watch)
		}
	})
}

func (r *Runner) accounts(ctx context.Context, w *inbound.Webhook, perAccount bool) ([]string, error) {
	if !perAccount {
		return []string{""}, nil
	}
	all, err := r.opt.Accounts(ctx, w.Provider)
	if err != nil {
		return nil, fmt.Errorf("the accounts of provider %q: %w", w.Provider, err)
	}
	return all, nil
}

// connected is the same as a set, to look up what is kept: accounts may be many.
func (r *Runner) connected(ctx context.Context, w *inbound.Webhook, perAccount bool) (map[string]bool, error) {
	all, err := r.accounts(ctx, w, perAccount)
	set := make(map[string]bool, len(all))
	for _, account := range all {
		set[account] = true
	}
	return set, err
}

// look is when something is looked at again, and what the policy said then of how
// often that is.
type look struct {
	at    time.Time
	every time.Duration
}

// isDue reports whether w is: also if it is to be looked at in another rhythm than
// when that was decided.
func (r *Runner) isDue(w Watch, every time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.due[w]
	return l.every != every || !l.at.After(time.Now())
}

// next notes when w is looked at again.
func (r *Runner) next(w Watch, every time.Duration, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due[w] = look{at, every}
}

// waits is for how long something that is kept to be due then is not due yet. A time
// that is further away than it ever is was kept under another policy, or by a clock
// that was wrong.
func waits(due, now time.Time, every time.Duration) time.Duration {
	if d := due.Sub(now); d > 0 && d <= every {
		return d
	}
	return 0
}

// begin marks w as worked on in this process; false if it is.
func (r *Runner) begin(w Watch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[w] {
		return false
	}
	r.running[w] = true
	return true
}

func (r *Runner) ended(w Watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, w)
}

// Late takes note of a push of an event that was backfilled before.
func (r *Runner) Late(ctx context.Context, id string) error { return r.opt.Store.Late(ctx, id) }

// The refusals of [Runner.Reconcile].
var (
	ErrNoReconcile = errors.New("no webhook that is asked for has a reconcile block")
	ErrBusy        = errors.New("a run is under way")
	ErrEnding      = errors.New("the process ends")
)
