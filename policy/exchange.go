package policy

import (
	"context"
	"maps"
	"net/http"
	"time"
)

// An Exchange is one outbound call on its way through a plan. Stages reach it
// with [From]. One goroutine at a time may use it; it becomes one line of the
// journal when the last byte is out.
type Exchange struct {
	ID       string // correlation id, UUIDv7
	Start    time.Time
	Client   string // name of the client block, "" when none is declared
	Account  string // "" is the provider's only one
	Token    string // by which the client has shown who it is in the place of a credential, "" if another way
	Tags     string // Postern-Tags as sent, already checked
	Trace    string // the application's traceparent, "" if it sent none or several (W3C Trace Context)
	Plan     *Plan
	Endpoint string // label: a pattern of the configuration, or "other"

	Request *http.Request // as the application sent it; once in a plan, with the provider's URL, and not to be changed below idempotency
	Body    *Body         // its body; never nil
	Key     Key           // the idempotency key, set by the stage of that name
	Unsure  bool          // an earlier call with this key may have had its effect: look before sending
	Decided bool          // a person wants it sent, whatever became of an earlier one: only a look may stop it
	Stored  bool          // the outbox has the call, and keeps what comes of it

	Aside     bool // made by Postern itself for the sake of another call: nobody keeps its answer or its failure
	Done      bool // the call is known to have had its effect, whatever the last attempt shows
	Converges bool // the whole call may be made again: a stage sees to it that it has one effect
	// Absent asks the provider, and reports whether it surely shows no effect of the
	// call so far; nil if nobody can ask. Before retry sends again what may have been
	// done, and nothing else makes that safe, it asks.
	Absent func(context.Context) bool

	Send     *Body         // what the attempt under way sends instead of Body; nil is Body itself
	Attempts int           // how often it was sent
	Trail    []Try         // what became of each attempt, the last ones of many
	Waited   time.Duration // time spent waiting for limits, for tokens and between attempts
	Upstream time.Duration // time spent in the transport until response headers
	Now      Attempt       // the attempt under way, or the last one

	// What the verdict on the last attempt was, set by the outcome stage.
	Outcome  Outcome
	Source   AnswerSource // who made the answer; "" is the provider
	Hint     string       // of the outcome rule that matched
	Response *http.Response
	peek     peeked

	Unretried Unretried // why there was no further attempt, set by retry

	// Asked is the wait that an answer asks for, by its headers or by what the policy
	// names; set by retry.
	Asked func(*Exchange, *http.Response) (time.Duration, bool)

	Repeat bool   // the application's SDK makes a retry of its own
	Stop   string // canonical header by which the answer tells SDKs to make none; "" says nothing

	// Certificate is what the attempt under way proves itself with, nil for
	// nothing: it goes out over TLS on which that was shown, or not at all.
	Certificate *ClientCertificate

	Fresh bool   // a credential stage knows that another attempt would carry a fresh credential
	Keys  string // fingerprints of the keys that the last attempt carried

	// What the provider said about a failure, set by the error stage.
	ProviderCode, ProviderMessage, ProviderRequestID string

	Total, Deadline time.Time     // of the whole call and of this attempt, until response headers; zero is none
	PerAttempt      time.Duration // limit of one attempt until response headers; zero is none
	Connect         time.Duration // limit of one connection attempt; zero is the transport's own
	Idle            time.Duration // limit without progress in a body; zero is none

	Notes []Note

	tries [4]Try // the memory of Trail, as long as that suffices
	kept  []keep
	keeps [2]keep // the memory of kept, as long as that suffices
}

// keep is what a stage knows of a call.
type keep struct{ stage, what any }

// Keep keeps something for the further attempts of this call, under the name of
// the stage, which is a pointer of its own.
func (x *Exchange) Keep(stage, what any) {
	for i := range x.kept {
		if x.kept[i].stage == stage {
			x.kept[i].what = what
			return
		}
	}
	if x.kept == nil {
		x.kept = x.keeps[:0]
	}
	x.kept = append(x.kept, keep{stage, what})
}

// Kept returns what a stage keeps, nil if that is nothing.
func (x *Exchange) Kept(stage any) any {
	for i := range x.kept {
		if x.kept[i].stage == stage {
			return x.kept[i].what
		}
	}
	return nil
}

// Carries records the fingerprint of a key that the attempt under way carries; ""
// is for one that has none.
func (x *Exchange) Carries(fingerprint string) {
	switch {
	case x.Keys == "" || fingerprint == "":
		x.Keys += fingerprint
	default:
		x.Keys += "," + fingerprint
	}
}

