package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/queue"
)

// Latest is a latest block: before an event is delivered, the state of the thing
// that it is about is read from the provider, under the provider's own policy.
type Latest struct {
	Get       *block.Expr    `hcl:"get" scope:"event" encode:"path"` // path and query at the provider
	When      *block.Expr    `hcl:"when,optional" scope:"event" type:"bool"`
	As        Shape          `hcl:"as,optional"`
	Debounce  block.Duration `hcl:"debounce,optional"` // after the first event of a key; those that come before the state is read share it
	Version   *block.Expr    `hcl:"version,optional" scope:"response"`
	Unchanged Repeat         `hcl:"unchanged,optional"`
	Gone      Repeat         `hcl:"gone,optional"` // of what the provider does not have; "" is as doubtful says
	Timeout   block.Duration `hcl:"timeout,optional"`
	Within    block.Duration `hcl:"within,optional"` // how long reading is tried
	Max       block.Size     `hcl:"max,optional"`    // of the state
}

// Shape is in what shape the latest state is delivered.
type Shape string

// The shapes.
const (
	Envelope  Shape = "envelope" // {"event": …, "latest": …, "as_of": …}
	InsteadOf Shape = "body"     // the state in place of the event's body
)

// UnmarshalText accepts the shapes.
func (s *Shape) UnmarshalText(text []byte) error {
	if *s = Shape(text); *s != Envelope && *s != InsteadOf {
		return fmt.Errorf("unknown shape %q: use envelope or body", text)
	}
	return nil
}

// Repeat is what becomes of an event after which there is no new state to tell of.
type Repeat string

// UnmarshalText accepts skip and deliver.
func (r *Repeat) UnmarshalText(text []byte) error {
	if *r = Repeat(text); *r != "skip" && *r != "deliver" {
		return fmt.Errorf("%q is no way to deal with it: use skip or deliver", text)
	}
	return nil
}

// Default sets the shape, the times and the size.
func (l *Latest) Default() {
	l.As, l.Unchanged, l.Max = Envelope, "skip", 1<<20
	l.Debounce.Duration, l.Timeout.Duration, l.Within.Duration = 2*time.Second, 10*time.Second, 3*24*time.Hour
}

// Check implements [block.Checker].
func (l *Latest) Check() error {
	var errs []error
	for _, d := range []struct {
		attr string
		is   time.Duration
	}{{"timeout", l.Timeout.Duration}, {"within", l.Within.Duration}, {"max", time.Duration(l.Max)}} {
		if d.is <= 0 {
			errs = append(errs, block.At(d.attr, "%s must be more than nothing", d.attr))
		}
	}
	if l.Debounce.Duration > time.Hour {
		errs = append(errs, block.At("debounce", "debounce must be at most an hour"))
	}
	return errors.Join(errs...)
}

// checkLatest says what is wrong with latest, given the other blocks.
func (w *Webhook) checkLatest() error {
	switch {
	case w.Latest == nil:
	case w.Provider == "":
		return block.At("latest", "latest reads at a provider: say whose webhook this is by provider")
	case w.Latest.Get != nil && w.Latest.Get.Reads("event.key") && (w.Event == nil || w.Event.Key == nil):
		return block.At("latest", "get asks for event.key: say by key in the event block what it is")
	}
	return nil
}

// wait is how long a new delivery waits for others of its key.
func (w *Webhook) wait(n *Names) time.Duration {
	if w.Latest == nil || !w.Latest.about(n) {
		return 0
	}
	return w.Latest.Debounce.Duration
}

// about reports whether the state is read for an event.
func (l *Latest) about(n *Names) bool { return l.When == nil || l.When.True(n) }

// shares reports whether events of a key share a state that was read for one of
// them: not where some of them are delivered without any.
func (w *Webhook) shares() bool {
	l := w.Latest
	return l != nil && l.Debounce.Duration > 0 && (l.When == nil || w.Order == nil || w.Order.Mode == ByArrival)
}

// state is what a provider said that a thing is like.
type state struct {
	body  []byte // nil if there is no such thing any more
	kind  string // its Content-Type
	asOf  time.Time
	mark  string // what tells it from another one, see [Mark]
	known bool   // it is what was delivered last
}

// What tells one state from another: its ETag, what version says, a digest, or that
// there is none.
const (
	markTag    = "etag "
	markSays   = "version "
	markDigest = "sha256 "
	markGone   = "gone"
)

