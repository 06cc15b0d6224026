//go:build !linux

package store

import "syscall"

// giveUpOnSilence leaves it to keep-alive probes to find that a machine is gone.
func giveUpOnSilence(string, string, syscall.RawConn) error { return nil }
