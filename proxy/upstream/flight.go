package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"golang.org/x/net/http2"

	"github.com/postern-proxy/postern/policy"
)

// lease is a connection for one request: one of the two.
type lease struct {
	h1 *conn   // nobody else's until it is released
	h2 *h2conn // with a stream reserved
}

func (l lease) reused() bool {
	if l.h1 != nil {
		return l.h1.served > 0
	}
	return l.h2.served.Add(1) > 1
}

// flight is a dial whose result may serve several requests: made while it is
// not known whether the host speaks HTTP/2, or when it does. It belongs to
// nobody: a request that leaves does not take it away from the others.
type flight struct {
	done    chan struct{} // closed when what follows is set
	op      Op
	err     error
	waiting int // guarded by the pool's mutex; the last one to leave cancels
	cancel  context.CancelFunc
}

// lease finds or makes a connection.
func (t *Transport) lease(ctx context.Context, x *policy.Exchange, k key) (lease, error) {
	for {
		l, e, err := t.take(k, x.Certificate)
		switch {
		case err != nil:
			return lease{}, err
		case l.h2 != nil:
			return l, nil
		case l.h1 != nil:
			if time.Since(l.h1.idleSince) < t.opt.IdleTimeout && l.h1.alive() {
				return l, nil
			}
			l.h1.close()
			continue
		}
		l, err = t.connect(ctx, x, k, e)
		if err != nil || l.h1 != nil || l.h2 != nil {
			return l, err
		}
	}
}

// connect makes a connection within the limits of the exchange. After a flight
// it returns neither lease nor error: what landed is in the pool, for whoever
// is first.
func (t *Transport) connect(ctx context.Context, x *policy.Exchange, k key, e *entry) (lease, error) {
	limit := x.Connect
	if limit <= 0 {
		limit = t.opt.ConnectTimeout
	}
	end := time.Now().Add(limit)
	if until := x.Until(); !until.IsZero() && until.Before(end) {
		end = until
	}
	dctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()

	t.pool.mu.Lock()
	if e.proto == speaksHTTP1 {
		t.pool.mu.Unlock()
		l, op, err := t.open(dctx, k, e)
		if err != nil {
			return l, fault(ctx, op, k.addr(), err)
		}
		if l.h2 != nil {
			t.pool.land(l) // it has learned HTTP/2 since
			return lease{}, nil
		}
		return l, nil
	}
	f := e.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		var fctx context.Context
		fctx, f.cancel = context.WithTimeout(context.Background(), limit)
		e.flight = f
		go t.fly(fctx, f, k, e)
	}
	f.waiting++
	t.pool.mu.Unlock()

	var op Op
	var err error
	select {
	case <-f.done:
		op, err = f.op, f.err
	case <-dctx.Done():
		op, err = OpDial, dctx.Err()
	}
	t.pool.mu.Lock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		e.ended(f)
	}
	t.pool.mu.Unlock()
	if err != nil {
		return lease{}, fault(ctx, op, k.addr(), err)
	}
	return lease{}, nil
}

// ended makes way for another flight. Called with the pool's mutex held.
func (e *entry) ended(f *flight) {
	if e.flight == f {
		e.flight = nil
	}
}

// fly makes the connection of a flight and puts it into the pool.
func (t *Transport) fly(ctx context.Context, f *flight, k key, e *entry) {
	l, op, err := t.open(ctx, k, e)
	f.op, f.err = op, err
	t.pool.land(l)
	t.pool.mu.Lock()
	e.ended(f)
	t.pool.mu.Unlock()
	close(f.done)
}

// open dials, and notes which protocol the host speaks.
func (t *Transport) open(ctx context.Context, k key, e *entry) (lease, Op, error) {
	t.pool.mu.Lock()
	round := t.pool.round
	t.pool.mu.Unlock()
	raw, op, err := t.dial(ctx, k, e)
	if err != nil {
		return lease{}, op, err
	}
	spoken, l := speaksHTTP1, lease{}
	if multiplexed(raw) {
		if l.h2, err = t.multiplex(raw, k, round); err != nil {
			return lease{}, OpTLS, err
		}
		spoken = speaksHTTP2
	} else {
		l.h1 = newConn(t, k, e, raw, round)
	}
	t.pool.mu.Lock()
	e.proto = spoken
	t.pool.mu.Unlock()
	return l, "", nil
}

func multiplexed(c net.Conn) bool {
	tc, ok := c.(*tls.Conn)
	return ok && tc.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS
}
