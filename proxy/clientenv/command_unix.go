//go:build unix

package clientenv

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const errBadFormat = syscall.ENOEXEC

// Exec replaces this process with the program: no process stays between it and whoever started us. It returns, with
// 126 or 127, only if the program could not be run.
func (c Command) Exec() int {
	path, code := c.find()
	if code != 0 {
		return code
	}
	return c.fail(exitCannotRun, explain(syscall.Exec(path, c.Args, c.Env)))
}

func forwarded() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
	}
}

// sentByTerminal is true of a signal that the terminal's keys gave to the whole foreground group.
func sentByTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
