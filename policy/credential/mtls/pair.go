package mtls

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// soon is how long before its end a certificate is warned of, once a day.
const soon = 14 * 24 * time.Hour

// Live is the state of all client certificates: the last good one of each scope.
// It outlives reloads.
type Live struct {
	// Changed is told of a certificate that is in use from now on, or with err why
	// a new one is not. until is when that in use ends, zero if there is none. It
	// must not block, and may be nil. Set it before use.
	Changed func(s policy.Scope, until time.Time, err error)
	// Ends is told, at a loading and with calls, that the one in use ends soon, or
	// did: once a day. It must not block, and may be nil. Set it before use.
	Ends func(s policy.Scope, until time.Time)

	mu   sync.Mutex
	last map[policy.Scope]*used
}

// NewLive returns an empty state.
func NewLive() *Live { return &Live{last: map[policy.Scope]*used{}} }

// used is a certificate in use.
type used struct {
	cert        *policy.ClientCertificate
	fingerprint string // the beginning of that which openssl x509 -fingerprint -sha256 shows

	at     atomic.Int64 // last used, in Unix nanoseconds; 0 is never
	warned atomic.Int64 // of its end, likewise
}

func (u *used) until() time.Time {
	if u == nil {
		return time.Time{}
	}
	return u.cert.Leaf().NotAfter
}

// pairs finds the certificate of one block in one scope. A certificate and its key
// are two files, and may be read while only one of them is new: until both fit,
// the last good pair stays in use. A pair that was taken away does not.
type pairs struct {
	*Block
	scope policy.Scope

	mu  sync.Mutex // held while now is made
	now atomic.Pointer[pair]
}

// A pair is what was read, and what was made of it.
type pair struct {
	cert, key string
	used      *used // the one before if err is not nil, and nil if there was none
	err       error
	again     time.Time // when err may be over by itself; zero is never
}

// of reports whether p is what is made of these texts now.
func (p *pair) of(cert, key string) bool {
	return p != nil && p.cert == cert && p.key == key && (p.again.IsZero() || time.Now().Before(p.again))
}

// take is what an attempt uses.
func (p *pairs) take() (*used, error) {
	now, err := p.current()
	if err != nil {
		return nil, err
	}
	if now.used == nil {
		return nil, p.unusable(now.err)
	}
	t := time.Now()
	p.warn(now.used, t)
	if !t.Before(now.used.until()) {
		return nil, p.unusable(cmp.Or(now.err, expired(now.used.until())))
	}
	now.used.at.Store(t.UnixNano())
	return now.used, nil
}

// ready says what is wrong with what the files hold now.
func (p *pairs) ready() error {
	now, err := p.current()
	if err != nil {
		return nil // a secret that is not there: whoever reads all of them says so
	}
	if now.used != nil {
		p.warn(now.used, time.Now())
	}
	if now.err != nil && now.used != nil {
		return fmt.Errorf("the client certificate before it, valid until %s, stays in use: %w", day(now.used.until()), now.err)
	}
	return now.err
}

// current reads the pair, and makes a certificate of it if it is another one.
func (p *pairs) current() (*pair, error) {
	cert, err := p.Cert.Reveal()
	key, other := p.Key.Reveal()
	if err = cmp.Or(err, other); err != nil {
		p.live.forget(p.scope)
		return nil, p.missing(err)
	}
	if now := p.now.Load(); now.of(cert, key) {
		return now, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now.Load(); now.of(cert, key) {
		return now, nil
	}
	now := &pair{cert: cert, key: key}
	c, err := p.read(now)
	now.used, now.err = p.live.take(p.scope, c, err)
	p.now.Store(now)
	return now, nil
}

// read makes a certificate of a pair that can be used now.
func (p *pairs) read(of *pair) (*policy.ClientCertificate, error) {
	if p.Cert.StandsIn() {
		return standIn(of.cert)
	}
	c, err := policy.NewClientCertificate([]byte(of.cert), []byte(of.key))
	if err != nil {
		return nil, err
	}
	switch now, leaf := time.Now(), c.Leaf(); {
	case !now.Before(leaf.NotAfter):
		return nil, expired(leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		of.again = leaf.NotBefore
		return nil, fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// take makes c the one in use of a scope or, with err, keeps that before it.
func (l *Live) take(s policy.Scope, c *policy.ClientCertificate, err error) (*used, error) {
	l.mu.Lock()
	before := l.last[s]
	use := before
	if err == nil && (before == nil || before.cert.ID() != c.ID()) {
		use = &used{cert: c, fingerprint: fingerprint(c)}
		l.last[s] = use
	}
	l.mu.Unlock()
	if l.Changed != nil && (err != nil || use != before) {
		l.Changed(s, use.until(), err)
	}
	return use, err
}

// forget gives up the last good one of a scope: what was taken away is not used
// in the place of what cannot be.
func (l *Live) forget(s policy.Scope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, s)
}

// warn tells of a certificate that ends soon.
func (p *pairs) warn(u *used, now time.Time) {
	last := u.warned.Load()
	if now.Before(u.until().Add(-soon)) || now.Sub(time.Unix(0, last)) < 24*time.Hour || !u.warned.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	if p.live.Ends != nil {
		p.live.Ends(p.scope, u.until())
	}
}

// states is for people.
func (p *pairs) states() []policy.KeyState {
	s := policy.KeyState{Kind: "mtls", Route: p.scope.Route, Ref: p.Cert.String(), State: policy.KeyMissing}
	if now, err := p.current(); err == nil && now.used != nil {
		s.State, s.Fingerprint = policy.KeyInUse, now.used.fingerprint
		if at := now.used.at.Load(); at != 0 {
			s.LastUsed = time.Unix(0, at)
		}
	}
	return []policy.KeyState{s}
}

// fingerprint is the beginning of the certificate's SHA-256, as openssl shows it
// but for the colons.
func fingerprint(c *policy.ClientCertificate) string {
	sum := sha256.Sum256(c.Leaf().Raw)
	return hex.EncodeToString(sum[:4])
}

func expired(at time.Time) error {
	return fmt.Errorf("the certificate expired at %s", at.UTC().Format(time.RFC3339))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
