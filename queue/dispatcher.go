package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Dispatcher claims due items from Source and attempts each in a goroutine of
// its own, as many at once as each target takes. Fill in the fields and call
// Run once.
type Dispatcher[T any] struct {
	Source Source[T]

	// Targets returns what each target takes. It is asked before every claim, so a
	// change takes effect at once; a target that is gone is not claimed for any
	// more.
	Targets func() map[string]Target

	// Attempt does the work of one item and makes the move that follows. Its
	// context ends with cause ErrStale when the lease is lost, or may be because
	// it could not be renewed, and with ErrDrain when a shutdown has waited long
	// enough; it should then return at once.
	Attempt func(context.Context, Item[T]) Report

	// Trouble is told what went wrong in the loop itself: a claim or a renewal
	// that failed, an attempt that panicked. The loop goes on.
	Trouble func(doing string, err error)

	// Changed is told of a target that is paused from now on, or no longer; nil if
	// nobody wants to know. It must not block.
	Changed func(target string, c Condition)

	Lease time.Duration // how long a claim holds without renewal; 30 s if 0
	Poll  time.Duration // the longest wait between two claims; Poll if 0
	Grace time.Duration // how long a shutdown waits for attempts in flight; 20 s if 0

	once   sync.Once
	wake   chan struct{}
	mu     sync.Mutex
	states map[string]*state
	held   map[Lease]*hold // by key and token, Until left zero
	wg     sync.WaitGroup
}

// Poll is the longest wait between two claims unless it is said.
const Poll = 5 * time.Second

func (d *Dispatcher[T]) prepare() {
	d.once.Do(func() {
		d.Lease, d.Poll, d.Grace = cmp.Or(d.Lease, 30*time.Second), cmp.Or(d.Poll, Poll), cmp.Or(d.Grace, 20*time.Second)
		d.wake = make(chan struct{}, 1)
		d.states = map[string]*state{}
		d.held = map[Lease]*hold{}
	})
}

// Wake says that something may be due. It never blocks and may be called at any
// time by anybody.
func (d *Dispatcher[T]) Wake() {
	d.prepare()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// WakeFor says that something of one target may be due. Nobody is woken if the target
// takes nothing now: whatever changes that wakes, too.
func (d *Dispatcher[T]) WakeFor(target string) {
	d.prepare()
	d.mu.Lock()
	s := d.states[target]
	full := s != nil && s.full
	d.mu.Unlock()
	if !full {
		d.Wake()
	}
}

// InFlight returns how many attempts are running.
func (d *Dispatcher[T]) InFlight() int {
	d.prepare()
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held)
}

// Run claims and attempts until ctx ends. It then claims nothing more, lets the
// attempts in flight finish for Grace, interrupts the rest, and returns when
// every attempt has returned.
func (d *Dispatcher[T]) Run(ctx context.Context) {
	d.prepare()
	lasting := context.WithoutCancel(ctx) // the store is spoken to until the end
	work, interrupt := context.WithCancelCause(lasting)
	defer interrupt(nil)
	stopped := make(chan struct{})
	renewed := make(chan struct{})
	go func() { defer close(renewed); d.renew(lasting, stopped) }()

	for ctx.Err() == nil {
		began := time.Now()
		d.wait(ctx, d.turn(ctx, work))
		d.pace(ctx, began)
	}

	finished := make(chan struct{})
	go func() { d.wg.Wait(); close(finished) }()
	grace := time.NewTimer(d.Grace)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C:
		interrupt(ErrDrain)
		<-finished
	}
	close(stopped)
	<-renewed
}

// wait returns when something may be due.
func (d *Dispatcher[T]) wait(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-t.C:
	}
}

// gather is the shortest time between the beginnings of two turns. Under load
// every ingest wakes the loop: looking once for many costs the store less than
// looking for each. A first event after a pause is looked for at once.
const gather = 2 * time.Millisecond