// latest puts the state of the thing into a message, or says which move is made
// instead. A failure to read it is the provider's, not the application's: it counts
// as no attempt, and is tried for as long as within says, ever more slowly.
func (in *Inbox) latest(ctx context.Context, d *Delivery, t target, lane Lane, msg *message) (*message, *Move) {
	l := t.hook.Latest
	if l == nil || !l.about(about(&d.Event, msg.header, msg.body)) {
		return msg, nil
	}
	s, err := in.read(ctx, d, t.hook, lane, msg)
	if refused := (errRefused{}); errors.As(err, &refused) && l.Gone == "" && t.hook.doubtful(lane) && d.Origin != Replay {
		return nil, in.unconfirmed(d, t.hook, refused.Error())
	}
	if err != nil {
		return nil, in.notRead(ctx, d, t.hook, err)
	}
	if t.hook.shares() && d.Event.Lane != "" {
		// What is in the store is older than the answer: the provider had changed the
		// thing before it told us.
		d.shared = lane.Newest
	}
	if s.known && l.Unchanged == "skip" && d.Origin != Replay {
		return nil, d.ignored(unchanged + "the latest state is what was delivered before")
	}
	if s.mark == markGone && t.hook.doubtful(lane) && d.Origin != Replay {
		if l.Gone == "" {
			d.shared = 0 // what came since may be true, and is asked about once more, too
		}
		return nil, in.unconfirmed(d, t.hook, "the provider has no such thing")
	}
	if t.hook.check.None && s.mark != markGone {
		in.doubts.confirmed(t.hook.Name)
	}
	if d.reached == nil {
		d.reached = &Reached{Rank: d.Event.Rank}
	}
	d.reached.State = s.mark
	if s.mark == markGone && d.reached.Rank == d.Event.Rank && d.Event.Rank != "" && !d.Event.Rank.Gone() {
		d.reached.Rank += "!"
	}
	return s.into(l.As, msg), nil
}

// confirmAfter is how long after an event that nobody has signed came its provider is
// asked once more about what it did not have: who tells may be ahead of who is asked.
const confirmAfter = 10 * time.Second

// unconfirmed is the move of an event of which the provider knows nothing.
func (in *Inbox) unconfirmed(d *Delivery, hook *Webhook, why string) *Move {
	if again := d.Event.Received.Add(confirmAfter); hook.Latest.Gone == "" && time.Now().Before(again) {
		return &Move{To: Retrying, Due: again, Attempt: d.Attempt - 1, Wait: d.Wait, Reason: why + "; it is asked once more"}
	}
	if hook.check.None {
		if word := in.doubts.unconfirmed(hook.Name); word != nil {
			in.opt.Observer.trouble("confirming unsigned webhooks", word)
		}
	}
	return d.ignored(unconfirmed + why)
}

// errRefused is the status of an answer that says that what was asked makes no sense.
type errRefused struct{ status int }

func (e errRefused) Error() string {
	return fmt.Sprintf("the provider answers %d %s to its name", e.status, http.StatusText(e.status))
}

// doubtful reports whether an event is not delivered about what the provider does
// not have. Unless the policy says so, one that nobody has signed is not, if the
// application was told of no such thing before: anybody can make up a name.
func (w *Webhook) doubtful(lane Lane) bool {
	if w.Latest.Gone != "" {
		return w.Latest.Gone == "skip"
	}
	return w.check.None && lane.State == ""
}

// unread begins the reason of a delivery that waits because of that.
const unread = "the latest state cannot be read: "

// notRead is the move after a failure to read the latest state.
func (in *Inbox) notRead(ctx context.Context, d *Delivery, hook *Webhook, err error) *Move {
	why := unread + err.Error()
	if errors.Is(context.Cause(ctx), queue.ErrDrain) {
		return &Move{To: Retrying, Due: time.Now(), Attempt: d.Attempt - 1, Wait: d.Wait, Reason: interrupted}
	}
	if errors.Is(err, errNoPath) {
		return &Move{To: Failed, Attempt: d.Attempt - 1, Reason: why}
	}
	now, within := time.Now(), hook.Latest.Within.Duration
	if now.Sub(d.Event.Received) > within && d.Origin != Replay && now.Sub(in.failing(ctx, d, now)) > within {
		return &Move{To: Failed, Attempt: d.Attempt - 1, Reason: fmt.Sprintf("given up after %v: %s", within, why)}
	}
	b := hook.Retry.Backoff
	m := &Move{To: Retrying, Attempt: d.Attempt - 1, Reason: why}
	m.Wait = min(max(time.Duration(float64(d.Wait)*b.Factor), b.First.Duration, time.Millisecond), b.Max.Duration)
	m.Due = now.Add(m.Wait)
	return m
}

