package policy

import (
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// A Feature is one thing a policy can ask for, such as retries. The order of
// the list of features given to [Compile] is the order in which they see a
// request, outermost first.
type Feature struct {
	Name   string // block type, such as "retry"
	Kind   string // block label, such as "bearer", where a block type has kinds
	Named  bool   // the label is a name and there may be several, such as limit "published"
	Always bool   // compiled with its defaults where no block is written
	Hidden bool   // has no block of its own
	Last   bool   // comes after the other kinds of its type, wherever it is written: it signs what they put

	// New returns a zero block. What the feature depends on is inside it.
	New func() Block

	// Group compiles an ordered list of blocks of this type to one stage. It
	// is for block types whose order in the file matters; nil for all others.
	Group func(Scope, []Block) (Stage, error)
}

// A Block is the configuration of one feature, decoded by package block.
type Block interface {
	// Stage compiles the block for one scope, while loading and never while
	// serving. An error made by block.At is shown under its attribute.
	Stage(Scope) (Stage, error)
}

// A Scope says where a block applies. It is stable across reloads, so that a
// feature can keep live state under it.
type Scope struct {
	Provider string
	Route    string // pattern of the route whose own blocks changed this one; "" is the provider's
	Label    string // of the block
}

// A Stage is a compiled block. It is immutable and safe for concurrent use;
// what concerns one call is in its [Exchange].
type Stage struct {
	Summary string // one line, shown by "postern explain"
	Wrap    func(next http.RoundTripper) http.RoundTripper

	ReadsAnswer bool   // an expression reads the answer's body, or what it must not hold is looked for
	Buffer      int64  // bytes of the request body to keep for another attempt
	Slots       []Slot // where a credential is put

	// Admit is what the stage checks or settles about a call before it is sent: a
	// call that is accepted for later passes all of these then, and the whole stage
	// when it is sent. nil for nothing.
	Admit func(*http.Request) error
	// KeyLife is how long the provider knows an idempotency key again; 0 if nobody
	// says.
	KeyLife time.Duration
	// Looks says that the stage looks at the provider before it sends what may have
	// had its effect already ([Exchange.Unsure]).
	Looks bool
	// Answer answers a request itself, before any stage sees it, or returns nil.
	Answer func(*http.Request) (*http.Response, error)
	// Places says that the stage knows which host an account is at, and puts it in
	// the place of [Nowhere].
	Places bool
	// Keys says which values of a credential there are, for people; nil for others.
	Keys func() []KeyState
	// Ready says what is wrong with the secrets that there are, so that it is said
	// before a call needs them; nil for features that need none. It never says one.
	Ready func() error
	// Warnings are shown when the policy is loaded, each at its place.
	Warnings []Warning
	// Holds is what the feature wants to be found again by whoever compiled the
	// policy, such as the source of a credential's tokens.
	Holds any
}

// A Warning is about what works, and is likely not meant.
type Warning struct {
	Summary, Detail string
	At              hcl.Range
}

// A KeyState says how one value of a credential stands. It never has the value.
type KeyState struct {
	Kind, Route string // of the credential; a route's own, or the provider's
	Ref         string // where the value comes from: "[secret file:/run/secrets/stripe]"
	Fingerprint string // see [block.Fingerprint]
	State       KeyUse
	LastUsed    time.Time // zero if it was not since the process began
}

// KeyUse is what a value of a credential is used for.
type KeyUse string

// The states of a key. A replaced one is none of the policy's any more: calls that
// began with it may still be under way.
const (
	KeyInUse    KeyUse = "in_use"
	KeyStandby  KeyUse = "standby"
	KeyMissing  KeyUse = "missing"
	KeyReplaced KeyUse = "replaced"
)

// A Slot is a place in or before a request that a credential takes. What the application
// sent there is removed; a declared client may put its own token there.
type Slot struct {
	In   SlotKind
	Name string // canonical header name, query parameter or field of the body; the form of the first segment of a path, see [DropSegment]; "" for TLS
}

// SlotKind is a part of what a provider receives.
type SlotKind string

// The parts that credentials go to.
const (
	InHeader SlotKind = "header"
	InQuery  SlotKind = "query"
	InPath   SlotKind = "path"
	InBody   SlotKind = "body"
	InTLS    SlotKind = "tls" // before the request
)

// RoundTripper adapts a function to [http.RoundTripper].
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A Plan is everything that happens to a request of one route. Plans are made
// while loading; a request costs one look-up.
type Plan struct {
	Provider string
	Route    string // pattern as written, "" for the provider's own plan
	Stages   []PlannedStage
	Range    hcl.Range

	ReadsAnswer bool     // Accept-Encoding is limited to what we decode a copy of
	Buffer      int64    // see Body
	Slots       []Slot   // where credentials are put; if any, clear text must be named by the policy
	Places      bool     // a stage knows which host an account is at
	Upstream    *url.URL // dialled instead of the host that was asked for; nil is that host

	next    http.RoundTripper
	answers []func(*http.Request) (*http.Response, error)
}

// RoundTrip sends r through the stages. The context of r carries the Exchange,
// whose Request becomes r: expressions read the call as it is for the provider,
// whichever way it came in.
func (p *Plan) RoundTrip(r *http.Request) (*http.Response, error) {
	x := From(r.Context())
	x.Request = r
	for _, answer := range p.answers {
		if resp, err := answer(r); resp != nil || err != nil {
			x.Source = FromPostern
			return resp, err
		}
	}
	return p.next.RoundTrip(r)
}

// A PlannedStage is a stage with the blocks it came from.
type PlannedStage struct {
	Stage
	Name    string      // "retry", `credential "bearer"`
	Ranges  []hcl.Range // of the blocks it was laid over, the last one wins; none for a default
	Origins []Origin    // of every value that was written
}

// An Origin says where a value comes from.
type Origin struct {
	Name  string // attribute, nested blocks with dots
	Text  string // as written
	Range hcl.Range
}
