package inbound

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/queue"
)

// An application without a server fetches its events: a worker claims some, and
// says of each what came of it before its lease ends. Claims, leases, lanes and
// attempts are those of deliveries that are posted.

var (
	// ErrNoTarget says that there is no target of this name which is pulled.
	ErrNoTarget = errors.New("no deliver block of this name has pull = true")
	// ErrLease says that a text is no lease that a claim has given.
	ErrLease = errors.New("this is no lease that a claim has given")
)

// Pull is what a worker asks for.
type Pull struct {
	Webhook, Target string        // Target is the label of the deliver block, "" if it has none
	Max             int           // events, at most
	Wait            time.Duration // for the first
	Lease           time.Duration // how long the worker has them without word
}

// Pulled is one event that a worker has.
type Pulled struct {
	Lease    string
	Deadline time.Time // then others may have it
	Header   http.Header
	Body     []byte
}

// maxPulled is how many bytes of bodies one claim gives out, about.
const maxPulled = 16 << 20

// leaseText is what a worker is given to name a delivery by. Whoever may use the API
// is trusted with it; the fence in it is what decides.
type leaseText struct {
	Key, Token int64
	Attempt    int
	Wait       time.Duration
	Event      string
	Webhook    string
	Target     string
	Received   time.Time
	Claimed    time.Time
	Lane       string   `json:",omitempty"`
	Rank       Rank     `json:",omitempty"`
	Reached    *Reached `json:",omitempty"`
	Shared     int64    `json:",omitempty"` // see [Delivery]
}

func (l *leaseText) String() string {
	text, _ := json.Marshal(l) // of numbers, texts and times
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseLease(text string) (*leaseText, error) {
	var l leaseText
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &l) != nil || l.Event == "" || l.Target == "" || l.Token <= 0 {
		return nil, ErrLease
	}
	return &l, nil
}

func (l *leaseText) lease() queue.Lease { return queue.Lease{Key: l.Key, Token: l.Token} }

func (l *leaseText) delivery() *Delivery {
	return &Delivery{
		Event:  Event{ID: l.Event, Webhook: l.Webhook, Received: l.Received, Lane: l.Lane, Rank: l.Rank},
		Target: l.Target, Attempt: l.Attempt, Wait: l.Wait, lease: l.lease(), reached: l.Reached, shared: l.Shared,
	}
}

