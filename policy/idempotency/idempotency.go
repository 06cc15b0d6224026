// Package idempotency is the stage that gives a call one key for all its
// attempts, and remembers what became of it: the application's own key comes
// first, then the policy's expression, then a random one. A repeat under a key
// that somebody can repeat is answered from the store, if the policy keeps
// answers.
//
//	idempotency.go  the block and the stage
//	key.go          which key, and where the provider reads it
//	rules.go        what a provider takes for a key
//	scope.go        whose a key is, and what it was used for
//	keep.go         a call that is kept, from the look into the store to the last byte
//	judge.go        what is known of a call by its end
//	record.go       the answer as it goes by
//	stored.go       the answer as it is stored
//	store.go        what is wanted of a store
package idempotency

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/seal"
)

// Live is where answers are kept. It outlives reloads; its fields are set before
// the first call, and are nil where policies are only checked.
type Live struct {
	Store Store
	Ring  func() (*seal.Ring, error)    // seals what is stored
	Told  func(doing string, err error) // of what failed behind a call; may be nil
}

// Feature returns the feature.
func Feature(live *Live) policy.Feature {
	return policy.Feature{Name: "idempotency", New: func() policy.Block { return &Block{live: live} }}
}

// Block is an idempotency block. One of Header, Query and Field says where the
// key goes, or none if only Postern knows it.
type Block struct {
	Header   string         `hcl:"header,optional"`
	Query    string         `hcl:"query,optional"`  // name of the parameter
	Field    string         `hcl:"field,optional"`  // of a JSON body
	Quoted   bool           `hcl:"quoted,optional"` // the header's value is a String of RFC 9651, in quotes
	Methods  []string       `hcl:"methods,optional"`
	Key      *block.Expr    `hcl:"key,optional" scope:"request"`
	Required bool           `hcl:"required,optional"`   // refuse a call for which nobody has a key
	Length   int            `hcl:"length,optional"`     // longest key that the provider takes, in bytes
	Chars    string         `hcl:"characters,optional"` // that the provider takes, as in a class of a regular expression
	Lifetime block.Duration `hcl:"lifetime,optional"`   // how long the provider knows a key
	Final    []int          `hcl:"final,optional"`      // statuses that the provider saves for the key and only repeats
	InFlight []int          `hcl:"in_flight,optional"`  // statuses by which it says that the first call is still running
	Keep     block.Duration `hcl:"keep,optional"`       // how long an answer is kept; 0 is not at all
	KeepSize block.Size     `hcl:"keep_size,optional"`  // of the longest body that is kept
	Vary     []string       `hcl:"vary,optional"`       // request headers that say on whose behalf a call is

	live  *Live
	chars *charset
}

// Default gives keys to POST, of up to 255 bytes, which the provider knows for a
// day, as most say.
func (b *Block) Default() {
	b.Methods = []string{http.MethodPost}
	b.Length, b.Lifetime.Duration, b.KeepSize = 255, 24*time.Hour, 1<<20
}

// local reports whether no key goes to the provider.
func (b *Block) local() bool { return b.Header == "" && b.Query == "" && b.Field == "" }

// place is where the key goes, for people.
func (b *Block) place() string { return b.Header + b.Query + b.Field }

// Bounds of keep and keep_size.
const (
	longestKeep = 400 * 24 * time.Hour
	largestKept = 64 << 20
)

// Check wants one place, or none and a policy that keeps answers.
func (b *Block) Check() error {
	places := 0
	for _, p := range []string{b.Header, b.Query, b.Field} {
		if p != "" {
			places++
		}
	}
	var errs []error
	switch {
	case places > 1:
		errs = append(errs, block.At("idempotency", "say where the key goes by one of header, query and field"))
	case places == 0 && (b.Key == nil || b.Keep.Duration == 0):
		errs = append(errs, block.At("idempotency", "say where the key goes by one of header, query and field; for a provider that knows no keys, say key and keep: then Postern alone knows a repeat"))
	case places == 0 && len(b.Final)+len(b.InFlight) > 0:
		errs = append(errs, block.At("idempotency", "final and in_flight are about what the provider makes of a key, and none goes there"))
	}
	if b.Header != "" {
		if err := policy.CheckHeader(b.Header); err != nil {
			errs = append(errs, block.At("header", "%w", err))
		}
	} else if b.Quoted {
		errs = append(errs, block.At("quoted", "only the value of a header is a String of RFC 9651"))
	}
	errs = append(errs, b.checkKey(), b.checkRules(), b.checkKeep())
	for _, m := range b.Methods {
		if m != strings.ToUpper(m) || m == "" {
			errs = append(errs, block.At("methods", "%q is not a method in capitals", m))
		}
	}
	return errors.Join(errs...)
}

// checkKeep refuses a memory that nothing fits into.
func (b *Block) checkKeep() error {
	var errs []error
	switch keep := b.Keep.Duration; {
	case keep > longestKeep:
		errs = append(errs, block.At("keep", "%v is longer than 400d", b.Keep))
	case keep > 0 && keep < time.Second:
		errs = append(errs, block.At("keep", "%v is shorter than a second; \"0s\" keeps nothing", b.Keep))
	}
	if b.KeepSize > largestKept {
		errs = append(errs, block.At("keep_size", "%v is more than 64MiB", b.KeepSize))
	}
	for _, name := range b.Vary {
		if err := policy.CheckHeader(name); err != nil {
			errs = append(errs, block.At("vary", "%w", err))
		}
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(policy.Scope) (policy.Stage, error) {
	st := policy.Stage{
		Summary: b.summary(),
		Admit:   b.admit,
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return b.send(r, next) })
		},
	}
	if !b.local() {
		st.KeyLife = b.Lifetime.Duration
	}
	if b.Keep.Duration > 0 {
		st.Holds = b.live
	}
	return st, nil
}

// admit settles the key of a call that is to have one.
func (b *Block) admit(r *http.Request) error {
	if !slices.Contains(b.Methods, r.Method) {
		return nil
	}
	return b.key(r)
}

func (b *Block) send(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	if err := b.admit(r); err != nil {
		return nil, err
	}
	x := policy.From(r.Context())
	if b.Keep.Duration > 0 && !x.Aside && (x.Key.Origin == policy.KeyApp || x.Key.Origin == policy.KeyPolicy) {
		return b.keep(x, r, next)
	}
	return next.RoundTrip(r) // nobody can repeat a random key
}

// summary is what explain shows.
func (b *Block) summary() string {
	last := ", else a random one per call"
	if b.local() {
		last = ", else none"
	}
	if b.Required {
		last = ", else refused"
	}
	source := "the application's key"
	switch {
	case b.local():
		source = b.Key.Source()
	case b.Key != nil:
		source += ", else " + b.Key.Source()
	}
	place := "header " + b.Header
	switch {
	case b.local():
		place = "known to Postern alone,"
	case b.Query != "":
		place = "query " + b.Query
	case b.Field != "":
		place = "JSON field " + b.Field
	}
	text := fmt.Sprintf("%s on %s: %s%s", place, strings.Join(b.Methods, " "), source, last)
	if b.Keep.Duration > 0 {
		text += fmt.Sprintf("; answers up to %v are kept %v", b.KeepSize, b.Keep)
	}
	return text
}