// failing is since when the state cannot be read for a delivery: it may have waited
// for something else before.
func (in *Inbox) failing(ctx context.Context, d *Delivery, now time.Time) time.Time {
	r, err := in.opt.Store.Show(ctx, d.Event.ID)
	if err != nil {
		return now // nobody knows
	}
	since := now
	for _, m := range slices.Backward(r.Trail) {
		switch {
		case m.Target != d.Target, m.To == Processing, m.Reason == interrupted:
		case m.To == Retrying && strings.HasPrefix(m.Reason, unread):
			since = m.At
		default:
			return since
		}
	}
	return since
}

// errNoPath says that an event makes no path to ask for, and never will.
var errNoPath = errors.New("the event does not say what to ask for")

// dotted reports whether a path can be read as another one.
func dotted(path string) bool {
	for step := range strings.SplitSeq(path, "/") {
		if step == "." || step == ".." {
			return true
		}
	}
	return false
}

// read asks the provider.
func (in *Inbox) read(ctx context.Context, d *Delivery, hook *Webhook, lane Lane, msg *message) (*state, error) {
	l := hook.Latest
	target, ok := l.Get.String(about(&d.Event, msg.header, msg.body))
	if !ok {
		return nil, errNoPath
	}
	if in.opt.Egress == nil {
		return nil, errors.New("there is no way to the provider")
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout.Duration)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil || req.URL.Host != "" || dotted(req.URL.EscapedPath()) {
		return nil, errNoPath
	}
	req.Header["User-Agent"], req.Header["Accept-Encoding"] = []string{"Postern"}, []string{"identity"}
	tag, conditional := strings.CutPrefix(lane.State, markTag)
	if conditional && l.Unchanged == "skip" && d.Origin != Replay {
		req.Header.Set("If-None-Match", tag)
	}
	asOf := time.Now()
	resp, err := in.opt.Egress(hook.Provider, d.Event.Account)(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(l.Max)+1))
	if err != nil {
		return nil, fmt.Errorf("its answer breaks off: %w", err)
	}
	if from := resp.Header.Get("Postern-Source"); from != "" && from != "provider" {
		return nil, fmt.Errorf("it was answered from what is kept (%s)", from)
	}
	return l.understand(resp, body, lane.State, asOf)
}

// understand says what an answer tells. known is what was delivered last.
func (l *Latest) understand(resp *http.Response, body []byte, known string, asOf time.Time) (*state, error) {
	s := &state{asOf: asOf, kind: resp.Header.Get("Content-Type")}
	switch {
	case resp.StatusCode == http.StatusNotModified && strings.HasPrefix(known, markTag):
		s.mark = known
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		s.mark = markGone
	case resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusUnprocessableEntity:
		return nil, errRefused{resp.StatusCode}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	case int64(len(body)) > int64(l.Max):
		return nil, fmt.Errorf("it is larger than %v", l.Max)
	case resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return nil, errors.New("it is compressed, and was asked for as it is")
	default:
		s.body, s.mark = body, l.tell(resp, body)
	}
	s.known = s.mark == known
	return s, nil
}

// tell is what tells a state from another: what version says of it, its ETag, or a
// digest.
func (l *Latest) tell(resp *http.Response, body []byte) string {
	if l.Version != nil {
		if v, ok := l.Version.String(&answered{resp, body}); ok && len(v) <= maxName {
			return markSays + v
		}
	} else if tag := resp.Header.Get("ETag"); tag != "" && len(tag) <= maxName {
		return markTag + tag
	}
	sum := sha256.Sum256(body)
	return markDigest + hex.EncodeToString(sum[:])
}

// answered answers the names of an answer.
type answered struct {
	*http.Response
	body []byte
}

// Lookup implements [block.Source].
func (a *answered) Lookup(ref *block.Ref) block.Value {
	switch ref.Name {
	case "response.status":
		return block.Value{Kind: block.Number, Str: fmt.Sprint(a.StatusCode)}
	case "response.header":
		if ref.Key == "" {
			return block.ObjectValue(a.Header)
		}
		if v, ok := only(a.Header.Values(ref.Key)); ok {
			return block.Value{Kind: block.String, Str: v}
		}
	case "response.body":
		return block.JSONValue(a.body, ref.Path)
	}
	return block.Value{}
}
