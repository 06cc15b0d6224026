package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// sharing is a configuration with one limit of n calls, and a Redis.
func sharing(redis, up string, n int) map[string]string {
	return map[string]string{
		"postern.hcl": fmt.Sprintf("shared { url = %q }\n", "redis://"+redis),
		"p.hcl":       limited(up, n),
	}
}

func limited(up string, n int) string {
	return fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n  limit \"all\" {\n    rate = \"1/h\"\n    burst = %d\n    wait = \"0s\"\n  }\n}\n", up, n)
}

// answered is how many of n calls the provider answered.
func answered(t *testing.T, g *gate, n int) (ok int) {
	t.Helper()
	c := through(t, g)
	for range n {
		resp, err := c.Get("http://p.example/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			ok++
		}
	}
	return ok
}

func provider(t *testing.T) string {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	t.Cleanup(up.Close)
	return up.URL
}

// readiness is what /readyz?verbose says.
func readiness(t *testing.T, g *gate) (status int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + g.admin.Addr().String() + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestSharedLimit: gates that share a Redis share a limit and know of each other,
// a reload changes it for both, and another Redis waits for the next start.
func TestSharedLimit(t *testing.T) {
	m, up := miniredis.RunT(t), provider(t)
	a, dir := startGate(t, sharing(m.Addr(), up, 6))
	b, _ := startGate(t, sharing(m.Addr(), up, 6))
	for _, g := range []*gate{a, b} {
		eventually(t, "the connection to Redis", func() bool { return g.shared.State() == nil })
		eventually(t, "word of the other one", func() bool { return g.tokens.live() == 2 })
	}
	if first, second := answered(t, a, 4), answered(t, b, 4); first != 4 || second != 2 {
		t.Errorf("%d and %d of one limit of 6", first, second)
	}
	if status, text := readiness(t, a); status != http.StatusOK || !strings.Contains(text, "[+] limits\n") {
		t.Errorf("%d %s", status, text)
	}
	put(t, filepath.Join(dir, "p.hcl"), strings.Replace(limited(up, 6), "1/h", "1000/s", 1))
	if err := a.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new rate", func() bool { return answered(t, a, 1) == 1 })
	text := "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n"
	for with, want := range map[string][]string{
		"": {"shared.url"},
		"shared {\n url = \"redis://127.0.0.1:1/7\"\n prefix = \"other\"\n}": {"shared.url", "shared.prefix"},
		fmt.Sprintf("shared { url = %q }\n", "redis://"+m.Addr()):            nil,
	} {
		put(t, filepath.Join(dir, "postern.hcl"), text+with)
		l, err := a.load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got := a.restarts(l); !slices.Equal(got, want) {
			t.Errorf("%q: %v take effect at the next start, want %v", with, got, want)
		}
	}
}

// TestSharedWithoutRedis: a gate starts without Redis, counts alone, says so, and
// stays in service.
func TestSharedWithoutRedis(t *testing.T) {
	g, _ := startGate(t, sharing("127.0.0.1:1", provider(t), 3))
	if got := answered(t, g, 5); got != 3 {
		t.Errorf("%d of a limit of 3", got)
	}
	eventually(t, "readiness", func() bool { return g.ready.Load() })
	if status, text := readiness(t, g); status != http.StatusOK || !strings.Contains(text, "[!] limits: local, each of 1 replica has its share: asking Redis") {
		t.Errorf("%d %s", status, text)
	}
}
