//go:build !unix

package block

import "os/exec"

// detach leaves a command as it is: when it is late, it is ended alone.
func detach(*exec.Cmd) {}
