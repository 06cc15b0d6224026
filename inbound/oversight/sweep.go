package oversight

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// pass is a run of reconcile while it runs.
type pass struct {
	r     *Runner
	hook  *inbound.Webhook
	watch Watch
	state *state
	sweep *sweep
	names names

	manual bool
	seen   map[string]bool // ids of what the list has named so far, if it is only looked
	looked map[Key]bool    // and how the provider names it
	read   int             // pages, in this process
	done   func()          // ends the renewal of the lease
}

// How long a lease lasts after the process that has it died, and how often it is
// renewed.
const (
	sweepLease = 30 * time.Second
	renewEvery = 10 * time.Second
)

// holding renews a lease that was taken until done is called. The context ends when
// the lease is another's.
func (r *Runner) holding(ctx context.Context, w Watch) (held context.Context, done func()) {
	held, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-held.Done():
				return
			case <-time.After(renewEvery):
			}
			if _, ok, err := r.opt.Store.Take(held, w, r.token, sweepLease); err == nil && !ok {
				cancel()
			}
		}
	}()
	return held, func() { cancel(); <-ended }
}

// errTaken says that another process, or a person, is at it.
var errTaken = errors.New("a run of somebody else's is under way")

// sweepDue does the run that is due, and returns when the next one is.
func (r *Runner) sweepDue(ctx context.Context, hook *inbound.Webhook, w Watch) time.Time {
	next, _ := r.sweepNow(ctx, hook, w, false)
	return next
}

// sweepNow does a run, if it is due or at once. It returns when the next one is due,
// and why this one has not come to its end.
func (r *Runner) sweepNow(ctx context.Context, hook *inbound.Webhook, w Watch, atOnce bool) (time.Time, error) {
	value, ok, err := r.opt.Store.Take(ctx, w, r.token, sweepLease)
	if err != nil || !ok {
		if err != nil && ctx.Err() == nil {
			r.opt.Observer.trouble("reconciling", err)
		}
		return time.Now().Add(10 * tick), cmp.Or(err, errTaken)
	}
	ctx, done := r.holding(ctx, w)
	p := &pass{r: r, hook: hook, watch: w, done: done}
	defer done()
	if p.state, err = decodeState(value); err != nil {
		r.opt.Observer.trouble("reconciling", fmt.Errorf("webhook %q: %w; it begins anew", hook.Name, err))
		p.state = new(state)
	}
	if wait := waits(p.state.Due, time.Now(), hook.Reconcile.Every.Duration); wait > 0 && !atOnce {
		_ = p.keep(ctx, 0)
		return time.Now().Add(wait), nil
	}
	fresh := p.state.Sweep == nil
	p.begin(time.Now())
	if fresh { // from here on nothing is skipped, and nothing counted twice or not at all, whatever becomes of this run
		err = p.keep(ctx, sweepLease)
	}
	if err == nil {
		err = p.run(ctx)
	}
	if err == nil || ctx.Err() == nil { // a run that is cut off goes on where it is
		p.settle(err)
	}
	if kept := p.keep(ctx, 0); err == nil {
		err = kept
	}
	return p.state.Due, err
}

// begin takes up the run that was interrupted, or begins one.
func (p *pass) begin(now time.Time) {
	s, b := p.state, p.hook.Reconcile
	if s.First.IsZero() || s.First.After(now) { // the clock was ahead
		s.First, s.Since = now, now // what was before is nobody's gap: the application had it otherwise
	}
	if s.Since.After(now) {
		s.Since = now
	}
	if s.Sweep == nil {
		since := latest(s.Since.Add(-b.Overlap.Duration), s.First)
		if b.Window.Duration > 0 {
			since = latest(since, now.Add(-b.Window.Duration))
		}
		s.Sweep = newSweep(p.watch, since, now, b.Settle.Duration)
	}
	p.sweep = s.Sweep
	if asks := b.Asks(); p.sweep.Asks != asks { // where the next page is was said by another policy
		p.sweep.anew()
		p.sweep.Asks = asks
	}
	p.names = names{account: p.watch.Account, since: b.Unit.Format(p.sweep.Report.Since), cursor: s.Cursor, params: b.Params}
}

