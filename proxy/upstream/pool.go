package upstream

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/postern-proxy/postern/policy"
)

const (
	sweepEvery   = 15 * time.Second
	forgetUnused = 10 * time.Minute // TLS sessions, and which protocol is spoken
)

// pool holds the connections of a transport, and what is known about hosts.
type pool struct {
	idleTimeout time.Duration
	idlePerHost int

	mu      sync.Mutex
	entries map[key]*entry
	closed  bool
	round   int // connections of an earlier round are not kept: see closeIdle
	sweeper *time.Timer
}

// entry is what belongs to one key. It is guarded by the pool's mutex.
type entry struct {
	tls    *tls.Config
	cert   *policy.ClientCertificate // nil is none
	idle   []*conn                   // HTTP/1.1, last used last
	multi  []*h2conn                 // HTTP/2, open for more streams when last looked at
	proto  proto
	flight *flight
	used   time.Time
}

type proto int

const (
	unknown proto = iota
	speaksHTTP1
	speaksHTTP2
)

// get returns the entry of k, whose certificate is cert. Called with mu held.
func (p *pool) get(k key, cert *policy.ClientCertificate, t *Transport) *entry {
	e := p.entries[k]
	if e == nil {
		e = &entry{cert: cert}
		if k.scheme == "https" {
			e.tls = t.tlsConfig(k)
		}
		if k.http1 || k.scheme == "http" {
			e.proto = speaksHTTP1
		}
		p.entries[k] = e
		p.arm()
	}
	return e
}

// take returns an unused HTTP/1.1 connection, the one used last, or a stream on
// an HTTP/2 one, or neither. The former may be dead.
func (t *Transport) take(k key, cert *policy.ClientCertificate) (lease, *entry, error) {
	p := &t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return lease{}, nil, ErrClosed
	}
	e := p.get(k, cert, t)
	if last := len(e.idle) - 1; last >= 0 {
		c := e.idle[last]
		e.idle[last] = nil
		e.idle = e.idle[:last]
		return lease{h1: c}, e, nil
	}
	e.used = time.Now()
	return lease{h2: e.reserve()}, e, nil
}

// put keeps c for the next request. It reports whether it did.
func (p *pool) put(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.round != p.round {
		return false
	}
	e := p.entries[c.key]
	if e == nil { // forgotten during a long response
		e = c.entry
		p.entries[c.key] = e
	}
	if len(e.idle) >= p.idlePerHost {
		return false
	}
	c.idleSince = time.Now()
	e.used = c.idleSince
	e.idle = append(e.idle, c)
	p.arm()
	return true
}

// land puts a new connection where requests look for one.
func (p *pool) land(l lease) {
	if l.h1 != nil && !p.put(l.h1) {
		l.h1.close()
	}
	if l.h2 == nil {
		return
	}
	p.mu.Lock()
	e := p.entries[l.h2.key]
	ok := e != nil && !p.closed && l.h2.round == p.round
	if ok {
		e.multi = append(e.multi, l.h2)
		p.arm()
	}
	p.mu.Unlock()
	if !ok {
		l.h2.retire()
	}
}

// arm makes sure that a sweep is due. Called with mu held.
func (p *pool) arm() {
	if p.sweeper == nil && !p.closed {
		p.sweeper = time.AfterFunc(min(sweepEvery, p.idleTimeout), p.sweep)
	}
}

// sweep closes what has been idle for too long or was closed by the other side,
// and forgets hosts that are not used.
func (p *pool) sweep() {
	var drop []*conn
	p.mu.Lock()
	p.sweeper = nil
	now := time.Now()
	for k, e := range p.entries {
		keep := e.idle[:0]
		for _, c := range e.idle {
			if now.Sub(c.idleSince) < p.idleTimeout && c.alive() {
				keep = append(keep, c)
			} else {
				drop = append(drop, c)
			}
		}
		clear(e.idle[len(keep):])
		e.idle = keep
		e.prune()
		if len(e.idle)+len(e.multi) == 0 && e.flight == nil && now.Sub(e.used) > forgetUnused {
			delete(p.entries, k)
		}
	}
	if len(p.entries) > 0 {
		p.arm()
	}
	p.mu.Unlock()
	for _, c := range drop {
		c.close()
	}
}

// closeIdle closes what is unused, and has what is in use closed later.
func (p *pool) closeIdle(forGood bool) {
	var drop []*conn
	var multi []*h2conn
	p.mu.Lock()
	p.round++
	p.closed = p.closed || forGood
	for k, e := range p.entries {
		drop, multi = append(drop, e.idle...), append(multi, e.multi...)
		e.idle, e.multi = nil, nil
		if e.flight == nil {
			delete(p.entries, k)
		}
	}
	if p.sweeper != nil {
		p.sweeper.Stop()
		p.sweeper = nil
	}
	p.mu.Unlock()
	for _, c := range drop {
		c.close()
	}
	for _, c := range multi {
		c.retire()
	}
}
