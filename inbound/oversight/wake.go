package oversight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/inbound"
)

// Some webhooks say only that there is something new. Such a ping makes a run of
// reconcile due. It is marked in the store before the sender is answered, and the
// mark is gone when a run that began after it has come to its end: so a ping is not
// lost with the process that received it.

// KindWake is the kind of watch of pings that no run has followed yet.
const KindWake = "wake"

const (
	wakeAfter   = 2 * time.Second  // those that come until then share a run
	wakesAtOnce = 4                // runs of a webhook in this process: a provider that hangs keeps no other waiting
	orphaned    = 15 * time.Second // how often it is looked for marks that nobody works on
	markLease   = 5 * time.Second  // while a mark is written
	markAgain   = 20 * time.Millisecond
)

// ping is a mark that this process works on.
type ping struct {
	mark string // what is in the store
	due  time.Time
}

// Woken takes note that a provider has something new for an account, and has it
// fetched. When it returns nil that is on disk.
func (r *Runner) Woken(ctx context.Context, hook *inbound.Webhook, account string) error {
	if !hook.Reconcile.Accounts {
		account = ""
	}
	w := Watch{KindWake, hook.Name, account}
	_, err, _ := r.marking.Do(w.Webhook+"\x00"+w.Account, func() (any, error) {
		if r.awaits(w) {
			return nil, nil // a run that has not begun
		}
		mark := uuid.NewString()
		if err := r.mark(ctx, w, func([]byte) []byte { return []byte(mark) }); err != nil {
			return nil, err
		}
		r.await(w, ping{mark, time.Now().Add(wakeAfter)})
		return nil, nil
	})
	return err
}

// mark changes what is kept of w. Whoever else does so at the moment, in this process or
// another, is soon done.
func (r *Runner) mark(ctx context.Context, w Watch, change func([]byte) []byte) error {
	token := uuid.NewString()
	for {
		value, ok, err := r.opt.Store.Take(ctx, w, token, markLease)
		if err != nil {
			return err
		}
		if ok {
			return r.opt.Store.Keep(ctx, w, token, change(value), 0)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mark a ping of webhook %q: %w", w.Webhook, ctx.Err())
		case <-time.After(markAgain):
		}
	}
}

func (r *Runner) awaits(w Watch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.pings[w]
	return ok
}

// later puts off the run that a ping asks for, s unless another one came since: the
// provider is not asked before its time, however many pings come while a run fails.
func (r *Runner) later(w Watch, s ping) {
	r.mu.Lock()
	if newer, ok := r.pings[w]; ok {
		s.mark = newer.mark
	}
	r.pings[w] = s
	r.mu.Unlock()
}

// await has a run follow s; one that is awaited already is enough.
func (r *Runner) await(w Watch, s ping) {
	r.mu.Lock()
	if _, ok := r.pings[w]; !ok {
		r.pings[w] = s
	}
	r.mu.Unlock()
	r.ring()
}

func (r *Runner) ring() {
	select {
	case r.rung <- struct{}{}:
	default:
	}
}

// wakeful makes the runs that pings ask for, until ctx ends.
func (r *Runner) wakeful(ctx context.Context) {
	for {
		next := time.Now().Add(time.Hour)
		for _, w := range r.duePings(&next) {
			r.wg.Go(func() { r.follow(ctx, w) })
		}
		select {
		case <-ctx.Done():
			return
		case <-r.rung:
		case <-time.After(time.Until(next)):
		}
	}
}

// duePings are those that are due now and may run; next becomes when the first of the
// others is due.
func (r *Runner) duePings(next *time.Time) (due []Watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	runs := map[string]int{} // by webhook
	for w := range r.running {
		if w.Kind == KindWake {
			runs[w.Webhook]++
		}
	}
	for w, s := range r.pings {
		switch {
		case r.running[w]:
		case !s.due.After(now):
			if runs[w.Webhook] == wakesAtOnce {
				continue // whoever ends rings
			}
			runs[w.Webhook]++
			r.running[w] = true
			due = append(due, w)
		case s.due.Before(*next):
			*next = s.due
		}
	}
	return due
}

// follow makes the run that a ping asks for, and takes its mark away. From when it
// begins, further pings ask for another one.
func (r *Runner) follow(ctx context.Context, w Watch) {
	r.mu.Lock()
	s := r.pings[w]
	delete(r.pings, w)
	r.mu.Unlock()
	again, err := r.wakeRun(ctx, w)
	if err == nil && again.IsZero() {
		err = r.mark(ctx, w, func(value []byte) []byte {
			if string(value) == s.mark {
				return nil
			}
			return value // a ping that came meanwhile
		})
	}
	if err != nil && ctx.Err() == nil {
		r.opt.Observer.trouble("following a ping", fmt.Errorf("webhook %q: %w", w.Webhook, err))
		again = time.Now().Add(10 * time.Second)
	}
	if !again.IsZero() {
		r.later(w, ping{s.mark, again})
	}
	r.ended(w)
	r.ring()
}

// wakeRun runs reconcile for a ping. again is when to try it once more; zero if it
// is at its end, or there is nothing to run.
func (r *Runner) wakeRun(ctx context.Context, w Watch) (again time.Time, err error) {
	hooks := r.opt.Inbox.Set().Webhooks()
	i := slices.IndexFunc(hooks, func(h *inbound.Webhook) bool { return h.Name == w.Webhook })
	if i < 0 || !hooks[i].Thin() {
		return again, nil // the policy has changed
	}
	hook := hooks[i]
	accounts, err := r.accounts(ctx, hook, hook.Reconcile.Accounts)
	if err != nil {
		return again, err
	}
	if hook.Reconcile.Accounts && w.Account != "" {
		if !slices.Contains(accounts, w.Account) {
			r.opt.Observer.trouble("following a ping", fmt.Errorf("webhook %q: account %q is not connected: nothing is fetched for it", w.Webhook, w.Account))
			return again, nil
		}
		accounts = []string{w.Account}
	}
	for _, account := range accounts {
		next := r.sweepAwake(ctx, hook, Watch{KindReconcile, w.Webhook, account})
		if again.IsZero() || !next.IsZero() && next.Before(again) {
			again = next
		}
	}
	return again, nil
}

// sweepAwake does a run now, whenever the next one is due. It returns zero if it came
// to its end.
func (r *Runner) sweepAwake(ctx context.Context, hook *inbound.Webhook, w Watch) time.Time {
	if !r.begin(w) {
		return time.Now().Add(tick)
	}
	defer r.ended(w)
	next, err := r.sweepNow(ctx, hook, w, true)
	r.next(w, hook.Reconcile.Every.Duration, next)
	if err == nil {
		return time.Time{}
	}
	if errors.Is(err, errTaken) || next.IsZero() {
		return time.Now().Add(tick)
	}
	return next
}

// orphans finds pings that a process has left behind.
func (r *Runner) orphans(ctx context.Context) {
	rows, err := r.opt.Store.Watches(ctx, KindWake)
	if err != nil {
		if ctx.Err() == nil {
			r.opt.Observer.trouble("looking for pings", err)
		}
		return
	}
	for _, row := range rows {
		if row.Value == nil {
			continue
		}
		r.mu.Lock()
		running := r.running[row.Watch]
		r.mu.Unlock()
		if !running {
			r.await(row.Watch, ping{string(row.Value), time.Now()})
		}
	}
}
