package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// gate is Postern: its folder, its addresses, its process.
type gate struct {
	binary, dir, home, logFile string
	proxy, inbound, admin      string // host:port
	stripeKey, stripeHook      string // the secrets, which only Postern's environment holds
	ledgerKey                  string
	trust                      string // the authority of the providers' certificates

	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	took time.Duration // from start to ready
}

func newGate(dir, binary, trust string) (*gate, error) {
	g := &gate{
		binary: binary, trust: trust,
		dir: filepath.Join(dir, "policy"), home: filepath.Join(dir, "home"), logFile: filepath.Join(dir, "postern.log"),
		stripeKey: "sk_test_" + rand.Text(), stripeHook: "whsec_" + rand.Text(), ledgerKey: rand.Text(),
	}
	for _, addr := range []*string{&g.proxy, &g.inbound, &g.admin} {
		var err error
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	return g, errors.Join(os.Mkdir(g.dir, 0o700), os.Mkdir(g.home, 0o700))
}

// freeAddr picks a loopback port below the range from which outgoing
// connections take theirs, so that it is still free after the kill.
func freeAddr() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.IntN(12000))
		if ln, err := net.Listen("tcp4", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", errors.New("no free port")
}

func (g *gate) secrets() []string { return []string{g.stripeKey, g.stripeHook, g.ledgerKey} }

// environ is what everything but the running Postern gets: no secret, no proxy.
func (g *gate) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "TMPDIR=" + g.home, "LANG=C.UTF-8", "NO_COLOR=1"}
}

func (g *gate) pid() int { return g.cmd.Process.Pid }

// start runs Postern and returns when it is ready.
func (g *gate) start(ctx context.Context) error {
	log, err := os.OpenFile(g.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	begun := time.Now()
	g.cmd = exec.Command(g.binary, "run", "-c", g.dir)
	g.cmd.Env = append(g.environ(), "STRIPE_KEY="+g.stripeKey, "STRIPE_WEBHOOK_SECRET="+g.stripeHook, "LEDGER_KEY="+g.ledgerKey, "SSL_CERT_FILE="+g.trust)
	g.cmd.Dir, g.cmd.Stdout, g.cmd.Stderr = g.home, log, log
	g.cmd.SysProcAttr = child()
	if err := g.cmd.Start(); err != nil {
		return fmt.Errorf("starting postern: %w", err)
	}
	g.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		cmd.Wait()
		close(done)
	}(g.cmd, g.done)
	for {
		if g.ready(ctx) {
			g.took = time.Since(begun)
			return nil
		}
		select {
		case <-g.done:
			return fmt.Errorf("postern ended before it was ready: %v", g.cmd.ProcessState)
		case <-ctx.Done():
			g.kill()
			return fmt.Errorf("waiting for postern to be ready: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// direct never goes through a proxy, whatever the environment says.
var direct = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}

func (g *gate) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := direct.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill is kill -9; it returns when the process is gone.
func (g *gate) kill() {
	if g.cmd.Process != nil {
		g.cmd.Process.Kill()
		<-g.done
	}
}

// stop is SIGTERM; it returns the exit code, -1 if half a minute was too short.
func (g *gate) stop() int {
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.done:
		return g.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		g.kill()
		return -1
	}
}

// command runs `postern ARGS...`, which gets no secret, and returns its standard output.
func (g *gate) command(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, g.binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = g.environ(), &out, &errs
	cmd.SysProcAttr = child()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("postern %s: %w\n%s%s", args[0], err, out.String(), strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}
