// Package versity runs Versity's S3 gateway, a tool dependency of this module, as a child process: an S3 server that
// checks signatures.
package versity

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const startWithin = 20 * time.Second

// Region is the one that signatures have to name.
const Region = "eu-central-1"

// Host is the name under which Amazon has it. A bucket may stand before it, or after it in the path.
const Host = "s3." + Region + ".amazonaws.com"

// Gateway is a running gateway. What it stores is in a folder.
type Gateway struct {
	Access, Secret string // the one key that it takes

	cmd    *exec.Cmd
	proxy  *httputil.ReverseProxy
	log    bytes.Buffer
	exited chan struct{}
}

// Start builds the gateway when the build cache lacks it, runs it on a socket in dir and returns once it listens. It must
// be called from within this module, where `go tool` finds it. The child dies with its parent.
func Start(dir string) (*Gateway, error) {
	var stderr bytes.Buffer
	locate := exec.Command("go", "tool", "-n", "versitygw")
	locate.Stderr = &stderr
	path, err := locate.Output()
	if err != nil {
		return nil, fmt.Errorf("building versitygw: %w: %s", err, stderr.String())
	}
	store, socket := filepath.Join(dir, "buckets"), filepath.Join(dir, "s3.sock")
	if err := os.Mkdir(store, 0o700); err != nil {
		return nil, err
	}
	g := &Gateway{Access: "AKIA" + rand.Text()[:16], Secret: rand.Text(), exited: make(chan struct{})}
	g.cmd = exec.Command(strings.TrimSpace(string(path)), "--port", socket, "--region", Region, "--virtual-domain", Host, "--quiet", "posix", store)
	g.cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + g.Access, "ROOT_SECRET_ACCESS_KEY=" + g.Secret, "HOME=" + dir}
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.proxy = through(socket)
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting versitygw: %w", err)
	}
	go func() {
		g.cmd.Wait()
		close(g.exited)
	}()
	return g, g.wait(socket)
}

// through passes requests on as they are: what is signed must not change.
func through(socket string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "gateway" },
		Transport: &http.Transport{
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
	}
}

func (g *Gateway) wait(socket string) error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); {
		if c, err := net.Dial("unix", socket); err == nil {
			return c.Close()
		}
		select {
		case <-g.exited:
			return fmt.Errorf("versitygw ended before it listened: %s", g.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	g.Close()
	return errors.New("versitygw does not listen")
}

// ServeHTTP asks the gateway.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.proxy.ServeHTTP(w, r) }

// Close kills the process.
func (g *Gateway) Close() {
	g.cmd.Process.Kill()
	<-g.exited
}
