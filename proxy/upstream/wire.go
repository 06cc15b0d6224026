package upstream

import (
	"net"
	"syscall"
)

// wire is the network connection under TLS. It can be asked whether something
// has arrived without waiting for it.
type wire struct {
	net.Conn
	raw syscall.RawConn // nil if it cannot be asked

	probing bool // Read does not wait
	buf     []byte
	n       int
	err     error
	look    func(fd uintptr)
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	if s, ok := c.(syscall.Conn); ok && canProbe {
		w.raw, _ = s.SyscallConn()
	}
	w.look = func(fd uintptr) { w.n, w.err = readNow(fd, w.buf) }
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	if !w.probing {
		return w.Conn.Read(p)
	}
	if w.raw == nil {
		return 0, nothing{}
	}
	w.buf = p
	err := w.raw.Control(w.look)
	w.buf = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// nothing is the error of a probe that found nothing. It is a temporary
// net.Error, which crypto/tls survives.
type nothing struct{}

func (nothing) Error() string   { return "nothing has arrived" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }
