// Package limit is the stage that keeps calls under the limits of a provider: a
// rate, how many at once, or what the provider says is left. It counts what really
// goes out: it stands below retry.
//
// Read source.go for the words, limit.go for the block, pass.go for a call on its
// way. Calls that wait: hall.go, and queue.go for who is next. What they wait for:
// local.go is the tokens of one process (those that replicas share come from
// package shared), slots.go the calls in flight, learned.go the provider's word,
// ratelimit.go the RateLimit fields. cooldown.go and ramp.go are the stage of that
// name: who was told to slow down does.
package limit

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Observer is told how long calls waited, what is left, and that a limit which
// only observes would have refused a call; it must not block.
type Observer interface {
	LimitWait(provider, limit string, d time.Duration)
	LimitRemaining(provider, limit string, n float64)
	LimitObserved(provider string)
}

// Feature returns the feature. Its tokens come from s, whose buckets outlive
// reloads; so do its queues, and what was learned. live, which is called often, says
// how many replicas there are, this one included: what only this process counts is
// divided by it.
func Feature(o Observer, s Source, live func() int) (policy.Feature, error) {
	shadow, err := NewLocal(live)
	if err != nil {
		return policy.Feature{}, err
	}
	windows, err := lru.New[Key, *window](buckets)
	if err != nil {
		return policy.Feature{}, fmt.Errorf("make the limits' memory: %w", err)
	}
	st := &state{observer: o, source: s, live: live, shadow: shadow, windows: windows, slots: slots{used: map[Key]int{}}}
	return policy.Feature{Name: "limit", Named: true, New: func() policy.Block { return &Block{st: st} }}, nil
}

// state is what outlives reloads.
type state struct {
	observer Observer
	source   Source
	live     func() int
	shadow   *Local // what would have been, of limits that only observe
	slots    slots
	windows  *lru.Cache[Key, *window]
	hall     hall
	sizes    sync.Map // provider and label -> size of the provider's own block
}

// size is what two limits have to agree in to be one.
type size struct {
	rate                               block.Rate
	burst, concurrency                 int
	from                               string
	unit                               backoff.Unit
	by, remaining, reset, refill, cost string
}

// kind is what a limit goes by.
type kind uint8

const (
	byRate        kind = iota // tokens of a bucket
	byConcurrency             // calls in flight
	byWord                    // what the provider says
)

// Block is a limit block: one limit, and how calls wait for it.
type Block struct {
	Rate        block.Rate   `hcl:"rate,optional"`
	Burst       int          `hcl:"burst,optional"`                      // tokens in a full bucket; one second's worth if not set
	Concurrency int          `hcl:"concurrency,optional"`                // calls in flight, until the end of their answers
	From        string       `hcl:"from,optional"`                       // "ratelimit": the RateLimit fields
	Remaining   *block.Expr  `hcl:"remaining,optional" scope:"response"` // what is left, or used/limit
	Reset       *block.Expr  `hcl:"reset,optional" scope:"response"`     // when there is all of it again
	Unit        backoff.Unit `hcl:"unit,optional"`                       // of reset
	Refill      *block.Expr  `hcl:"refill,optional" scope:"response"`    // what comes back in a second
	Cost        *block.Expr  `hcl:"cost,optional" scope:"response"`      // what the call took, 1 if not set

	By       *block.Expr    `hcl:"by,optional" scope:"request"` // a limit for each value
	Wait     block.Duration `hcl:"wait,optional"`               // how long a call may wait
	Queue    int            `hcl:"queue,optional"`              // how many may
	Priority *block.Expr    `hcl:"priority,optional" scope:"request"`
	Mode     policy.Mode    `hcl:"mode,optional"`

	st   *state
	kind kind
}

// Default enforces, and lets 10 000 calls wait for 5 s.
func (b *Block) Default() {
	b.Mode, b.Wait.Duration, b.Queue = policy.Enforce, 5*time.Second, 10_000
}

