// Package retry is the only place that sends a request again.
//
//	retry.go     the block and the loop
//	decide.go    one pure function: may there be another attempt?
//	delay.go     how long to wait, the provider's word first, and whether that can be afforded
//	budget.go    how much more than the application's own calls a provider gets
//	sdk.go       the attempts that the application's SDK makes of its own
package retry

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

const maxRenewed = 2 // attempts of one call that are made only for a fresh credential

// Feature returns the feature. Budgets belong to it and outlive reloads. rnd
// yields numbers in [0,1) for jitter.
func Feature(rnd func() float64) policy.Feature {
	budgets := new(sync.Map) // provider -> *budget
	return policy.Feature{Name: "retry", Always: true, New: func() policy.Block { return &Block{rnd: rnd, budgets: budgets} }}
}

// Block is a retry block.
type Block struct {
	Attempts int              `hcl:"attempts,optional"` // sendings in all
	On       []policy.Outcome `hcl:"on,optional"`       // classes that may be retried; evidence still decides
	Backoff  *Backoff         `hcl:"backoff,block"`
	Budget   float64          `hcl:"budget,optional"` // extra requests as a share of the calls of the last 10 s
	Buffer   block.Size       `hcl:"buffer,optional"` // longer bodies are streamed, and not sent again
	Verdict  *block.Expr      `hcl:"verdict,optional" scope:"response"`
	After    *block.Expr      `hcl:"after,optional" scope:"response"` // the wait that a limit asks for where it has no Retry-After
	Unit     backoff.Unit     `hcl:"unit,optional"`                   // how After is written
	Wait     block.Duration   `hcl:"wait,optional"`                   // a longer one that the provider asks for is not begun
	Stop     string           `hcl:"stop,optional"`                   // header that tells the provider's SDKs to make no attempt of their own

	rnd     func() float64
	budgets *sync.Map
}

// Backoff is a backoff block.
type Backoff struct {
	First  block.Duration `hcl:"first,optional"`
	Factor float64        `hcl:"factor,optional"`
	Max    block.Duration `hcl:"max,optional"`
	Jitter backoff.Jitter `hcl:"jitter,optional"`
}

// Default waits 500 ms, doubling to 30 s, with full jitter.
func (b *Backoff) Default() {
	*b = Backoff{First: block.Duration{Duration: 500 * time.Millisecond}, Factor: 2, Max: block.Duration{Duration: 30 * time.Second}, Jitter: backoff.Full}
}

// Check refuses what would not grow.
func (b *Backoff) Check() error {
	switch {
	case b.Factor < 1:
		return block.At("factor", "%v is less than 1", b.Factor)
	case b.Max.Duration < b.First.Duration:
		return block.At("max", "%v is less than first, %v", b.Max, b.First)
	}
	return nil
}

// Default makes 3 attempts, within a budget of 20 %, of bodies up to 1 MiB, and
// waits for an hour if the provider asks for that.
func (b *Block) Default() {
	b.Attempts, b.Budget, b.Buffer, b.Wait.Duration = 3, 0.2, 1<<20, time.Hour
	b.On = []policy.Outcome{policy.RateLimited, policy.ServerError, policy.Timeout, policy.Unreachable}
	b.Backoff = new(Backoff)
	b.Backoff.Default()
}

