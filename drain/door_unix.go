//go:build unix

package drain

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending reports whether somebody is connected to l and not accepted.
func pending(l net.Listener) (yes bool) {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		yes = n > 0 && err == nil
	})
	return yes
}
