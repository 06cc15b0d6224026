//go:build linux

package clientenv

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// At a terminal Ctrl-C reaches the program once: from the terminal, not from us as well.
func TestRunInterruptedAtTheTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := inRole(t, "run", "sh", "-c", `trap 'echo int' INT; trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.02; done`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	out := scan(t, master)
	var got []string
	for line := range out {
		got = append(got, line)
		switch {
		case line == "ready":
			if _, err := master.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
		case strings.HasSuffix(line, "int"):
			// Forwarded signals arrive in order: a second INT would come before this.
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	cmd.Wait()
	if text := strings.Join(got, " "); strings.Count(text, "int") != 1 || !strings.HasSuffix(text, "term") {
		t.Errorf("the program printed %q", got)
	}
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("MISSING: no pseudo terminals here: %v", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
