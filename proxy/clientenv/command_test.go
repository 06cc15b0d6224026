//go:build unix

package clientenv

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// ending is a program and how shells report its end.
type ending struct {
	name  string
	args  []string
	code  int
	says  string // on stderr
	wants string // on stdout
}

func endings(t *testing.T) []ending {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []ending{
		{"success", []string{"sh", "-c", `echo "$1"`, "sh", "a  b"}, 0, "", "a  b\n"},
		{"code", []string{"sh", "-c", "exit 42"}, 42, "", ""},
		{"stderr", []string{"sh", "-c", "echo oops >&2"}, 0, "oops\n", ""},
		{"not on PATH", []string{"no-such-program"}, 127, "postern: cannot run no-such-program: it is not on PATH\n", ""},
		{"one word", []string{"npm start"}, 127, "separate words", ""},
		{"in this folder", []string{"doc.go"}, 127, "did you mean ./doc.go?", ""},
		{"no such file", []string{dir + "/none"}, 127, "there is no such file", ""},
		{"no command", nil, 127, "no command given", ""},
		{"not executable", []string{file("plain", "#!/bin/sh\n", 0o644)}, 126, "permission denied", ""},
		{"a folder", []string{dir}, 126, "postern: cannot run", ""},
		{"no #! line", []string{file("text", "echo hello\n", 0o755)}, 126, "no #! line", ""},
		{"no interpreter", []string{file("script", "#!/no/such/interpreter\n", 0o755)}, 126, "interpret", ""},
	}
}

func TestCommandEnds(t *testing.T) {
	for _, role := range []string{"exec", "run"} {
		for _, c := range endings(t) {
			t.Run(role+"/"+c.name, func(t *testing.T) {
				cmd := inRole(t, role, c.args...)
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				cmd.Run()
				if code := cmd.ProcessState.ExitCode(); code != c.code {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				if stdout.String() != c.wants || !strings.Contains(stderr.String(), c.says) {
					t.Errorf("stdout %q, stderr %q; want %q, %q", &stdout, &stderr, c.wants, c.says)
				}
				if c.code >= 126 && strings.Count(stderr.String(), "\n") != 1 {
					t.Errorf("stderr %q is not one line", &stderr)
				}
			})
		}
	}
}

func TestCommandNotExecutableOnPath(t *testing.T) {
	path := writeTemp(t, "tool-without-x", "#!/bin/sh\n")
	cmd := inRole(t, "run", "tool-without-x")
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")+":"+filepath.Dir(path))
	stderr, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 126 || !strings.Contains(string(stderr), path+" is not executable") {
		t.Errorf("exit code %d, %q", cmd.ProcessState.ExitCode(), stderr)
	}
}

// Exec leaves no process of ours: the program has the process id that was started.
func TestExecIsTheProcess(t *testing.T) {
	cmd := inRole(t, "exec", "sh", "-c", "echo $$")
	stdout, _ := output(t, cmd)
	if strings.TrimSpace(stdout) != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("the program is process %s, started was %d", stdout, cmd.Process.Pid)
	}
}

func TestRunReportsSignals(t *testing.T) {
	cmd := inRole(t, "run", "sh", "-c", "kill -9 $$")
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
}

// lines starts cmd and gives what it prints, line by line; the channel ends with its output.
func lines(t *testing.T, cmd *exec.Cmd) <-chan string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return scan(t, r)
}

// scan gives the lines of r until it ends.
func scan(t *testing.T, r io.ReadCloser) <-chan string {
	out := make(chan string, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		for s := bufio.NewScanner(r); s.Scan(); {
			out <- strings.TrimSpace(s.Text())
		}
	}()
	t.Cleanup(func() {
		r.Close()
		<-done
	})
	return out
}

func TestRunForwardsSignals(t *testing.T) {
	for _, s := range []struct {
		name   string
		signal syscall.Signal
	}{{"HUP", syscall.SIGHUP}, {"INT", syscall.SIGINT}, {"QUIT", syscall.SIGQUIT}, {"TERM", syscall.SIGTERM}, {"USR1", syscall.SIGUSR1}, {"USR2", syscall.SIGUSR2}} {
		t.Run(s.name, func(t *testing.T) {
			cmd := inRole(t, "run", "sh", "-c", `trap 'echo got; exit 7' `+s.name+`; echo ready; while :; do sleep 0.02; done`)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal
			out := lines(t, cmd)
			if line := <-out; line != "ready" {
				t.Fatalf("got %q", line)
			}
			if err := cmd.Process.Signal(s.signal); err != nil {
				t.Fatal(err)
			}
			if line := <-out; line != "got" {
				t.Errorf("got %q", line)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 7 {
				t.Errorf("exit code %d, want the program's 7", code)
			}
		})
	}
}

// Under nohup the signal stays ignored, for the program too.
func TestRunKeepsIgnoredSignals(t *testing.T) {
	self := inRole(t, "run", "sh", "-c", `trap 'echo alive; exit' USR1; echo ready; while :; do sleep 0.02; done`)
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`}, self.Args...)...)
	cmd.Env = self.Env
	out := lines(t, cmd)
	if line := <-out; line != "ready" {
		t.Fatalf("got %q", line)
	}
	cmd.Process.Signal(syscall.SIGHUP)
	cmd.Process.Signal(syscall.SIGUSR1) // forwarded in this order
	if line := <-out; line != "alive" {
		t.Errorf("got %q", line)
	}
	cmd.Wait()
}

func TestRunEndsWithItsContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := Command{Args: []string{"sh", "-c", `trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done`}, Env: bare(t), Stdout: w}
	code := make(chan int)
	go func() { code <- c.Run(ctx) }()
	out := scan(t, r)
	<-out
	cancel()
	if got := <-code; got != 9 {
		t.Errorf("exit code %d, want 9", got)
	}
	w.Close()
}
