//go:build !unix

package peers

import (
	"fmt"
	"os"
	"syscall"
)

var (
	sigFast      = os.Interrupt
	sigImmediate = os.Kill
	sigTerm      = os.Interrupt
)

func ownGroup() *syscall.SysProcAttr { return nil }

func runAs(*account) *syscall.SysProcAttr { return nil }

func peerAccount() (*account, error) { return nil, fmt.Errorf("peers on this system: %w", ErrMissing) }

func signalTree(int, bool) error { return ErrMissing }

func resumeTree(int) error { return ErrMissing }

func free(string) uint64 { return 0 }
