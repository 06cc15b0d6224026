package harness

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// process is one run of the binary.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after Wait
	err  error         // Wait's, once done is closed
}

// Run starts the process and returns when /readyz answers 200. The test fails when it does not.
func (p *Postern) Run() {
	p.t.Helper()
	if err := p.TryRun(); err != nil {
		p.t.Fatalf("%v; stderr:\n%s", err, tail(p.log.err.String(), 6000))
	}
}

// TryRun is Run for a configuration that may be refused.
func (p *Postern) TryRun() error {
	if p.Alive() {
		return errors.New("postern already runs")
	}
	if err := p.Launch(); err != nil {
		return err
	}
	return p.waitReady()
}

// Launch starts the process without waiting for it.
func (p *Postern) Launch() error {
	cmd := exec.Command(p.binary, "run", "-c", p.Dir)
	cmd.Env = p.env
	cmd.Dir = p.home
	cmd.Stdout, cmd.Stderr = &p.log.out, &p.log.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting postern: %w", err)
	}
	proc := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		proc.err = cmd.Wait()
		close(proc.done)
	}()
	p.proc = proc
	return nil
}

func (p *Postern) waitReady() error {
	deadline := time.Now().Add(startWithin)
	for time.Now().Before(deadline) {
		resp, err := admin.Get("http://" + p.Admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.proc.done:
			return fmt.Errorf("postern ended before it was ready: %v", p.proc.err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("postern not ready within %s", startWithin)
}

// Alive reports whether the process runs.
func (p *Postern) Alive() bool {
	if p.proc == nil {
		return false
	}
	select {
	case <-p.proc.done:
		return false
	default:
		return true
	}
}

// Pid is the id of the process that runs, or ran last.
func (p *Postern) Pid() int { return p.proc.cmd.Process.Pid }

// Kill ends the process by SIGKILL and waits for its end. It does nothing when there is none.
func (p *Postern) Kill() {
	if p.proc != nil {
		p.proc.cmd.Process.Kill()
		<-p.proc.done
	}
}

// Stop ends the process by SIGTERM and returns its exit code. The test fails when it takes too long.
func (p *Postern) Stop() int {
	p.t.Helper()
	return p.end(syscall.SIGTERM)
}

// Dump ends the process by SIGQUIT, which makes Go print every goroutine, and returns what was added to stderr.
func (p *Postern) Dump() string {
	p.t.Helper()
	before := len(p.log.err.String())
	p.end(syscall.SIGQUIT)
	return p.log.err.String()[before:]
}

func (p *Postern) end(sig syscall.Signal) int {
	p.t.Helper()
	if err := p.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.proc.done:
	case <-time.After(stopWithin):
		p.t.Fatalf("postern still runs %s after %v", stopWithin, sig)
	}
	return p.proc.cmd.ProcessState.ExitCode()
}

// Signal sends sig to the process.
func (p *Postern) Signal(sig syscall.Signal) error {
	if err := p.proc.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signalling postern: %w", err)
	}
	return nil
}

// Restart is Kill and Run: same folder, same ports, same environment.
func (p *Postern) Restart() {
	p.t.Helper()
	p.Kill()
	p.Run()
}

// Stdout is everything the process has written there, over all its runs.
func (p *Postern) Stdout() string { return p.log.out.String() }

// Stderr is everything the process has written there, over all its runs.
func (p *Postern) Stderr() string { return p.log.err.String() }

// capture keeps the two outputs of a process while it runs.
type capture struct{ out, err output }

// output is one of them.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// String is what was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
