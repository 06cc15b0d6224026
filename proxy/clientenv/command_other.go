//go:build !unix

package clientenv

import (
	"context"
	"errors"
	"os"
)

var errBadFormat = errors.New("not an executable format")

// Exec runs the program as Run does: this system cannot replace a process.
func (c Command) Exec() int {
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	c.Stderr = c.messages()
	return c.Run(context.Background())
}

func forwarded() []os.Signal { return []os.Signal{os.Interrupt} }

// sentByTerminal: a console gives its interrupts to every process attached to it.
func sentByTerminal(os.Signal) bool { return true }

func terminate(p *os.Process) error { return p.Kill() }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
