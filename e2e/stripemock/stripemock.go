// Package stripemock runs Stripe's own stripe-mock, a tool dependency of this module, as a child process.
package stripemock

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// Mock is a running stripe-mock. It keeps no state: what is created can be read by any id.
type Mock struct {
	// URL is its plain-http origin.
	URL string

	cmd *exec.Cmd
}

// Start builds stripe-mock when the build cache lacks it, runs it on free loopback ports and returns once it listens.
// It must be called from within this module, where `go tool` finds it. The child dies with its parent.
func Start() (*Mock, error) {
	var stderr bytes.Buffer
	locate := exec.Command("go", "tool", "-n", "stripe-mock")
	locate.Stderr = &stderr
	path, err := locate.Output()
	if err != nil {
		return nil, fmt.Errorf("building stripe-mock: %w: %s", err, stderr.String())
	}
	// Without an address for https too it would listen on every interface at a fixed port.
	cmd := exec.Command(strings.TrimSpace(string(path)), "-http-addr", "127.0.0.1:", "-https-addr", "127.0.0.1:")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting stripe-mock: %w", err)
	}
	m := &Mock{cmd: cmd}
	lines := bufio.NewReader(out)
	for m.URL == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			m.Close()
			return nil, errors.New("stripe-mock ended before it listened")
		}
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "Listening for HTTP at address: "); ok {
			m.URL = "http://" + addr
		}
	}
	go io.Copy(io.Discard, lines)
	return m, nil
}

// Close kills the process.
func (m *Mock) Close() {
	m.cmd.Process.Kill()
	m.cmd.Wait()
}
