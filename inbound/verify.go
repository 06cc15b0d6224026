package inbound

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
)

// Request is one received webhook as schemes and expressions see it.
type Request struct {
	Method   string
	URL      string // the configured public URL with the path and query as sent; "" if none is configured
	Path     string // as sent, without the query
	Query    string // as sent
	Header   http.Header
	Body     []byte // as sent: before any decoding
	Received time.Time
	// Trace, where it is set, is told what a scheme goes by, for an explanation: never
	// a secret, and nothing made with one.
	Trace func(step, text string)
	Peer  *x509.Certificate // that the sender has shown and the listener verified; nil if there is none

	kind bodyKind // found when the body is first asked for
}

// Result is the closed set of what verification can come to.
type Result uint8

// The results. What is not accepted is not stored.
const (
	BadSignature Result = iota // signed, and not by us: wrong, malformed or ambiguous
	Accepted
	Unsigned    // no signature where one is due
	Stale       // rightly signed, and too long ago or too far ahead
	Unavailable // it cannot be told now, because a secret cannot be read: the sender may try again
)

var resultNames = [...]string{BadSignature: "bad_signature", Accepted: "accepted", Unsigned: "unsigned", Stale: "stale", Unavailable: "unavailable"}

// String returns the label that metrics use.
func (r Result) String() string { return resultNames[r] }

// Verdict is what a scheme says of one request.
type Verdict struct {
	Result    Result
	Timestamp string // the signed timestamp as sent, "" if the scheme has none
	EventID   string // an event id that the signature covers, "" if the scheme has none
	Err       error  // why it is Unavailable; names references, never secrets
	Proof     Proof  // of what is Accepted or Stale; its Key also of what a key has signed and is refused all the same
	Why       string // which step failed and why, for the operator: nothing that the sender did not send
}

// Fingerprint names a key in records and logs without telling it.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:4])
}

// Answer is what a request is answered with.
type Answer struct {
	Status int // 0 is 200
	Header http.Header
	Body   []byte
}

// Verification is one verify block, ready to run.
type Verification struct {
	// Verify is a pure function of the request and the secrets, but for keys that
	// have to be fetched: they are cached, and ctx bounds the fetching.
	Verify func(context.Context, *Request) Verdict
	// Ready says whether the secrets can be read and are long enough; nil for a
	// scheme without.
	Ready func() error
	// Keys returns the keys that can be used now, and what is wrong with the others,
	// for handshakes that are answered with a signature; nil for a scheme without.
	Keys func() ([][]byte, error)
	// Methods are those that are taken besides POST, for handshakes.
	Methods []string
	// Handshake answers a verified request that is no event; nil for a scheme
	// without.
	Handshake func(*Request) (Answer, bool)
	// Handshakes are those that are declared; see [WithHandshakes].
	Handshakes []*Handshake
	// Reply is what the provider wants to hear when an event is stored; nil for an
	// empty 200.
	Reply *Answer
	// Quiet is set where a refusal must have no body.
	Quiet bool
	// Headers are those that carry signatures and tokens: they are never kept.
	Headers []string
	// BodyOnly is set where headers and the query are not covered, so that
	// whoever replays a request can choose them.
	BodyOnly bool
	// NeedsURL is set where the public URL is signed.
	NeedsURL bool
	// NeedsPeer is set where the sender's certificate is what is verified.
	NeedsPeer bool
	// Sign signs a request as its sender would, at the time when it is received, with
	// a secret that is configured; nil where only the sender can.
	Sign func(*Request) error
	// Form is set where an event is a form.
	Form bool
	// None is set where nothing is verified at all.
	None bool
}

// Scheme decodes the body of a verify block of one kind.
type Scheme func(body hcl.Body, ctx *block.Context) (*Verification, hcl.Diagnostics)

// Schemes are the kinds of verification by label.
type Schemes map[string]Scheme

// Reveal returns the values of those secrets that can be used now, and what is
// wrong with the others: one that cannot be read, is shorter than least bytes or
// has white space at an end is never used.
func Reveal(secrets []block.Secret, least int) (values []string, err error) {
	var errs []error
	for _, s := range secrets {
		v, err := s.Reveal()
		switch {
		case err != nil:
			errs = append(errs, err)
		case len(v) < least:
			errs = append(errs, fmt.Errorf("%v has %d bytes, and at least %d are needed", s, len(v), least))
		case strings.TrimSpace(v) != v:
			errs = append(errs, fmt.Errorf("%v begins or ends with white space", s))
		default:
			values = append(values, v)
		}
	}
	if len(secrets) == 0 {
		errs = append(errs, errors.New("no secret is configured"))
	}
	return values, errors.Join(errs...)
}
