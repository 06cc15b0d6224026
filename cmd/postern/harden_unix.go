//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// harden keeps the memory, which holds secrets, out of core dumps.
func harden() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("turn core dumps off: %w", err)
	}
	return nil
}
