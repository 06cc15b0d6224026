//go:build unix

package block

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// detach gives a command a session of its own: it has no terminal to ask at, and
// when it is late, whatever it started ends with it.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