// Outgoing is the body that the attempt under way sends.
func (x *Exchange) Outgoing() *Body {
	if x.Send != nil {
		return x.Send
	}
	return x.Body
}

// Try is what became of one attempt.
type Try struct {
	Status  int // 0 if there was no answer
	Outcome Outcome
	Known   string        // how far it got without an answer, see [Attempt.Known]
	Wait    time.Duration // before the next one; 0 if there was none
	Reason  string        // why there was a next one
}

// Began records that an attempt goes to the transport.
func (x *Exchange) Began() {
	if x.Trail == nil {
		x.Trail = x.tries[:0]
	}
	x.Attempts++
	x.Trail = append(x.Trail, Try{})
}

// Ended records what became of it.
func (x *Exchange) Ended(status int, o Outcome) {
	x.Outcome, x.Now.Outcome, x.Now.Status = o, o, status
	try := Try{Status: status, Outcome: o}
	if status == 0 {
		try.Known = x.Now.Known()
	}
	x.Trail[len(x.Trail)-1] = try
}

// Key is an idempotency key.
type Key struct {
	Value  string
	Origin KeyOrigin
	Final  []int // statuses that the provider saves for the key and only repeats
	Local  bool  // the provider is not told of it: only Postern's own store knows a repeat
}

// KeyOrigin says where a key came from.
type KeyOrigin string

// Origins of a key. A random one protects our own attempts only: nobody can
// repeat it.
const (
	KeyNone   KeyOrigin = ""
	KeyApp    KeyOrigin = "app"
	KeyPolicy KeyOrigin = "policy"
	KeyRandom KeyOrigin = "random"
)

// An Attempt is what is known about one sending: the evidence by which it is
// decided whether another may follow (evidence.go). The transport fills it in,
// the outcome stage adds the class.
type Attempt struct {
	Start     time.Time
	Dialled   bool    // there was a connection, or one from before
	Connected bool    // TLS included: it could be written to
	Reused    bool    // it had served before
	Written   int64   // bytes of this request that were handed to the network
	Complete  bool    // the whole request was
	Refused   bool    // the provider says it did not process it (REFUSED_STREAM, GOAWAY)
	Begun     bool    // something of an answer arrived
	Answered  bool    // all response headers did
	Whole     bool    // the response body did, to its end
	Status    int     // of the answer; 0 if there was none
	Outcome   Outcome // its class, "" if nobody has judged it yet
	Earlier   bool    // an attempt of the same call before it may have had an effect
	Err       error
}

// A Note is something a stage did that a person reading the journal should know.
type Note struct{ Stage, Key, Value string }

// Note records a fact. Never note a secret.
func (x *Exchange) Note(stage, key, value string) {
	x.Notes = append(x.Notes, Note{stage, key, value})
}

// Until returns the earlier of the two deadlines; zero if there is none.
func (x *Exchange) Until() time.Time {
	if x.Total.IsZero() || !x.Deadline.IsZero() && x.Deadline.Before(x.Total) {
		return x.Deadline
	}
	return x.Total
}

// Stood takes note that the attempt under way has waited for what it is to be sent
// with: the provider has the attempt's time for itself.
func (x *Exchange) Stood(waited time.Duration) {
	x.Waited += waited
	if !x.Deadline.IsZero() {
		x.Deadline = x.Deadline.Add(waited)
	}
}

// Sleep waits for d, and counts it as waited. It returns the context's cause
// if that ends first.
func (x *Exchange) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	start := time.Now()
	defer func() { x.Waited += time.Since(start) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// carrier is a context that carries an Exchange without a chain of values.
type carrier struct {
	context.Context
	x *Exchange
}

type exchangeKey struct{}

func (c *carrier) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return c.x
	}
	return c.Context.Value(key)
}

// With returns a context that carries x.
func With(ctx context.Context, x *Exchange) context.Context { return &carrier{ctx, x} }

// From returns the exchange that ctx carries. It panics if there is none: a
// stage outside a plan is a bug in this program.
func From(ctx context.Context) *Exchange {
	if c, ok := ctx.(*carrier); ok {
		return c.x
	}
	return ctx.Value(exchangeKey{}).(*Exchange)
}

// Attempted returns the request of one attempt. Stages below retry set and
// remove its headers and change its URL as they like; they never write into a
// header's list of values, which the attempts share.
func Attempted(r *http.Request) *http.Request {
	try := new(http.Request)
	*try = *r
	u := *r.URL
	try.URL = &u
	try.Header = maps.Clone(r.Header)
	return try
}
