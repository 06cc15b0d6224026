//go:build !linux

package main

import "syscall"

// child keeps a terminal's interrupt from a process, which is for the demo to end.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
