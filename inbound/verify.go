package inbound

import (
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
	URL      string // the configured public URL with the path and query as sent; "" if none is configured
	Query    string // as sent
	Header   http.Header
	Body     []byte // as sent: before any decoding
	Received time.Time
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
}

// Answer is what a handshake is answered with, status 200.
type Answer struct {
	ContentType string
	Body        []byte
}

// Verification is one verify block, ready to run.
type Verification struct {
	// Verify is a pure function of the request and the secrets.
	Verify func(*Request) Verdict
	// Ready says whether the secrets can be read and are long enough; nil for a
	// scheme without.
	Ready func() error
	// Handshake answers a verified request that is no event; nil for a scheme
	// without.
	Handshake func(*Request) (Answer, bool)
	// Headers are those that carry signatures and tokens: they are never kept.
	Headers []string
	// BodyOnly is set where headers and the query are not covered, so that
	// whoever replays a request can choose them.
	BodyOnly bool
	// NeedsURL is set where the public URL is signed.
	NeedsURL bool
	// None is set where nothing is verified at all.
	None bool
}

// Scheme decodes the body of a verify block of one kind.
type Scheme func(body hcl.Body, ctx *block.Context) (*Verification, hcl.Diagnostics)

// Schemes are the kinds of verification by label.
type Schemes map[string]Scheme

// unbuiltSchemes are the kinds that the policy language has and Postern not yet.
var unbuiltSchemes = []string{"ed25519", "ecdsa", "rsa", "jwt", "mtls"}

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