// bell wakes all who wait for it.
type bell struct {
	mu sync.Mutex
	ch chan struct{} // nil if nobody waits
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// pulled is the target that a worker means.
func (in *Inbox) pulled(webhook, label string) (name string, t target, err error) {
	name = webhook
	if label != "" {
		name += "/" + label
	}
	t, ok := in.set.Load().targets[name]
	if !ok || !t.deliver.Pull {
		return "", t, in.noTarget()
	}
	return name, t, nil
}

// noTarget is [ErrNoTarget] with the targets that there are.
func (in *Inbox) noTarget() error {
	var there []string
	for name, t := range in.set.Load().targets {
		if t.deliver.Pull {
			hook, label, _ := strings.Cut(name, "/")
			there = append(there, strings.TrimSuffix(fmt.Sprintf("webhook=%s&target=%s", hook, label), "&target="))
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("%w, nor has any other", ErrNoTarget)
	}
	slices.Sort(there)
	return fmt.Errorf("%w: there are %s", ErrNoTarget, strings.Join(there, ", "))
}

// Claim gives out events that are due, and waits for the first if there is none. At
// the end of the process it gives none at once.
func (in *Inbox) Claim(ctx context.Context, p Pull) ([]Pulled, error) {
	end := time.NewTimer(p.Wait)
	defer end.Stop()
	for {
		rung := in.pulls.wait()
		name, t, err := in.pulled(p.Webhook, p.Target)
		if err != nil || in.ending.Load() {
			return nil, err
		}
		got, next, err := in.claim(ctx, name, t, p)
		if err != nil || len(got) > 0 {
			return got, err
		}
		pause := cmp.Or(in.opt.Poll, queue.Poll)
		if !next.IsZero() {
			pause = min(max(time.Until(next), time.Millisecond), pause)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end.C:
			return nil, nil
		case <-rung:
		case <-time.After(pause):
		}
	}
}

// claim looks once. next is when to look again, zero if nobody knows.
func (in *Inbox) claim(ctx context.Context, name string, t target, p Pull) (got []Pulled, next time.Time, err error) {
	lasting := context.WithoutCancel(ctx) // a claim that is cut off may have been made all the same
	within, cancel := context.WithTimeout(lasting, recordWithin)
	defer cancel()
	asked := time.Now()
	items, next, err := in.opt.Store.Claim(within, map[string]int{name: p.Max}, p.Lease+t.reading())
	if err != nil || len(items) == 0 {
		return nil, next, err
	}
	size, leases := 0, []queue.Lease(nil)
	for i := range items {
		if late := time.Since(asked) > p.Lease/2; ctx.Err() != nil || late || size > maxPulled {
			err := errors.Join(ctx.Err(), in.giveBack(lasting, items[i:]))
			return in.given(lasting, t, got, leases, p.Lease), next, err
		}
		it := &items[i]
		in.tell(&it.Work, it.Work.From, Processing, &Move{Attempt: it.Work.Attempt})
		one, instead := in.hand(ctx, it, t, asked.Add(p.Lease))
		if instead == nil {
			got, leases, size = append(got, *one), append(leases, it.Lease), size+len(one.Body)
		} else if m := t.hook.ordered(&it.Work, *instead); in.end(lasting, &it.Work, m) {
			in.tell(&it.Work, Processing, m.To, &m)
		}
	}
	if len(got) == 0 {
		next = time.Now() // there may be more behind what was put aside
	}
	return in.given(lasting, t, got, leases, p.Lease), next, nil
}

// reading is how long a state may be read before an event is given out.
func (t target) reading() time.Duration {
	if t.hook.Latest == nil {
		return 0
	}
	return t.hook.Latest.Timeout.Duration
}

// given is what a worker gets under these leases: they begin when all of it is there,
// if that has taken its time. What is not renewed has the deadline that it had.
func (in *Inbox) given(ctx context.Context, t target, got []Pulled, leases []queue.Lease, lease time.Duration) []Pulled {
	if t.reading() == 0 || len(got) == 0 {
		return got
	}
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	asked := time.Now()
	lost, err := in.opt.Store.Renew(ctx, leases, lease)
	if err != nil {
		in.opt.Observer.trouble("renewing what a worker claims", err)
		return got
	}
	out := got[:0]
	for i, l := range leases {
		if !slices.Contains(lost, l) {
			got[i].Deadline = asked.Add(lease)
			out = append(out, got[i])
		}
	}
	return out
}

func (in *Inbox) giveBack(ctx context.Context, items []queue.Item[Delivery]) error {
	leases := make([]queue.Lease, len(items))
	for i, it := range items {
		leases[i] = it.Lease
	}
	return in.opt.Store.Release(ctx, leases)
}

// hand makes what a worker is given of a claimed delivery, or says which move is
// made instead.
func (in *Inbox) hand(ctx context.Context, it *queue.Item[Delivery], t target, until time.Time) (*Pulled, *Move) {
	d, now := &it.Work, time.Now()
	d.lease = it.Lease
	if m := in.abandoned(ctx, d, t); m != nil {
		return nil, m
	}
	msg, instead := in.message(ctx, d, t)
	if instead != nil {
		return nil, instead
	}
	header, err := heading(d, msg, t.deliver, now)
	if err != nil {
		m := judge(d, outcome{err: err}, t.deliver, t.retry(), now, in.opt.Random)
		return nil, &m
	}
	l := leaseText{
		Key: it.Lease.Key, Token: it.Lease.Token, Attempt: d.Attempt, Wait: d.Wait,
		Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, Received: d.Event.Received, Claimed: now,
		Lane: d.Event.Lane, Rank: d.Event.Rank, Reached: d.reached, Shared: d.shared,
	}
	return &Pulled{Lease: l.String(), Deadline: until, Header: header, Body: msg.body}, nil
}

// abandoned says what becomes of a delivery whose workers let their leases end, nil
// if another may have it.
func (in *Inbox) abandoned(ctx context.Context, d *Delivery, t target) *Move {
	if d.From != Processing || t.deliver.Poison == 0 {
		return nil
	}
	n, err := in.harm(ctx, d, func(t *Transition) bool { return t.From == Processing && t.To == Processing })
	if err != nil {
		in.opt.Observer.trouble("reading what an event did before", err)
		return nil
	}
	if n < t.deliver.Poison {
		return nil
	}
	return &Move{To: Quarantined, Attempt: d.Attempt, Reason: fmt.Sprintf("isolated: %d workers let its lease end without a word", n)}
}

// Ack says that the application has applied what the lease is for, or
// [queue.ErrStale] if the lease had ended.
func (in *Inbox) Ack(ctx context.Context, lease string) error {
	l, err := parseLease(lease)
	if err != nil {
		return err
	}
	return in.settled(ctx, l, Move{To: Applied, Attempt: l.Attempt, Reason: "acknowledged"})
}

// Nack is word that an event was not applied.
type Nack struct {
	Reason string        // the application's words, for the trail
	Fail   bool          // no more attempts
	Delay  time.Duration // until the next, 0 for what the policy says
}

// maxNack is the longest delay that a worker may ask for.
const maxNack = 30 * 24 * time.Hour

// Nack gives back what the lease is for, as an attempt that counts, or returns
// [queue.ErrStale] if the lease had ended. It says where the delivery stands now.
func (in *Inbox) Nack(ctx context.Context, lease string, n Nack) (State, error) {
	l, err := parseLease(lease)
	if err != nil {
		return "", err
	}
	label := strings.TrimPrefix(strings.TrimPrefix(l.Target, l.Webhook), "/")
	_, t, err := in.pulled(l.Webhook, label)
	if err != nil {
		return "", err
	}
	m := Move{To: Retrying, Attempt: l.Attempt, Reason: "not acknowledged", Detail: n.Reason[:min(len(n.Reason), maxDetail)]}
	switch retry := t.retry(); {
	case n.Fail:
		m.To, m.Reason = Failed, "refused by the worker"
	case l.Attempt >= retry.Attempts:
		m.To, m.Reason = Failed, fmt.Sprintf("given up after %d attempts: not acknowledged", l.Attempt)
	default:
		if m.Wait = min(n.Delay, maxNack); m.Wait <= 0 {
			m.Wait = retry.Backoff.delays().Delay(l.Attempt, l.Wait, in.opt.Random)
		}
		m.Due = time.Now().Add(m.Wait)
	}
	m.Detail = strings.ToValidUTF8(m.Detail, "\ufffd")
	return m.To, in.settled(ctx, l, m)
}

// settled makes the move by which a worker ends an attempt.
func (in *Inbox) settled(ctx context.Context, l *leaseText, m Move) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	m.Took = max(time.Since(l.Claimed), 0)
	d := l.delivery()
	if t, ok := in.set.Load().targets[l.Target]; ok {
		m = t.hook.ordered(d, m)
	}
	in.sweepShared(within, d, m)
	if err := in.opt.Store.Finish(within, l.lease(), m); err != nil {
		return err
	}
	in.tell(d, Processing, m.To, &m)
	in.opt.Observer.attempt(&Attempt{Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, Attempt: d.Attempt, Result: m.To, Took: m.Took, Reason: m.Reason})
	in.Wake() // the next of its lane is due
	return nil
}

// Extend has the lease end only after another d from now, and returns when that
// is, or [queue.ErrStale] if it had ended.
func (in *Inbox) Extend(ctx context.Context, lease string, d time.Duration) (time.Time, error) {
	l, err := parseLease(lease)
	if err != nil {
		return time.Time{}, err
	}
	asked := time.Now()
	lost, err := in.opt.Store.Renew(ctx, []queue.Lease{l.lease()}, d)
	if err == nil && len(lost) > 0 {
		err = queue.ErrStale
	}
	return asked.Add(d), err
}
