//go:build unix

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// waitsFiles writes the configuration of a gate with the provider p.
func waitsFiles(t *testing.T, upstream, blocks string) (dir string) {
	dir = t.TempDir()
	put(t, filepath.Join(dir, "postern.hcl"), quiet)
	put(t, filepath.Join(dir, "p.hcl"), fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n%s\n}\n", upstream, blocks))
	return dir
}

// caller calls p for an account, each call on a connection of its own if need be.
func (l *life) caller() func(account string) (status int, header http.Header, body string, took time.Duration) {
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.proxy}), MaxIdleConnsPerHost: 1000}}
	l.t.Cleanup(client.CloseIdleConnections)
	return func(account string) (int, http.Header, string, time.Duration) {
		start := time.Now()
		r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://p.example/x", nil)
		if err != nil {
			l.t.Error(err)
			return 0, nil, "", 0
		}
		r.Header.Set("Postern-Account", account)
		resp, err := client.Do(r)
		if err != nil {
			l.t.Error(err)
			return 0, nil, "", 0
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			l.t.Error(err)
		}
		return resp.StatusCode, resp.Header, string(text), time.Since(start)
	}
}

// TestFallbackOutlivesRestart: a process that begins while the provider is down
// gives the last good answer of the one before.
func TestFallbackOutlivesRestart(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good") }))
	defer up.Close()
	dir := waitsFiles(t, up.URL, "fallback { stale = \"1h\" }\nretry { attempts = 1 }")
	l := begin(t, dir, exact, nil, nil)
	if status, h, body, _ := l.caller()("a"); status != 200 || body != "good" || h.Get("Postern-Source") != "provider" {
		t.Fatalf("%d %v %q", status, h, body)
	}
	if err := l.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.end(30 * time.Second)
	up.Close()
	l = begin(t, dir, exact, nil, nil)
	call := l.caller()
	if status, h, body, _ := call("a"); status != 200 || body != "good" || h.Get("Postern-Source") != "stale" || h.Get("Age") == "" || h.Get("Postern-Outcome") != "ok" {
		t.Errorf("%d %v %q", status, h, body)
	}
	if status, h, _, _ := call("b"); status != 502 || h.Get("Postern-Source") != "postern" {
		t.Errorf("another account: %d %v", status, h)
	}
}

// TestP28DrainWaitsForLimits: calls that wait for a limit are in flight: the end
// of the process waits for them, and they are made.
func TestP28DrainWaitsForLimits(t *testing.T) {
	var mu sync.Mutex
	came := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		came++
	}))
	defer up.Close()
	l := begin(t, waitsFiles(t, up.URL, "limit \"slow\" {\nrate = \"4/s\"\nburst = 1\n}"), exact, nil, nil)
	call := l.caller()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if status, h, body, _ := call("a"); status != 200 {
				t.Errorf("%d %v %s", status, h, body)
			}
		})
	}
	time.Sleep(400 * time.Millisecond)
	if err := l.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	code := l.end(30 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if code != 0 || came != 6 {
		t.Errorf("exit code %d, %d of 6 calls were made", code, came)
	}
}

// TestShow7FairnessOverSockets: as in virtual time, with smaller numbers.
func TestShow7FairnessOverSockets(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer up.Close()
	l := begin(t, waitsFiles(t, up.URL, "limit \"published\" {\nrate = \"100/s\"\nburst = 1\nwait = \"30s\"\n}"), exact, nil, nil)
	call := l.caller()
	quiet := func() (all []time.Duration) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 4 { // batches
			for range 25 {
				wg.Go(func() {
					status, h, body, took := call("quiet")
					if status != 200 {
						t.Errorf("%d %v %s", status, h, body)
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, took)
				})
			}
			wg.Wait()
		}
		return all
	}
	worst := func(all []time.Duration) time.Duration { return slices.Max(all) }
	alone := worst(quiet())
	var wg sync.WaitGroup
	for range 400 {
		wg.Go(func() {
			if status, _, body, _ := call("loud"); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	time.Sleep(300 * time.Millisecond) // they are in the queue, but for what went out
	beside := worst(quiet())
	wg.Wait()
	t.Logf("the slowest of 100 calls: %v alone, %v beside 400 of another account", alone, beside)
	if beside > 2*alone+200*time.Millisecond {
		t.Errorf("%v beside the loud account, %v alone", beside, alone)
	}
}
