// Package drain ends an HTTP server without cutting a request: who has sent
// one gets a whole answer, and who has sent none is told so by one.
//
// [http.Server.Shutdown] alone does not: it closes connections that wait for a
// request while one may be on its way, drops a request that it has read just
// then, and leaves those that are connected and not accepted yet to a reset.
//
// Read drain.go for the order in which a server ends, conn.go for what becomes
// of one connection, listener.go for the door.
package drain

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// spare is how long before the end of [Drain.Shutdown] those are given up that
// have not sent their request yet, so that they can be answered.
const spare = 2 * time.Second

// A Drain ends one [http.Server].
type Drain struct {
	server *http.Server
	// refusal makes the whole HTTP/1.1 answer for a connection that waits for a
	// request.
	refusal func() []byte

	closing  atomic.Bool   // answers end their connection
	ending   atomic.Bool   // who waits for a request is refused
	hurried  atomic.Bool   // what is still to be read is given up
	cut      atomic.Bool   // nothing is waited for any more
	down     chan struct{} // closed when the server knows that it ends
	released chan struct{} // closed by release when Accept may return
	release  func()

	mu        sync.Mutex
	conns     map[*conn]struct{}
	listeners map[*listener]struct{}
	changed   chan struct{} // takes one word that something in conns may have changed
}

// New takes charge of how server ends, before it serves: of its Handler and its
// ConnState. Its listeners have to be those of [Drain.Listener]. refusal makes a
// whole HTTP/1.1 answer that says Connection: close.
func New(server *http.Server, refusal func() []byte) *Drain {
	d := &Drain{
		server: server, refusal: refusal, down: make(chan struct{}), released: make(chan struct{}), changed: make(chan struct{}, 1),
		conns: map[*conn]struct{}{}, listeners: map[*listener]struct{}{},
	}
	d.release = sync.OnceFunc(func() { close(d.released) })
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.closing.Load() {
			w.Header()["Connection"] = []string{"close"} // over HTTP/2 net/http makes GOAWAY of it
		}
		next.ServeHTTP(w, r)
	})
	server.ConnState = d.state
	server.RegisterOnShutdown(sync.OnceFunc(func() { close(d.down) }))
	return d
}

// EndKeepAlive makes every answer from now on the last one of its connection. The
// server still accepts and serves.
func (d *Drain) EndKeepAlive() { d.closing.Store(true) }

// Shutdown ends the server: it accepts who is connected already and nobody
// else, refuses those who wait for a request without having sent a byte of it,
// and serves the others. Two seconds before ctx ends hurry is called, which may
// be nil, and what has not been read of a request is given up: handlers see an
// error and can still answer. At its end everything is closed, and its error
// returned.
func (d *Drain) Shutdown(ctx context.Context, hurry func()) error {
	d.EndKeepAlive()
	soon, cancel := d.before(ctx)
	defer cancel()
	d.shutDoors(ctx)
	d.ending.Store(true)
	d.each((*conn).poke)
	if d.wait(soon, false) != nil {
		d.hurried.Store(true)
		if hurry != nil {
			hurry()
		}
		d.each((*conn).hurry)
		_ = d.wait(ctx, false)
	}
	// What is left speaks HTTP/2, which says in order that it ends.
	ended := make(chan error, 1)
	go func() { ended <- d.server.Shutdown(ctx) }()
	err := d.wait(ctx, true)
	d.cut.Store(true)
	<-d.down
	d.release()
	if err != nil {
		d.server.Close()
		<-ended
		return err
	}
	return <-ended
}

// before ends a little before ctx does.
func (d *Drain) before(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(end)
	return context.WithTimeout(ctx, left-min(spare, left/2))
}

// wait returns when no connection is left, or none but those of HTTP/2.
func (d *Drain) wait(ctx context.Context, all bool) error {
	for {
		if d.left(all) == 0 {
			return nil
		}
		select {
		case <-d.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Drain) left(all bool) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		if all || c.is() != multiplexed {
			n++
		}
	}
	return n
}

// each calls f for every connection.
func (d *Drain) each(f func(*conn)) {
	d.mu.Lock()
	all := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

func (d *Drain) change() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *Drain) forget(c *conn) {
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
	d.change()
}

// state is the server's ConnState.
func (d *Drain) state(served net.Conn, s http.ConnState) {
	c := bottom(served)
	if c == nil {
		return
	}
	switch s {
	case http.StateNew:
		c.begin(served)
	case http.StateActive:
		c.become(busy)
	case http.StateIdle:
		c.become(waiting)
	case http.StateHijacked:
		c.become(taken)
	}
	if d.ending.Load() {
		d.change()
	}
}

// bottom is the connection of ours that one is made of, nil if there is none.
func bottom(c net.Conn) *conn {
	for {
		switch under := c.(type) {
		case *conn:
			return under
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		default:
			return nil
		}
	}
}

// Release gives a connection that was taken over from the server into the hands
// of the caller: Shutdown does not wait for it. Without that it waits until it
// is closed, or served again and that ends.
func Release(c net.Conn) net.Conn {
	own, ok := c.(*conn)
	if !ok {
		if under := bottom(c); under != nil {
			under.d.forget(under)
		}
		return c
	}
	own.d.forget(own)
	return own.Conn
}

// overHTTP2 reports whether HTTP/2 is spoken over a connection whose handshake
// is done.
func overHTTP2(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}