// Check finds out the kind, and fills in the burst.
func (b *Block) Check() error {
	word := b.Remaining != nil || b.From != ""
	var errs []error
	switch {
	case b.Rate.N == 0 && b.Concurrency == 0 && !word:
		errs = append(errs, errors.New("a limit needs rate, concurrency, remaining, or from = \"ratelimit\""))
	case b.Rate.N != 0 && (b.Concurrency != 0 || word):
		errs = append(errs, block.At("rate", "a limit has one of rate, concurrency, remaining and from: write another limit for the other"))
	case b.Concurrency != 0 && word, b.Remaining != nil && b.From != "":
		errs = append(errs, block.At("remaining", "a limit has one of rate, concurrency, remaining and from: write another limit for the other"))
	}
	for _, c := range []struct {
		name string
		bad  bool
		why  string
	}{
		{"burst", b.Burst < 0, "it is negative"},
		{"burst", b.Burst != 0 && b.Rate.N == 0, "it belongs to rate"},
		{"concurrency", b.Concurrency < 0, "it is negative"},
		{"queue", b.Queue < 0, "it is negative"},
		{"from", b.From != "" && b.From != ratelimit, `there is only "ratelimit", the RateLimit fields`},
		{"reset", b.Reset != nil && b.Remaining == nil, "it belongs to remaining"},
		{"reset", b.Reset != nil && b.Unit == backoff.Natural, "it needs a unit"},
		{"reset", b.Reset != nil && b.Refill != nil, "a limit has one of reset and refill"},
		{"unit", b.Reset == nil && b.Unit != backoff.Natural, "it belongs to reset"},
		{"refill", b.Refill != nil && b.Remaining == nil, "it belongs to remaining"},
		{"cost", b.Cost != nil && !word, "it belongs to remaining"},
	} {
		if c.bad {
			errs = append(errs, block.At(c.name, "%s", c.why))
		}
	}
	switch {
	case b.Concurrency != 0:
		b.kind = byConcurrency
	case word:
		b.kind = byWord
	case b.Burst == 0:
		b.Burst = max(1, int(min(b.Rate.PerSecond(), 1e9)))
	}
	return errors.Join(errs...)
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	mine := b.size()
	k := Key{Provider: s.Provider, Route: s.Route, Name: s.Label}
	whole := Key{Provider: s.Provider, Name: s.Label}
	if s.Route == "" { // compiled before its routes
		b.st.sizes.Store(whole, mine)
	} else if shared, _ := b.st.sizes.Load(whole); shared == mine {
		k = whole
	}
	return policy.Stage{
		Summary:     b.summary(),
		ReadsAnswer: b.reads(),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return b.pass(k, r, next) })
		},
	}, nil
}

func (b *Block) size() size {
	return size{
		rate: b.Rate, burst: b.Burst, concurrency: b.Concurrency, from: b.From, unit: b.Unit,
		by: text(b.By), remaining: text(b.Remaining), reset: text(b.Reset), refill: text(b.Refill), cost: text(b.Cost),
	}
}

// text is an expression as written, "" if there is none.
func text(e *block.Expr) string {
	if e == nil {
		return ""
	}
	return e.Source()
}

// reads reports whether what the provider says is in the body of its answers.
func (b *Block) reads() bool {
	for _, e := range []*block.Expr{b.Remaining, b.Reset, b.Refill, b.Cost} {
		if e != nil && e.Reads("response.body") {
			return true
		}
	}
	return false
}

func (b *Block) summary() string {
	by := ""
	if b.By != nil {
		by = " by " + b.By.Source()
	}
	switch {
	case b.kind == byConcurrency:
		return fmt.Sprintf("%d at once%s, waits up to %v, %s", b.Concurrency, by, b.Wait, b.Mode)
	case b.kind == byRate:
		return fmt.Sprintf("%v, burst %d%s, waits up to %v, %s", b.Rate, b.Burst, by, b.Wait, b.Mode)
	case by == "":
		by = " by account"
	}
	return fmt.Sprintf("what the provider says is left%s, waits up to %v, %s", by, b.Wait, b.Mode)
}
