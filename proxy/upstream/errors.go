package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/postern-proxy/postern/policy"
)

// Op is what an attempt was doing when it failed.
type Op string

// The steps of an attempt, in order.
const (
	OpDial    Op = "connect to"
	OpTLS     Op = "make a TLS connection with"
	OpWrite   Op = "write the request to"
	OpHeaders Op = "read the response headers of"
	OpBody    Op = "read the response body of"
)

// An Error says which step of an attempt failed. It holds no header and no part
// of a URL but host and port.
type Error struct {
	Op      Op
	Addr    string // host:port
	Err     error
	Timeout bool // a deadline passed: connect, attempt or total, or idle in a body
}

func (e *Error) Error() string { return string(e.Op) + " " + e.Addr + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// ErrRequestBody is wrapped by the error of an attempt whose request body could
// not be read to its end: the application broke off or stalled, and the
// provider is not to blame.
var ErrRequestBody = policy.ErrRequestBody

// ErrClosed is what an attempt gets after [Transport.Close].
var ErrClosed = errors.New("the transport is closed")

// What a response can be that is not one we pass on.
var (
	errMalformed    = errors.New("malformed HTTP/1 response")
	errFraming      = errors.New("the length of the response is ambiguous")
	errHeadTooLarge = errors.New("response headers larger than 64 KiB")
	errStatus       = errors.New("status outside 200 to 599")
	errInformed     = errors.New("more than 10 informational responses")
	errUpgrade      = errors.New("101 Switching Protocols to what was not asked for")
	errTrailer      = errors.New("malformed or oversized trailers")
)

// Refused is an address that the guard does not let through. It is never
// retried: an attempt fails with a [policy.Denial] of code not_allowed around
// it.
type Refused struct {
	Host string     // as it was dialled, with port
	Addr netip.Addr // what it resolved to
	Why  string     // "is loopback"
	Cure string     // what to write in the policy if it is meant; "" if nothing helps
}

func (r *Refused) Error() string {
	return r.Host + " is " + r.Addr.String() + ", which " + r.Why + " and is not dialled"
}

// denial is how a refusal travels through the stages.
func (r *Refused) denial() *policy.Denial {
	hint := r.Cure
	if hint == "" {
		hint = "No policy can allow this address."
	}
	return &policy.Denial{Code: policy.NotAllowed, Stage: "guard", Detail: r.Error() + ".", Hint: hint, Err: r}
}

// malformedRequest is a request that cannot be written as one unambiguous
// message. What names the part, never its value, which may be a credential.
func malformedRequest(what string) error {
	return &policy.Denial{
		Code: policy.BadRequest, Stage: "transport", Detail: what + " cannot be sent as HTTP.",
		Hint: "Look for line breaks, control characters or spaces in what the application or the policy put there.",
	}
}

// fault makes the error of a failed step. An ended context goes before
// everything else: it is why connections are torn down. ctx is the call's.
func fault(ctx context.Context, op Op, addr string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *Refused
	if errors.As(err, &refused) {
		return refused.denial()
	}
	denial := (*policy.Denial)(nil)
	if errors.As(err, &denial) || errors.Is(err, ErrRequestBody) {
		return err
	}
	return &Error{Op: op, Addr: addr, Err: plain(err), Timeout: timedOut(err)}
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// plain replaces errors whose text quotes what the provider sent, or repeats
// what [Error] says already.
func plain(err error) error {
	var header tls.RecordHeaderError
	var op *net.OpError
	if away := wentAway(err); away != nil {
		return away
	}
	switch {
	case errors.As(err, &header):
		return errors.New("the answer does not look like TLS")
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}
