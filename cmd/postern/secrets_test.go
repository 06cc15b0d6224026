package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/telemetry"
)

// mirror is a provider that answers with the Authorization it was sent.
func mirror(t *testing.T) *httptest.Server {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Backwards: an injected value that is echoed is masked.
		said := []byte(r.Header.Get("Authorization"))
		for i, j := 0, len(said)-1; i < j; i, j = i+1, j-1 {
			said[i], said[j] = said[j], said[i]
		}
		w.Write(said)
	}))
	t.Cleanup(up.Close)
	return up
}

// sent is what a mirror was sent, and the status of the answer.
func sent(t *testing.T, client *http.Client, url string) (string, int) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for i, j := 0, len(said)-1; i < j; i, j = i+1, j-1 {
		said[i], said[j] = said[j], said[i]
	}
	return string(said), resp.StatusCode
}

func providerWith(upstream, secret string) string {
	return fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n  credential \"bearer\" { token = %s }\n}\n", upstream, secret)
}

// TestWrongKey: the key of another environment is refused at the start; at a
// reload the one before stays in force and the refusal says why, without the
// value; the right one takes effect.
func TestWrongKey(t *testing.T) {
	up := mirror(t)
	policy := providerWith(up.URL, `expect(file("key"), "^sk_live_\\w+$")`)
	g, dir := startGate(t, map[string]string{"p.hcl": policy, "key": "sk_live_one_0123\n"})
	client := through(t, g)
	uses := func(want string) {
		t.Helper()
		if got, status := sent(t, client, "http://p.example/"); got != "Bearer "+want {
			t.Errorf("%d, sent %q; want %s", status, got, want)
		}
	}
	uses("sk_live_one_0123")
	for _, wrong := range []string{"sk_test_canary_0123\n", "sk_live_canary_0123 \n", "sk_live_canary_0123\n\n"} {
		put(t, filepath.Join(dir, "key"), wrong)
		err := g.reload(context.Background())
		if err == nil {
			t.Fatalf("%q is accepted", wrong)
		}
		for _, want := range []string{"p.hcl:4", "[secret file:", `does not match "^sk_live_\\w+$"`, "stays in force"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: no %s in %v", wrong, want, err)
			}
		}
		if text := err.Error() + *g.refused.Load(); strings.Contains(text, "canary") {
			t.Errorf("the value is shown: %s", text)
		}
		uses("sk_live_one_0123")
	}
	put(t, filepath.Join(dir, "key"), "sk_live_two_0123\n")
	if err := g.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	uses("sk_live_two_0123")

	put(t, filepath.Join(dir, "key"), "sk_test_canary_0123\n")
	var said strings.Builder
	if _, err := openGate(context.Background(), dir, telemetry.Options{Output: io.Discard}, &said); err == nil {
		t.Error("it starts with the wrong key")
	}
	if !strings.Contains(said.String(), "does not match") || strings.Contains(said.String(), "canary") {
		t.Errorf("at the start: %s", said.String())
	}
}

// TestSecretComesAndGoes: a file that was not there at the start is used when it
// is; one that is deleted is used for its grace, and then not any more.
func TestSecretComesAndGoes(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the grace of a file to end")
	}
	t.Parallel()
	up := mirror(t)
	g, dir := startGate(t, map[string]string{"p.hcl": providerWith(up.URL, `file("late/key")`)})
	client := through(t, g)
	if got, status := sent(t, client, "http://p.example/"); status != http.StatusServiceUnavailable {
		t.Fatalf("without a key: %d %s", status, got)
	}
	eventually(t, "watching", func() bool { return g.watching.Load() })
	if err := os.Mkdir(filepath.Join(dir, "late"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "late", "key"), "key-0123456789abc")
	eventually(t, "the key", func() bool { got, _ := sent(t, client, "http://p.example/"); return got == "Bearer key-0123456789abc" })
	generation := g.generation.Load()
	if err := os.Remove(filepath.Join(dir, "late", "key")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reload", func() bool { return g.generation.Load() > generation })
	if got, status := sent(t, client, "http://p.example/"); status != http.StatusOK {
		t.Errorf("in the grace: %d %s", status, got)
	}
	eventually(t, "the end of the grace", func() bool {
		_, status := sent(t, client, "http://p.example/")
		return status == http.StatusServiceUnavailable
	})
}
