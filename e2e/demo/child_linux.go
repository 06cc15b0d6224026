package main

import "syscall"

// child keeps a terminal's interrupt from a process, which is for the demo to
// end, and ends it should the demo be killed.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
