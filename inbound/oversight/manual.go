package oversight

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// Ask is a run that a person asks for.
type Ask struct {
	Webhook string        // "" for all that have a reconcile block
	Since   time.Duration // how far back; 0 is as the next run would
	DryRun  bool          // look only
}

// Reconcile begins runs. What comes of them is in [Runner.Standings].
func (r *Runner) Reconcile(ctx context.Context, a Ask) error {
	begun := false
	for _, w := range r.opt.Inbox.Set().Webhooks() {
		if w.Reconcile == nil || a.Webhook != "" && a.Webhook != w.Name {
			continue
		}
		accounts, err := r.accounts(ctx, w, w.Reconcile.Accounts)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			if err := r.demand(ctx, w, Watch{KindReconcile, w.Name, account}, a); err != nil {
				return err
			}
			begun = true
		}
	}
	if !begun {
		return ErrNoReconcile
	}
	return nil
}

// demand begins one run.
func (r *Runner) demand(ctx context.Context, w *inbound.Webhook, watch Watch, a Ask) error {
	if !r.begin(watch) {
		return fmt.Errorf("webhook %q: %w", w.Name, ErrBusy)
	}
	q, err := r.taken(ctx, w, watch, a)
	if err == nil {
		select {
		case r.asked <- q:
			return nil
		case <-ctx.Done():
			err = ErrEnding
		}
		_ = (&pass{r: r, hook: w, watch: watch, state: q.state}).keep(ctx, 0)
	}
	r.ended(watch)
	return err
}

// taken takes the lease of a run and writes down that it begins.
func (r *Runner) taken(ctx context.Context, w *inbound.Webhook, watch Watch, a Ask) (q request, err error) {
	value, ok, err := r.opt.Store.Take(ctx, watch, r.token, sweepLease)
	if err != nil {
		return q, err
	}
	if !ok {
		return q, fmt.Errorf("webhook %q: %w", w.Name, ErrBusy)
	}
	q = request{watch: watch, hook: w, dry: a.DryRun}
	if q.state, err = decodeState(value); err != nil {
		return q, err
	}
	now := time.Now()
	if q.state.First.IsZero() {
		q.state.First, q.state.Since = now, now
	}
	q.from = latest(q.state.Since.Add(-w.Reconcile.Overlap.Duration), q.state.First)
	if a.Since > 0 {
		q.from = now.Add(-a.Since)
	}
	if window := w.Reconcile.Window.Duration; window > 0 {
		q.from = latest(q.from, now.Add(-window))
	}
	s := newSweep(watch, q.from, now, w.Reconcile.Settle.Duration)
	s.Report.DryRun = q.dry
	q.state.Manual = &s.Report
	p := &pass{r: r, hook: w, watch: watch, state: q.state}
	return q, p.keep(ctx, sweepLease)
}

// manual does a run that a person asks for. The cursor of the others stays where it
// is.
func (r *Runner) manual(ctx context.Context, q request) {
	b := q.hook.Reconcile
	s := &sweep{Report: *q.state.Manual}
	q.state.Manual = &s.Report
	ctx, done := r.holding(ctx, q.watch)
	defer done()
	p := &pass{r: r, hook: q.hook, watch: q.watch, state: q.state, sweep: s, manual: true, seen: map[string]bool{}, looked: map[Key]bool{}, done: done}
	p.names = names{account: q.watch.Account, since: b.Unit.Format(q.from), cursor: q.state.Cursor, params: b.Params}
	err := p.run(ctx)
	s.Report.Ended = time.Now()
	if err != nil {
		s.Report.Error = err.Error()
	}
	if told := r.opt.Observer.Swept; told != nil {
		told(&s.Report)
	}
	_ = p.keep(ctx, 0)
}
