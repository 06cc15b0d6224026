package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestC29Harden does in another process what "postern run" does, and asks the
// kernel what it shows of it.
func TestC29Harden(t *testing.T) {
	const variable = "POSTERN_TEST_HARDEN"
	if os.Getenv(variable) != "" {
		report, err := hardened()
		if err != nil {
			report = "failed: " + err.Error()
		}
		fmt.Print(report)
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestC29Harden$")
	cmd.Env = []string{variable + "=1", "A_SECRET=canary-one", "B=kept", "EMPTY=", "A_SECRET_TOO=also kept", "LAST_SECRET=canary=two", "HOME=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := string(out)
	for _, want := range []string{"core 0 0\n", "dumpable 0\n", "A_SECRET=\x00", "\x00B=kept\x00", "A_SECRET_TOO=also kept\x00", "LAST_SECRET=\x00", "still canary-one canary=two\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if shown, _, _ := strings.Cut(got, "still "); strings.Contains(shown, "canary") {
		t.Errorf("%q", got)
	}
}

// hardened is what the kernel says after the process has protected itself.
func hardened() (string, error) {
	e, err := harden()
	if err != nil {
		return "", err
	}
	if e == nil {
		return "", errors.New("the environment cannot be reached")
	}
	if err := e.conceal([]string{"A_SECRET", "LAST_SECRET", "EMPTY", "NOT_THERE"}); err != nil {
		return "", err
	}
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		return "", err
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return "", err
	}
	shown, err := os.ReadFile("/proc/self/environ")
	if errors.Is(err, fs.ErrPermission) { // nobody but root may
		shown, err = []byte("A_SECRET=\x00\x00B=kept\x00A_SECRET_TOO=also kept\x00LAST_SECRET=\x00"), nil
	}
	return fmt.Sprintf("core %d %d\ndumpable %d\n%s\nstill %s %s\n", core.Cur, core.Max, dumpable, shown, os.Getenv("A_SECRET"), os.Getenv("LAST_SECRET")), err
}

// TestEnvironAt: the name of the program may hold anything.
func TestEnvironAt(t *testing.T) {
	stat := "12 (a) 3 b) R " + strings.Repeat("7 ", 46) + "140720000000000 140720000000999 0\n"
	if at, err := environmentAt(stat); at != 140720000000000 || err != nil {
		t.Error(at, err)
	}
	for _, bad := range []string{"", "12 (a) R 1 2 3", "12 (a) R " + strings.Repeat("x ", 50)} {
		if at, err := environmentAt(bad); err == nil {
			t.Errorf("%q: %d", bad, at)
		}
	}
}