// Check refuses numbers that mean nothing and classes that cannot be retried.
func (b *Block) Check() error {
	switch {
	case b.Attempts < 1 || b.Attempts > 20:
		return block.At("attempts", "%d is not between 1 and 20", b.Attempts)
	case b.Budget < 0 || b.Budget > 1:
		return block.At("budget", "%v is not between 0 and 1", b.Budget)
	case b.Buffer > 64<<30:
		return block.At("buffer", "%v is more than 64GiB", b.Buffer)
	case b.Unit != backoff.Natural && b.After == nil:
		return block.At("unit", "unit says how after is written, which is missing")
	case b.Stop != "" && policy.CheckHeader(b.Stop) != nil:
		return block.At("stop", "%w", policy.CheckHeader(b.Stop))
	}
	for _, o := range b.On {
		switch {
		case !o.Valid():
			return block.At("on", "%q is not an outcome; those are %v", o, policy.Outcomes())
		case o == policy.OK || o == policy.Redirect || o == policy.Cancelled || o == policy.Denied || o == policy.QuotaExhausted:
			return block.At("on", "%q is never retried", o)
		}
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	b.Stop = textproto.CanonicalMIMEHeaderKey(b.Stop)
	share, _ := b.budgets.LoadOrStore(s.Provider, newBudget())
	on := make([]string, len(b.On))
	for i, o := range b.On {
		on[i] = string(o)
	}
	return policy.Stage{
		Summary: fmt.Sprintf("up to %d attempts on %s; %v times %v up to %v, %v jitter; budget %v; buffer %v", b.Attempts, strings.Join(on, ", "),
			b.Backoff.First, b.Backoff.Factor, b.Backoff.Max, b.Backoff.Jitter, b.Budget, b.Buffer),
		Buffer:      int64(b.Buffer),
		ReadsAnswer: b.Verdict != nil && b.Verdict.Reads("response.body") || b.After != nil && b.After.Reads("response.body"),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			t := &loop{Block: b, share: share.(*budget), next: next}
			t.ask = t.asked
			return t
		},
	}, nil
}

type loop struct {
	*Block
	share *budget
	next  http.RoundTripper
	ask   func(*policy.Exchange, *http.Response) (time.Duration, bool) // asked
}

// RoundTrip sends r until an attempt succeeds or there may be no other.
func (t *loop) RoundTrip(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	t.count(x)
	x.Asked = t.ask
	var wait time.Duration
	var last result
	earlier, renewed := false, 0
	for n := 1; ; n++ {
		begin(x, earlier)
		sent := x.Attempts
		resp, err := t.next.RoundTrip(policy.Attempted(r))
		if x.Attempts == sent { // a stage below refused before anything was sent
			if n > 1 && r.Context().Err() == nil {
				x.Unretried = policy.UnretriedRefused
				x.Note("retry", "not_again", "a stage refused the next attempt")
				resp, err := last.restore(x)
				t.gaveUp(x)
				return resp, err
			}
			last.drop()
			return resp, err
		}
		last.drop()
		last = resultOf(x, resp, err)
		earlier = earlier || last.effect()
		v := t.decide(x, resp, err, n, renewed)
		if v.why == policy.UnretriedUnsafe && x.Absent != nil && x.Body.Replayable() {
			if last.keep(x); x.Absent(r.Context()) { // what asks may need the place of this attempt
				v = verdict{again: true, reason: string(x.Outcome)}
			}
		}
		if v.again {
			var asked bool
			wait, asked = t.delay(x, resp, n, wait, v.fresh)
			v = t.affordable(x, v, wait, asked)
		}
		if !v.again {
			tell(x, v, last.err)
			t.gaveUp(x)
			return last.resp, last.err
		}
		if v.fresh {
			renewed++
		}
		try := &x.Trail[len(x.Trail)-1]
		try.Wait, try.Reason = wait, v.reason
		last.keep(x)
		held, err := pause(r.Context(), x, wait)
		if err != nil {
			last.drop()
			t.gaveUp(x)
			return nil, err
		}
		if held {
			try.Wait, try.Reason = 0, ""
			tell(x, verdict{why: policy.UnretriedBody, reason: "the application is slow to send the rest of the request body"}, last.err)
			t.gaveUp(x)
			return last.resp, last.err
		}
	}
}

// tell says why there is no further attempt, or that there could have been none.
func tell(x *policy.Exchange, v verdict, err error) {
	if v.why == policy.UnretriedBody {
		var d *policy.Denial // here, because it is allocated
		if errors.As(err, &d) {
			d.Hint += " It was not sent again: " + v.reason + "."
		}
	}
	x.Unretried = v.why
	if v.reason != "" {
		x.Note("retry", "not_again", v.reason)
	} else if err := x.Body.Lost(); err != nil {
		x.Note("retry", "no_copy", uncopied(err))
	}
}

// begin forgets in x what the attempt before left there.
func begin(x *policy.Exchange, earlier bool) {
	x.Now = policy.Attempt{Start: time.Now(), Earlier: earlier}
	x.Deadline, x.Fresh, x.Keys, x.Send, x.Certificate = time.Time{}, false, "", nil, nil
	x.Outcome, x.Hint, x.Response = "", "", nil
	x.ProviderCode, x.ProviderMessage, x.ProviderRequestID = "", "", ""
}