// pace holds the next turn back if the last one has only just begun.
func (d *Dispatcher[T]) pace(ctx context.Context, began time.Time) {
	early := gather - time.Since(began)
	if early <= 0 {
		return
	}
	t := time.NewTimer(early)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// turn claims once, starts what it got, and returns how long to wait.
func (d *Dispatcher[T]) turn(ctx, work context.Context) time.Duration {
	targets := d.Targets()
	want, change := d.demand(targets)
	if len(want) == 0 {
		return d.until(change) // a freed slot wakes us
	}
	asked := time.Now()
	// Not ctx: a claim that is cut off may have been made all the same.
	items, next, err := d.claim(work, want)
	if err != nil {
		d.Trouble("claiming due deliveries", err)
		return d.Poll
	}
	ends := usable(asked, d.Lease)
	if ctx.Err() != nil || !time.Now().Before(ends) {
		d.giveBack(work, items)
		return 0
	}
	for _, it := range items {
		d.start(newHold(work, ends), it, targets[it.Target])
	}
	if len(items) > 0 {
		return 0 // there may be more
	}
	return min(d.until(next), d.until(change))
}

// until is how long to wait for a time, zero being none.
func (d *Dispatcher[T]) until(at time.Time) time.Duration {
	if at.IsZero() {
		return d.Poll
	}
	return min(max(time.Until(at), time.Millisecond), d.Poll)
}

func (d *Dispatcher[T]) claim(ctx context.Context, want map[string]int) (items []Item[T], next time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return d.Source.Claim(ctx, want, d.Lease)
}

func (d *Dispatcher[T]) giveBack(ctx context.Context, items []Item[T]) {
	if len(items) == 0 {
		return
	}
	leases := make([]Lease, len(items))
	for i, it := range items {
		leases[i] = it.Lease
	}
	if err := d.Source.Release(ctx, leases); err != nil {
		d.Trouble("giving back claimed deliveries", err)
	}
}

func (l Lease) id() Lease { return Lease{Key: l.Key, Token: l.Token} }

func (d *Dispatcher[T]) start(h *hold, it Item[T], t Target) {
	d.mu.Lock()
	d.held[it.Lease.id()] = h
	s := d.states[it.Target]
	it.Probe, it.Revived = s.begin(time.Now())
	d.mu.Unlock()
	d.wg.Go(func() {
		report := Report{Health: Trouble}
		defer func() {
			if p := recover(); p != nil {
				d.Trouble("attempting a delivery", fmt.Errorf("panic: %v", p))
			}
			h.end()
			d.mu.Lock()
			delete(d.held, it.Lease.id())
			changed := s.end(time.Now(), it.Lease.Key, it.Probe, report, t)
			now := s.condition()
			if changed && !now.Paused {
				d.reached(s, time.Now())
			}
			d.mu.Unlock()
			if changed && d.Changed != nil {
				d.Changed(it.Target, now)
			}
			d.Wake()
		}()
		report = d.Attempt(h, it)
	})
}

// renew keeps the leases of what is in flight alive, a third of a lease at a
// time and sooner after a failure, until stopped. An attempt whose lease is lost is interrupted; one whose
// lease could not be renewed is so by its [hold].
func (d *Dispatcher[T]) renew(ctx context.Context, stopped <-chan struct{}) {
	next := time.NewTimer(d.Lease / 3)
	defer next.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-next.C:
		}
		began, pause := time.Now(), d.Lease/3
		if err := d.renewAll(ctx); err != nil {
			d.Trouble("renewing leases", err)
			pause /= 5
		}
		next.Reset(max(pause-time.Since(began), time.Millisecond))
	}
}

func (d *Dispatcher[T]) renewAll(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	d.mu.Lock()
	held := maps.Clone(d.held)
	d.mu.Unlock()
	maps.DeleteFunc(held, func(_ Lease, h *hold) bool { return h.over() })
	if len(held) == 0 {
		return nil
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, max(d.Lease/3, time.Millisecond))
	defer cancel()
	lost, err := d.Source.Renew(ctx, slices.Collect(maps.Keys(held)), d.Lease)
	if err != nil {
		return err
	}
	for _, l := range lost {
		if h := held[l.id()]; h != nil {
			h.cancel(ErrStale)
		}
		delete(held, l.id())
	}
	for _, h := range held {
		h.extend(usable(asked, d.Lease))
	}
	return nil
}
