package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// tunnels keeps the connections that net/http no longer knows of, so that a
// shutdown can wait for them and close them (P54).
type tunnels struct {
	mu     sync.Mutex
	open   map[*tunnel]struct{}
	closed bool
	empty  chan struct{} // closed when the last one ends; nil if nobody waits
}

type tunnel struct{ ends []io.Closer }

// add keeps the ends of a tunnel until remove is called. After closeAll it
// closes them and says false.
func (t *tunnels) add(ends ...io.Closer) (tn *tunnel, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tn = &tunnel{ends}
	if t.closed {
		tn.close()
		return tn, false
	}
	if t.open == nil {
		t.open = map[*tunnel]struct{}{}
	}
	t.open[tn] = struct{}{}
	return tn, true
}

func (t *tunnels) remove(tn *tunnel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, tn)
	if len(t.open) == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

func (tn *tunnel) close() {
	for _, c := range tn.ends {
		c.Close()
	}
}

// wait returns when there is no tunnel any more, or with the context's error.
func (t *tunnels) wait(ctx context.Context) error {
	t.mu.Lock()
	if len(t.open) == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	empty := t.empty
	t.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeAll closes every tunnel there is and will be.
func (t *tunnels) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for tn := range t.open {
		tn.close()
	}
}

// track keeps connections until release is called.
func (e *entry) track(ends ...io.Closer) (release func(), ok bool) {
	if e.tunnels == nil {
		return func() {}, true
	}
	tn, ok := e.tunnels.add(ends...)
	return func() { e.tunnels.remove(tn) }, ok
}

// A replayed is a connection, some bytes of which have been read already.
type replayed struct {
	net.Conn
	head  []byte // to be read first
	entry *entry // of what is served over it

	ended  func(received int64) // called once, when a copy into it has ended
	copied atomic.Bool
}

func (c *replayed) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// NetConn is the connection whose bytes these are.
func (c *replayed) NetConn() net.Conn { return c.Conn }

// ReadFrom lets the kernel move the bytes between two TCP connections.
func (c *replayed) ReadFrom(from io.Reader) (n int64, err error) {
	if c.ended != nil && c.copied.CompareAndSwap(false, true) {
		defer func() { c.ended(n) }()
	}
	if r, ok := from.(*replayed); ok {
		for len(r.head) > 0 {
			m, err := c.Conn.Write(r.head)
			n += int64(m)
			if r.head = r.head[m:]; err != nil {
				return n, err
			}
		}
		from = r.Conn
	}
	m, err := io.Copy(c.Conn, from)
	return n + m, err
}

// CloseWrite ends one direction, or both where that is not possible.
func (c *replayed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// CloseRead is called at the end of what was to be read; there is nothing
// more to end.
func (c *replayed) CloseRead() error { return nil }

// A door is the response writer of a CONNECT: the connection taken over from
// it does not lose what was sent together with the request.
type door struct {
	http.ResponseWriter
	conn *replayed // once it was taken over
	wrap func(*replayed)
}

// Hijack implements [http.Hijacker].
func (d *door) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(d.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	d.conn = &replayed{Conn: conn}
	if n := rw.Reader.Buffered(); n > 0 {
		head, _ := rw.Reader.Peek(n)
		d.conn.head = append([]byte(nil), head...)
	}
	d.wrap(d.conn)
	return d.conn, rw, nil
}

// errClosed is what a handover returns when it was closed.
var errClosed = errors.New("the proxy does not accept connections any more")

// A handover is the listener through which connections taken out of tunnels
// reach net/http.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

// give hands conn over, or fails when the listener is closed.
func (l *handover) give(conn net.Conn) error {
	select {
	case l.conns <- conn:
		return nil
	case <-l.done:
		return errClosed
	}
}

// Accept implements [net.Listener].
func (l *handover) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *handover) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements [net.Listener].
func (l *handover) Addr() net.Addr { return handoverAddr{} }

type handoverAddr struct{}

func (handoverAddr) Network() string { return "tunnel" }
func (handoverAddr) String() string  { return "tunnel" }
