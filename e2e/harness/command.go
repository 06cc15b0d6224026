package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	Code           int // -1 when it did not exit by itself
}

const commandWithin = 2 * time.Minute

// Command runs `postern ARGS… -c DIR` in an environment without secrets, with extra variables NAME=VALUE.
func (p *Postern) Command(extra []string, args ...string) Result {
	p.t.Helper()
	if i := slices.Index(args, "--"); i >= 0 {
		args = slices.Concat(args[:i], []string{"-c", p.Dir}, args[i:])
	} else {
		args = slices.Concat(args, []string{"-c", p.Dir})
	}
	return p.Bare(extra, p.binary, args...)
}

// Exec runs `postern exec -c DIR -- ARGS…`: the application, with nothing but what exec gives it.
func (p *Postern) Exec(args ...string) Result {
	p.t.Helper()
	return p.Command(nil, append([]string{"exec", "--"}, args...)...)
}

// Env is what `postern env` tells an application to set.
func (p *Postern) Env() map[string]string {
	p.t.Helper()
	r := p.Command(nil, "env", "--shell", "json")
	env := map[string]string{}
	if err := json.Unmarshal([]byte(r.Stdout), &env); err != nil {
		p.t.Fatalf("postern env --shell json: exit %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	return env
}

// Bare runs a command in the harness's base environment and the extra variables, without Postern's help.
func (p *Postern) Bare(extra []string, name string, args ...string) Result {
	p.t.Helper()
	return Run(p.t.Context(), append(p.BaseEnv(), extra...), p.home, name, args...)
}

// Run runs a command in dir and exactly env, and kills it and its children when it takes longer than two minutes.
func Run(ctx context.Context, env []string, dir, name string, args ...string) Result {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = env, dir
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	r := Result{Stdout: out.String(), Stderr: errs.String(), Code: -1}
	if cmd.ProcessState != nil {
		r.Code = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Stderr += "\n" + err.Error()
	}
	return r
}

// String shows a result in a test failure.
func (r Result) String() string {
	var b strings.Builder
	json.NewEncoder(&b).Encode(r)
	return b.String()
}
