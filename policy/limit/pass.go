package limit

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// pass lets an attempt through when there is a place for it. A place of which
// nothing came, because a stage below refused, is given back.
func (b *Block) pass(k Key, r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	switch {
	case b.By != nil:
		k.By, _ = b.By.String(x)
	case b.kind == byWord:
		k.By = x.Account
	}
	place, err := b.take(r.Context(), x, k)
	if err != nil {
		return nil, err
	}
	sent, start, settled := x.Attempts, time.Time{}, false
	if b.kind != byRate {
		start = time.Now()
		defer func() {
			if !settled { // a panic above the transport must not keep the place
				place.Back()
			}
		}()
	}
	resp, err := next.RoundTrip(r)
	settled = true
	switch unsent := x.Attempts == sent; {
	case b.kind == byConcurrency && resp != nil:
		atEnd(resp, place.Back)
	case b.kind == byConcurrency, unsent && place.Back != nil:
		place.Back()
	case b.kind == byWord:
		b.learn(k, x, resp, start)
	}
	return resp, err
}

// try takes a place that is there now, or for one who waits one that is there
// within that time.
func (b *Block) try(k Key, within time.Duration) Place {
	switch b.kind {
	case byConcurrency:
		ok, left := b.st.slots.take(k, b.share())
		return b.slot(k, ok, left)
	case byWord:
		return b.window(k).take(time.Now())
	}
	return b.st.source.Reserve(k, Rule{Rate: b.Rate.PerSecond(), Burst: b.Burst}, within)
}

// share is how many calls at once are this process's.
func (b *Block) share() int { return max(1, b.Concurrency/max(1, b.st.live())) }

func (b *Block) slot(k Key, ok bool, left int) Place {
	p := Place{OK: ok, Left: float64(left)}
	if ok {
		p.Back = func() {
			b.st.slots.free(k)
			b.st.hall.stir(k)
		}
	}
	return p
}

// take takes a place, waiting for it if that is soon enough. A call that is only
// observed goes on without one.
func (b *Block) take(ctx context.Context, x *policy.Exchange, k Key) (Place, error) {
	var p Place
	if observed := b.Mode == policy.Observe; observed || b.Wait.Duration <= 0 || !b.st.hall.busy(k) {
		p = b.try(k, 0)
		if b.By == nil && b.kind != byWord {
			b.st.observer.LimitRemaining(k.Provider, k.Name, p.Left)
		}
		if observed {
			return b.observe(x, k, p), nil
		}
		if p.OK {
			return b.due(ctx, x, p)
		}
		if b.Wait.Duration <= 0 {
			return Place{}, b.refuse(k, p.Wait, tooLate)
		}
	}
	within := b.Wait.Duration
	if until := x.Until(); !until.IsZero() {
		within = min(within, time.Until(until))
	}
	w := wish{line: line{x.Client, x.Account}, urgency: usual, within: max(0, within), next: p.Wait}
	if b.Priority != nil {
		word, _ := b.Priority.String(x)
		w.urgency = urgency(word)
	}
	p, waited, why, err := b.st.hall.wait(ctx, k, b.supply(k), w)
	if waited > 0 {
		x.Waited += waited
		b.st.observer.LimitWait(k.Provider, k.Name, waited)
	}
	if why != 0 {
		return Place{}, b.refuse(k, p.Wait, why)
	}
	return p, err
}

// due waits for the moment of a place that was had without a queue: a replica's
// clock may be ahead of that by which all count.
func (b *Block) due(ctx context.Context, x *policy.Exchange, p Place) (Place, error) {
	if err := x.Sleep(ctx, p.Wait); err != nil {
		p.Back()
		return Place{}, err
	}
	return p, nil
}

// supply is what calls wait for.
func (b *Block) supply(k Key) supply {
	s := supply{take: func() Place { return b.try(k, b.Wait.Duration) }, length: b.Queue}
	if b.kind == byRate {
		s.every = Rule{Rate: b.Rate.PerSecond(), Burst: b.Burst}.Every()
	}
	return s
}

func (b *Block) refuse(k Key, wait time.Duration, why refusal) error {
	what := fmt.Sprintf("%v", b.Rate)
	hint := "Call more slowly, or raise limit.rate or limit.wait if the provider grants more."
	switch b.kind {
	case byConcurrency:
		what = fmt.Sprintf("%d at once", b.Concurrency)
		hint = "Make fewer calls at once, or raise limit.concurrency or limit.wait if the provider grants more."
	case byWord:
		what = "by the provider's own word"
		hint = "Wait for Retry-After: the provider says that nothing is left until then. Others may use the same account."
	}
	d := &policy.Denial{Code: policy.Limited, Stage: "limit", RetryAfter: wait, Hint: hint}
	switch {
	case why == tooMany:
		d.Detail = fmt.Sprintf("limit %q of %s (%s) is reached, and its queue of %d calls is full", k.Name, k.Provider, what, b.Queue)
		d.Hint = "Make fewer calls at once, or raise limit.queue."
	case wait <= 0:
		d.Detail = fmt.Sprintf("limit %q of %s (%s) is reached, and no place came free in time", k.Name, k.Provider, what)
		d.RetryAfter = time.Second
	default:
		d.Detail = fmt.Sprintf("limit %q of %s (%s) is reached, and the next free place is %v away", k.Name, k.Provider, what, wait.Round(time.Millisecond))
	}
	return d
}

// observe notes what a limit would have done to a call that it lets pass.
func (b *Block) observe(x *policy.Exchange, k Key, p Place) Place {
	wait, refused := p.Wait, p.Wait > b.Wait.Duration
	passed := p.OK
	switch {
	case b.kind == byRate: // as if those before had waited
		q := b.st.shadow.Reserve(k, Rule{Rate: b.Rate.PerSecond(), Burst: b.Burst}, b.Wait.Duration)
		wait, refused = max(wait, q.Wait), refused || !q.OK
		p.Back = both(p.Back, q.Back)
	case p.OK:
	case b.kind == byConcurrency:
		b.st.slots.occupy(k)
		p = b.slot(k, true, 0)
	default:
		p = b.window(k).force()
	}
	switch {
	case passed:
	case refused:
		x.Note("limit", "would_refuse", k.Name+": "+wait.Round(time.Millisecond).String())
		b.st.observer.LimitObserved(k.Provider)
	default:
		x.Note("limit", "would_wait", k.Name+": "+wait.Round(time.Millisecond).String())
	}
	return p
}

// both calls two functions, of which each may be nil.
func both(f, g func()) func() {
	switch {
	case f == nil:
		return g
	case g == nil:
		return f
	}
	return func() { f(); g() }
}
