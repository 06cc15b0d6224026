package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A hall is where calls wait: one queue for each key. A queue is there while
// somebody is in it, and a goroutine with it that hands out what the queue waits
// for, in the queue's order and not in that of asking.
type hall struct {
	open atomic.Int64 // queues: a hall without any is passed at the cost of this look

	mu     sync.Mutex
	queues map[Key]*gate
}

// gate is one queue with what it waits for.
type gate struct {
	queue
	supply supply
	next   time.Time     // when there will be a place, as far as is known; zero is not at all
	wake   chan struct{} // somebody left, or supply may have more than it said. It has room for one
}

// supply is what a queue waits for.
type supply struct {
	take   func() Place  // takes a place, that may be one to come; where there is none, Wait says when to ask again, 0 when woken
	every  time.Duration // between two places, at least; 0 is not known
	length int           // calls that may wait
}

// wish is a call that needs a place.
type wish struct {
	line    line
	urgency int
	within  time.Duration // how long it may wait
	next    time.Duration // how long it is until there is a place, as the supply said when it was asked just now
}

// refusal says why a call may not wait.
type refusal uint8

const (
	tooLate refusal = iota + 1 // there will be no place in time, or there was none
	tooMany                    // the queue is full
)

// busy reports whether somebody waits for k, so that nobody may pass them.
func (h *hall) busy(k Key) bool {
	if h.open.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queues[k] != nil
}

// stir has the queue of k ask its supply again.
func (h *hall) stir(k Key) {
	if h.open.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.queues[k]; g != nil {
		g.stir()
	}
}

func (g *gate) stir() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// wait waits for a place, and says for how long it did. Where there is none in
// time, why is not 0, and Wait of the place says when there may be one.
func (h *hall) wait(ctx context.Context, k Key, s supply, w wish) (p Place, waited time.Duration, why refusal, err error) {
	me := &waiter{urgency: w.urgency, since: time.Now(), given: make(chan Place, 1)}
	if p, why = h.join(k, s, w, me); why != 0 {
		return p, 0, why, nil
	}
	timer := time.NewTimer(w.within)
	defer timer.Stop()
	gone := false
	select {
	case p = <-me.given:
	case <-timer.C:
		p = h.leave(k, me, w)
	case <-ctx.Done():
		p, gone = h.leave(k, me, w), true
	}
	waited = time.Since(me.since)
	switch {
	case gone:
		if p.OK && p.Back != nil {
			p.Back()
		}
		return Place{}, waited, 0, context.Cause(ctx)
	case p.OK:
		return p, waited, 0, nil
	case p.evicted:
		return p, waited, tooMany, nil
	}
	return p, waited, tooLate, nil
}

// join puts a call into the queue, unless it would wait in vain.
func (h *hall) join(k Key, s supply, w wish, me *waiter) (p Place, why refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.queues[k]
	wait := w.next
	if g != nil {
		wait = g.after(g.ahead(w.line, w.urgency), s.every)
	}
	if p.Wait = wait; wait > w.within {
		return p, tooLate
	}
	if s.length < 1 {
		return p, tooMany
	}
	if g == nil {
		if h.queues == nil {
			h.queues = map[Key]*gate{}
		}
		g = &gate{wake: make(chan struct{}, 1), next: time.Now().Add(w.next)}
		h.queues[k] = g
		h.open.Add(1)
		defer func() { go h.run(k, g) }()
	}
	g.supply = s
	if g.n >= s.length {
		last := g.evict(w.line, w.urgency)
		if last == nil {
			return p, tooMany
		}
		last.given <- Place{Wait: max(wait, s.every), evicted: true}
	}
	g.push(w.line, me)
	return p, 0
}

// after is how long it is until there was a place for n others and one more.
func (g *gate) after(n int, every time.Duration) time.Duration {
	first := time.Duration(0)
	if !g.next.IsZero() {
		first = max(0, time.Until(g.next))
	}
	return first + times(every, n)
}

// times is d n times, and the longest Duration where that is longer.
func times(d time.Duration, n int) time.Duration {
	if n > 0 && d > (1<<62)/time.Duration(n) {
		return 1 << 62
	}
	return d * time.Duration(n)
}

// leave takes a call out of the queue, or returns what it was given meanwhile. The
// Wait of a place that is not OK is how much longer it would have been.
func (h *hall) leave(k Key, me *waiter, w wish) Place {
	h.mu.Lock()
	defer h.mu.Unlock()
	if me.row == nil {
		return <-me.given
	}
	g := h.queues[k]
	g.remove(me)
	g.stir()
	return Place{Wait: g.after(g.ahead(w.line, w.urgency), g.supply.every)}
}

// run hands out places until nobody waits.
func (h *hall) run(k Key, g *gate) {
	for {
		s, ok := h.supply(k, g)
		if !ok {
			return
		}
		p := s.take()
		h.expect(g, p)
		if !p.OK {
			g.pause(p.Wait)
			continue
		}
		for until := time.Now().Add(p.Wait); p.Wait > 0 && h.wanted(g); p.Wait = time.Until(until) {
			g.pause(p.Wait)
		}
		h.hand(g, p)
	}
}

// supply is what the queue waits for now, not ok if nobody is in it any more.
func (h *hall) supply(k Key, g *gate) (s supply, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.n == 0 {
		delete(h.queues, k)
		h.open.Add(-1)
		return supply{}, false
	}
	return g.supply, true
}

// expect takes note of when there will be a place.
func (h *hall) expect(g *gate, p Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g.next = time.Now().Add(p.Wait)
}

func (h *hall) wanted(g *gate) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return g.n > 0
}

// hand gives a place to whoever is next, and back if that is nobody.
func (h *hall) hand(g *gate, p Place) {
	h.mu.Lock()
	w := g.pop()
	if w != nil {
		p.Wait = 0
		w.given <- p
	}
	h.mu.Unlock()
	if w == nil && p.Back != nil {
		p.Back()
	}
}

// pause rests for d, or until the gate is woken; 0 is until then.
func (g *gate) pause(d time.Duration) {
	if d <= 0 {
		<-g.wake
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.wake:
	}
}
