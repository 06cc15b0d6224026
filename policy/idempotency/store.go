package idempotency

import (
	"context"
	"errors"
	"time"
)

// A Store keeps what became of calls with a key, so that a repeat is known and
// answered. What a method reports as done is durable when it returns.
type Store interface {
	// Begin makes c the call that runs under its ID, if there is none, if the one
	// before is forgotten, or if what became of it is open and c may be sent again.
	// Otherwise nothing is changed, and it says how the call before stands. The
	// same claim may be made twice: it holds the key then.
	Begin(ctx context.Context, c *Claim) (Standing, error)
	// Renew makes a lease last so long from now. It fails with [ErrLost] if the
	// call does not run under it any more.
	Renew(ctx context.Context, l Lease, lasts time.Duration) error
	// End says what became of the call that runs under l. It fails with [ErrLost]
	// if another has taken over; then nothing is changed. The same end may be told
	// twice.
	End(ctx context.Context, l Lease, e *Ending) error
}

// ErrLost says that a lease has ended and another call has the key.
var ErrLost = errors.New("the lease of this call has ended, and another call has its idempotency key")

// ID stands for a key in its scope: a digest, so that nobody reads a key in the
// store.
type ID [32]byte

// A Lease is the right of one call to say what became of it. Its token is random
// and fences off whoever had the key before.
type Lease struct {
	ID    ID
	Token [16]byte
}

// A Claim is a call that wants to run under a key.
type Claim struct {
	Lease
	Provider    string        // for people
	Fingerprint [32]byte      // of the request
	Lasts       time.Duration // of the lease; who does not renew it is taken for dead
	Keep        time.Duration // how long the call is remembered from now
	// Resend is how long after the first call it may be sent again although that
	// one may have had its effect; 0 is never.
	Resend time.Duration
}

// State is what is known of a call.
type State string

// The states of a call with a key. A sent one whose lease has ended is as good as
// unknown. A done one without an answer had its effect, but what the provider said
// could not be kept.
const (
	Sent    State = "sent"
	Done    State = "done"
	Unknown State = "unknown"
	Free    State = "" // nothing happened: the call is forgotten
)

// An Ending is what became of a call.
type Ending struct {
	State  State
	Answer []byte        // sealed, only if it is done
	Why    string        // it is unknown, or there is no answer, for people
	Keep   time.Duration // from now
}

// Standing is how a claim was found.
type Standing struct {
	Found Finding
	// Unsure says of one that has begun that an earlier call may have had its
	// effect. Acted says of any that an earlier one surely had.
	Unsure, Acted bool
	Left          time.Duration // of the lease of a call in flight
	Age           time.Duration // since the first call, unless this is the first
	Answer        []byte        // sealed, of one that is replayed
	Why           string        // see [Ending]
}

// Finding says what a claim is to the calls before it.
type Finding int

// The findings.
const (
	Begun    Finding = iota // it runs now
	InFlight                // another runs under the key
	Mismatch                // the key was used for another request
	Replay                  // it was made before, and its answer is there
	Open                    // one before it may have had its effect, and it may not be sent again
)

// Check says what is wrong with a claim.
func (c *Claim) Check() error {
	if c.Lasts <= 0 || c.Keep <= 0 || c.Resend < 0 {
		return errors.New("begin a call: its lease and its memory have to last, and none is sent again before it was sent")
	}
	return nil
}

// Check says what is wrong with an ending.
func (e *Ending) Check() error {
	switch {
	case e.State != Done && e.State != Unknown && e.State != Free:
		return errors.New("end a call: there is no end " + string(e.State))
	case e.State != Done && len(e.Answer) > 0:
		return errors.New("end a call: only one that is done has an answer")
	case e.State != Free && e.Keep <= 0:
		return errors.New("end a call: its memory has to last")
	}
	return nil
}
