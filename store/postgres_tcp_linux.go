package store

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUpOnSilence ends a connection whose peer has not acknowledged what was
// sent for three seconds: the machine is gone.
func giveUpOnSilence(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 3000)
	}); e != nil {
		return e
	}
	return err
}