func newSweep(w Watch, since, now time.Time, settle time.Duration) *sweep {
	return &sweep{Report: Report{Webhook: w.Webhook, Account: w.Account, Since: since, Until: now.Add(-settle), Began: now}}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errMore says that a run stops for now, and is not at its end.
var errMore = errors.New("there are more pages than one run reads")

// run reads page after page. After each of them the place of the next one is on
// disk, so that it goes on there whatever happens.
func (p *pass) run(ctx context.Context) error {
	for n := 0; ; n++ {
		if n == p.hook.Reconcile.Pages && !p.manual {
			return errMore
		}
		last, err := p.page(ctx)
		if err != nil {
			return err
		}
		p.read++
		if last {
			return p.end(ctx)
		}
		if err := p.keep(ctx, sweepLease); err != nil {
			return err
		}
	}
}

// page reads one page; last if there is no further one.
func (p *pass) page(ctx context.Context) (last bool, err error) {
	b, n := p.hook.Reconcile, p.names
	to := p.sweep.Page
	if to == nil {
		if to, err = first(b, &n); err != nil {
			return false, err
		}
	}
	a, err := p.r.ask(ctx, p.hook.Provider, p.watch.Account, to)
	n.response = a
	if err != nil {
		if p.expired(&n, err) {
			return false, nil
		}
		if p.sweep.Page != nil && refused(err) {
			p.sweep.anew() // the place is not good any more
		}
		return false, err
	}
	raw, err := p.items(&n)
	if err != nil {
		return false, err
	}
	items, err := p.understand(raw, a)
	if err != nil {
		return false, err
	}
	if err := p.fill(ctx, items); err != nil {
		return false, err
	}
	p.sweep.Report.Pages++
	p.sweep.Report.Listed += len(raw)
	if len(raw) > 0 {
		n.last = raw[len(raw)-1]
	}
	if b.Cursor != nil {
		if c, ok := b.Cursor.String(&n); ok {
			p.sweep.Cursor = c
		}
	}
	if p.past(raw, a) {
		return true, nil
	}
	return p.turn(&n, to)
}

// items are those of a page. One that has no list, and says where it goes on, has
// none: that is how a feed is asked where it stands.
func (p *pass) items(n *names) ([][]byte, error) {
	b := p.hook.Reconcile
	v, err := b.Events.Eval(n)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if v.Kind == block.Null && b.Cursor != nil {
		if _, ok := b.Cursor.String(n); ok {
			return nil, nil
		}
	}
	return itemsOf(v)
}

// expired begins the list anew if the provider says that it does not know the
// position any more. What happened since then and is not on the new list is lost.
func (p *pass) expired(n *names, err error) bool {
	b, f := p.hook.Reconcile, (*failure)(nil)
	if b.Cursor == nil || p.names.cursor == "" || !errors.As(err, &f) {
		return false
	}
	if b.Expired == nil && f.status != http.StatusGone || b.Expired != nil && !b.Expired.True(n) {
		return false
	}
	p.state.Cursor, p.sweep.Cursor, p.names.cursor = "", "", ""
	p.sweep.anew()
	p.sweep.Report.Expired++
	p.r.opt.Observer.trouble("reconciling", fmt.Errorf("webhook %q: the provider does not know the position in its list any more: %w; it begins anew, and what happened meanwhile may be missing", p.hook.Name, err))
	return true
}

// turn finds the next page.
func (p *pass) turn(n *names, to *address) (last bool, err error) {
	b := p.hook.Reconcile
	if b.Next == nil {
		return true, nil
	}
	path, err := target("next", b.Next, n)
	if err != nil || path == "" {
		return path == "" && err == nil, err
	}
	next, err := located(b, n, path)
	if err != nil {
		return false, err
	}
	here, there := to.key(), next.key()
	if there == here {
		return false, errors.New("next names the page that it is on")
	}
	if p.sweep.met(here, there) {
		p.sweep.anew()
		return false, errors.New("next leads back to a page that was read: the list goes in a circle")
	}
	p.sweep.Page = next
	return false, nil
}

// past reports whether a list that cannot be asked for a beginning, and has the
// newest first, is past it.
func (p *pass) past(raw [][]byte, a *answer) bool {
	b := p.hook.Reconcile
	if len(raw) == 0 || b.List.Reads("since") || b.List.Reads("cursor") || b.JSON != nil && (b.JSON.Reads("since") || b.JSON.Reads("cursor")) {
		return false
	}
	n := p.names
	n.response, n.item = a, raw[len(raw)-1]
	at := p.r.opt.Inbox.Arrival(p.hook, listed(b, &n, n.item)).Event.Occurred
	return !at.IsZero() && at.Before(p.sweep.Report.Since)
}

// lateGrace is how long it takes at most to take note of what comes late: a run leaves
// what is younger to the next.
const lateGrace = 10 * time.Second

// end does what is left when the last page is read.
func (p *pass) end(ctx context.Context) error {
	rep := &p.sweep.Report
	if err := p.unknown(ctx); err != nil {
		return err
	}
	grace := lateGrace
	if p.manual {
		grace = 0
	}
	n, until, err := p.r.opt.Store.LateSince(ctx, p.hook.Name, p.watch.Account, p.state.LateAt, grace)
	if err != nil {
		return err
	}
	rep.Late = n
	if p.manual {
		return nil
	}
	p.state.LateAt = until
	p.state.Since = rep.Until
	if p.sweep.Cursor != "" {
		p.state.Cursor = p.sweep.Cursor
	}
	return nil
}

// unknown counts what had come within the time of the run and was on no list of
// it. A list that goes on from a cursor of the provider's cannot tell.
func (p *pass) unknown(ctx context.Context) error {
	b, rep := p.hook.Reconcile, &p.sweep.Report
	if b.Cursor != nil {
		return nil
	}
	var ids []string
	err := p.r.opt.Store.Unnamed(ctx, p.hook.Name, rep.Since.Add(-time.Hour), func(e Seen) {
		if !e.Backfilled && !e.At.Before(rep.Since) && !e.At.After(rep.Until) && b.Covers(e.Type) && (!b.Accounts || e.Account == p.watch.Account) && !p.seen[e.ID] {
			ids = append(ids, e.ID)
		}
	})
	if err != nil {
		return err
	}
	if rep.DryRun {
		rep.Unknown = len(ids)
		return nil
	}
	rep.Unknown, err = p.r.opt.Store.Unknown(ctx, ids)
	return err
}

// settle writes down what came of a run.
func (p *pass) settle(err error) {
	s, b, now := p.state, p.hook.Reconcile, time.Now()
	rep := &p.sweep.Report
	switch {
	case err == nil:
		rep.Ended, rep.Error = now, ""
		s.Last, s.Sweep, s.Failures, s.Due = rep, nil, 0, now.Add(b.Every.Duration)
		if told := p.r.opt.Observer.Swept; told != nil {
			told(rep)
		}
	case errors.Is(err, errMore):
		rep.Error = err.Error()
		s.Failures, s.Due = 0, now.Add(min(b.Every.Duration, time.Minute))
	default:
		if s.Failures++; p.read > 0 && p.sweep.Page != nil { // it has come further
			s.Failures = 1
		}
		rep.Error = err.Error()
		s.Due = now.Add(min(b.Every.Duration, time.Second<<min(s.Failures+2, 12)))
		p.r.opt.Observer.trouble("reconciling", fmt.Errorf("webhook %q: %w; it goes on from here at %s", p.hook.Name, err, s.Due.UTC().Format(time.RFC3339)))
	}
}

// keepWithin is how long it may take to write down where a run stands, also during
// a shutdown.
const keepWithin = 10 * time.Second

// keep writes down where the run stands; 0 gives back its lease.
func (p *pass) keep(ctx context.Context, lease time.Duration) error {
	value, err := json.Marshal(p.state)
	if err != nil {
		return fmt.Errorf("write down where reconcile stands: %w", err)
	}
	if lease == 0 && p.done != nil {
		p.done() // or it would take again what is given back
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	err = p.r.opt.Store.Keep(ctx, p.watch, p.r.token, value, lease)
	if err != nil && lease == 0 {
		p.r.opt.Observer.trouble("reconciling", err)
	}
	return err
}
