package drain

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// look is how long the door stays open for one who was seen at it.
const look = time.Millisecond

// Listener returns l for the server to serve, with TLS over it if need be.
// shared says that others accept from the same socket: who waits at the door
// is left to them.
func (d *Drain) Listener(l net.Listener, shared bool) net.Listener {
	out := &listener{Listener: l, d: d, shared: shared, shut: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners[out] = struct{}{}
	return out
}

type listener struct {
	net.Listener
	d        *Drain
	shared   bool
	shutting atomic.Bool
	once     sync.Once
	shut     chan struct{} // closed when nobody is left at the door
}

// socket is a listener that can stop to wait for somebody.
type socket interface{ SetDeadline(time.Time) error }

// Accept implements [net.Listener]. Once the server ends it returns only when
// all connections have: net/http would take its return for the end of all.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		switch {
		case err == nil:
			return l.d.enter(nc), nil
		case !l.shutting.Load():
			return nil, err
		case !l.shared && pending(l.Listener) && l.Listener.(socket).SetDeadline(time.Now().Add(look)) == nil:
			continue
		}
		_ = l.Listener.Close() // at once: who connects from now on is refused
		l.once.Do(func() { close(l.shut) })
		<-l.d.released
		return nil, net.ErrClosed
	}
}

// enter keeps a connection, old or new.
func (d *Drain) enter(nc net.Conn) net.Conn {
	c := bottom(nc)
	if c == nil {
		c = &conn{Conn: nc, d: d}
		nc = c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns[c] = struct{}{}
	return nc
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	if l.shutting.Load() {
		return nil // end does it
	}
	l.d.mu.Lock()
	delete(l.d.listeners, l)
	l.d.mu.Unlock()
	return l.Listener.Close()
}

// shutDoors lets in who is connected, and closes every socket. What is none
// hands on connections that came in before, and stays open.
func (d *Drain) shutDoors(ctx context.Context) {
	var wg sync.WaitGroup
	d.mu.Lock()
	for l := range d.listeners {
		if s, ok := l.Listener.(socket); ok {
			wg.Go(func() { l.end(ctx, s) })
		}
	}
	d.mu.Unlock()
	wg.Wait()
}

func (l *listener) end(ctx context.Context, s socket) {
	l.shutting.Store(true)
	if s.SetDeadline(time.Now()) == nil {
		select {
		case <-l.shut:
		case <-ctx.Done():
		case <-time.After(time.Second): // nobody accepts
		}
	}
	_ = l.Listener.Close()
}
