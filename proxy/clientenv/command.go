package clientenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Exit codes of programs that did not run, as shells have them.
const (
	exitCannotRun = 126 // found, but not executable
	exitNotFound  = 127
)

// killAfter is how long a program has to obey SIGTERM once its context ended.
const killAfter = 10 * time.Second

// Command is a program to run in an environment made by Merge.
type Command struct {
	Args []string // the program, looked for on PATH if it has no slash, and its arguments
	Env  []string

	// What the program gets from Run, as in exec.Cmd; Exec leaves it the streams of this process. What keeps the
	// program from running is one sentence on Stderr, or on os.Stderr if that is nil.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Run starts the program beside this process, forwards the signals it receives, and gives the program's exit
// code, 128+n if signal n ended it, 126 or 127 if it could not be run. SIGINT and SIGQUIT are not forwarded while
// this process is in the foreground of its terminal: the terminal has sent them to the program itself. When ctx
// ends, the program gets SIGTERM, and SIGKILL ten seconds later; so ctx should not end by a signal that is
// forwarded as well.
func (c Command) Run(ctx context.Context) int {
	path, code := c.find()
	if code != 0 {
		return code
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args, cmd.Env = c.Args, c.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = killAfter

	received := make(chan os.Signal, 16)
	for _, s := range forwarded() {
		if !signal.Ignored(s) { // as under nohup
			signal.Notify(received, s)
		}
	}
	defer signal.Stop(received)
	if err := cmd.Start(); err != nil {
		return c.fail(exitCannotRun, explain(err))
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-received:
				if !sentByTerminal(s) {
					_ = cmd.Process.Signal(s) // it may have ended meanwhile
				}
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	if cmd.ProcessState == nil {
		return c.fail(1, fmt.Sprintf("waiting for it failed: %v", err))
	}
	return exitCode(cmd.ProcessState)
}

// find gives the program's path, or the exit code of having said why there is none.
func (c Command) find() (string, int) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		fmt.Fprintln(c.messages(), "postern: no command given")
		return "", exitNotFound
	}
	name := c.Args[0]
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) { // a PATH with "." is the user's choice
		return path, 0
	}
	switch {
	case strings.ContainsRune(name, filepath.Separator) && errors.Is(err, fs.ErrNotExist):
		return "", c.fail(exitNotFound, "there is no such file")
	case !errors.Is(err, exec.ErrNotFound):
		return "", c.fail(exitCannotRun, explain(err))
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if file := filepath.Join(dir, name); isFile(file) {
			return "", c.fail(exitCannotRun, file+" is not executable; chmod +x makes it so")
		}
	}
	why := "it is not on PATH"
	if isFile(name) {
		why += "; did you mean ./" + name + "?"
	} else if len(c.Args) == 1 && strings.Contains(name, " ") {
		why += "; give the command and its arguments as separate words, or use sh -c"
	}
	return "", c.fail(exitNotFound, why)
}

func (c Command) fail(code int, why string) int {
	fmt.Fprintf(c.messages(), "postern: cannot run %s: %s\n", c.Args[0], why)
	return code
}

func (c Command) messages() io.Writer {
	if c.Stderr != nil {
		return c.Stderr
	}
	return os.Stderr
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// explain puts the system's reason for not running a program that was found into words that help.
func explain(err error) string {
	var reason syscall.Errno
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "permission denied; is it executable?"
	case errors.Is(err, fs.ErrNotExist):
		return "what is to interpret it (its #! line, or a binary's loader) does not exist"
	case errors.Is(err, errBadFormat):
		return "it has no #! line, or is built for another kind of machine"
	case errors.As(err, &reason):
		return reason.Error()
	}
	return err.Error()
}
