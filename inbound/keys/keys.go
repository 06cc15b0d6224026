// Package keys gets what verifies signatures from where a provider publishes it:
// certificates and JSON Web Key Sets (RFC 7517).
//
// What a request names is fetched only from places that the scheme has pinned, over
// https on port 443, without redirects, within a size and a time, and by way of a
// dialer that refuses private addresses. It is kept; the last good value stays in
// use, within bounds, while the source fails; what nobody knows is asked for at
// most once a minute.
//
// Read keys.go for what is promised, place.go for where from, get.go for one
// request, kept.go for what is remembered, set.go for key sets, chain.go for
// certificates.
package keys

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// The errors that say that a request is to blame, not the source.
var (
	// ErrPlace says that a URL is not where the provider's keys are.
	ErrPlace = errors.New("it is not where the provider publishes its keys")
	// ErrUnknown says that the source does not have what was asked for.
	ErrUnknown = errors.New("the source does not have it")
	// ErrChain says that a certificate is not to be trusted.
	ErrChain = errors.New("the certificate is not to be trusted")
)

// Options are what a Fetcher lives on.
type Options struct {
	// Dial connects, and is where addresses are guarded. Without it nothing is ever
	// fetched, as in postern validate and in tests of a policy.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are the authorities of the servers that are asked; nil for the system's.
	Roots *x509.CertPool
	// Issuers are those of certificates that are fetched; nil for the system's.
	Issuers *x509.CertPool
}

const (
	within   = 10 * time.Second // for one request, whoever waits for it
	patience = time.Second      // for a newer value, where there is an old one
	again    = time.Minute      // between two tries that fail, and two looks for what is unknown
	grace    = 24 * time.Hour   // for which the last good value is used while the source fails
	least    = 5 * time.Minute  // for which a value is kept, whatever its source says
	most     = 24 * time.Hour
)

// Fetcher gets and keeps keys. It is safe for concurrent use.
type Fetcher struct {
	opt    Options
	client *http.Transport
	certs  *kept[[]*x509.Certificate]
	sets   *kept[*Set]
	single *kept[*Key]
}

// New returns a fetcher that has nothing yet.
func New(o Options) *Fetcher {
	return &Fetcher{opt: o, client: transport(o), certs: newKept[[]*x509.Certificate](), sets: newKept[*Set](), single: newKept[*Key]()}
}

// errBusy says that so many names were new of late that this one has to wait.
var errBusy = errors.New("too many keys are asked for that were not seen before")

// Strangers bounds how often a source is asked for a name that only a request has
// brought up: ten times, and then once in six seconds.
func Strangers() *rate.Limiter { return rate.NewLimiter(rate.Every(again/10), 10) }
