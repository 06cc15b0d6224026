package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/telemetry"
)

// startGate runs a gate on the files until the test ends.
func startGate(t *testing.T, files map[string]string) (g *gate, dir string) {
	t.Helper()
	return startGateIn(t, t.TempDir(), files)
}

// startGateIn runs a gate on the files and what is in dir already.
func startGateIn(t *testing.T, dir string, files map[string]string) (*gate, string) {
	t.Helper()
	files["postern.hcl"] = "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n" + files["postern.hcl"]
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	ctx, stop := context.WithCancel(context.Background())
	g, err := openGate(ctx, dir, telemetry.Options{Output: io.Discard}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the gate ended with %v", err)
		}
	})
	return g, dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// through is a client of the gate's proxy.
func through(t *testing.T, g *gate) *http.Client {
	t.Helper()
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: g.proxy.Addr().String()}), MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// TestC71ReloadUnderLoad reloads again and again while calls run: no call
// fails, and none sees the version of one policy with the credential of another.
func TestC71ReloadUnderLoad(t *testing.T) {
	t.Setenv("NO_PROXY", "")
	var mixed, seen atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.Header.Get("Authorization") != "Bearer token-of-"+r.Header.Get("X-Version") {
			mixed.Add(1)
		}
	}))
	defer up.Close()
	policyOf := func(n int) string {
		return fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n  version {\n    header = \"X-Version\"\n    pin = \"v%d\"\n  }\n  credential \"bearer\" { token = file(\"v%d\") }\n}\n", up.URL, n, n)
	}
	g, dir := startGate(t, map[string]string{"p.hcl": policyOf(0), "v0": "token-of-v0", "v1": "token-of-v1"})
	client := through(t, g)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := client.Get("http://p.example/")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a call was answered %s during a reload", resp.Status)
					return
				}
			}
		})
	}
	for n := range 500 {
		put(t, filepath.Join(dir, "p.hcl"), policyOf(n%2))
		if err := g.reload(context.Background()); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
	if mixed.Load() > 0 || seen.Load() < 500 {
		t.Errorf("%d of %d calls saw half of a policy", mixed.Load(), seen.Load())
	}
}

// TestReloadByFile: a changed file, a changed secret and a swapped link take
// effect by themselves; a wrong file does not.
func TestReloadByFile(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization")+" "+r.Header.Get("X-Version"))
	}))
	defer up.Close()
	policyOf := func(pin string) string {
		return fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n  version {\n    header = \"X-Version\"\n    pin = %q\n  }\n  credential \"bearer\" { token = file(\"mount/token\") }\n}\n", up.URL, pin)
	}
	dir := t.TempDir()
	for _, d := range []string{"a", "b"} { // a Kubernetes mount: token -> ..data/token, ..data -> a
		if err := os.MkdirAll(filepath.Join(dir, "mount", d), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "mount", d, "token"), "token-"+d+"\n")
	}
	link := func(to, name string) {
		if err := os.Symlink(to, name+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	link("a", filepath.Join(dir, "mount", "..data"))
	link("..data/token", filepath.Join(dir, "mount", "token"))
	put(t, filepath.Join(dir, "postern.hcl"), "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n")
	put(t, filepath.Join(dir, "p.hcl"), policyOf("v1"))

	ctx, stop := context.WithCancel(context.Background())
	g, err := openGate(ctx, dir, telemetry.Options{Output: io.Discard}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.serve(ctx) }()
	defer func() { stop(); <-ended }()
	client := through(t, g)
	get := func() string {
		resp, err := client.Get("http://p.example/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	if got := get(); got != "Bearer token-a v1" {
		t.Fatalf("at first: %q", got)
	}
	eventually(t, "watching", func() bool { return g.watching.Load() })
	put(t, filepath.Join(dir, "p.hcl"), policyOf("v2"))
	eventually(t, "the new version", func() bool { return get() == "Bearer token-a v2" })
	link("b", filepath.Join(dir, "mount", "..data"))
	eventually(t, "the new secret", func() bool { return get() == "Bearer token-b v2" })
	put(t, filepath.Join(dir, "p.hcl"), strings.Replace(policyOf("v3"), "version", "versoin", 1))
	eventually(t, "the refusal", func() bool { return *g.refused.Load() != "" })
	if got := get(); got != "Bearer token-b v2" {
		t.Errorf("a wrong file took effect: %q", got)
	}
}

// TestC26Loopback: with defaults nothing outside of this machine is listened to.
func TestC26Loopback(t *testing.T) {
	g, _ := startGate(t, map[string]string{})
	for _, a := range g.addresses(g.now.Load()) {
		if !strings.HasPrefix(a.String(), "127.0.0.1:") {
			t.Errorf("listens on %s", a)
		}
	}
}
