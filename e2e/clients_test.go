package e2e

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// stripePolicy is what README promises to be a whole working policy, plus the address of the peer and a version.
const stripePolicy = `
provider "stripe" {
  catalog  = "stripe"
  upstream = "UPSTREAM"

  credential "bearer" {
    token = env("STRIPE_KEY")
  }

  version {
    pin = "` + stripeVersion + `"
  }

  retry {
    attempts = 4
    backoff {
      first = "10ms"
      max   = "50ms"
    }
  }
}
`

const stripeVersion = "2026-10-28.endive"

// stripeKey is a fresh credential in the one form that stripe-mock accepts.
func stripeKey() string { return "sk_test_" + rand.Text() }

// stripePostern starts Postern with stripePolicy before provider.
func stripePostern(t *testing.T, provider *faults.Server, ca *faults.CA, key string) *harness.Postern {
	t.Helper()
	opts := []harness.Option{harness.WithEnv("STRIPE_KEY", key)}
	if ca != nil {
		opts = append(opts, harness.Trusting(ca.File))
	}
	return harness.Start(t, harness.Files{"stripe.hcl": strings.ReplaceAll(stripePolicy, "UPSTREAM", provider.URL())}, opts...)
}

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// TestClients is the main road: unchanged programs in four languages call Stripe with a credential they never saw.
func TestClients(t *testing.T) {
	harness.Binary(t)
	ca := authority(t)
	cfg := stripeBackend(t)
	cfg.CA = ca
	provider := upstream(t, cfg)
	key := stripeKey()
	p := stripePostern(t, provider, ca, key)

	t.Run("environment", func(t *testing.T) {
		r := p.Exec("env")
		if r.Code != 0 || !strings.Contains(r.Stdout, "HTTPS_PROXY=http://"+p.Proxy) {
			t.Errorf("the child's environment: %v", r)
		}
		if strings.Contains(r.Stdout+r.Stderr, key) || strings.Contains(r.Stdout, "STRIPE_KEY") {
			t.Error("the child's environment holds the key")
		}
		for name, value := range p.Env() {
			if strings.Contains(value, key) {
				t.Errorf("postern env: %s holds the key", name)
			}
		}
		holdsNot(t, filepath.Join(p.Dir, "trust"), key)
	})
	for _, a := range apps {
		t.Run(a.name, func(t *testing.T) {
			command := a.command(t)
			provider.Forget()
			rep := parseReport(t, p.Exec(append(command, "jenny@example.com")...))
			checkReport(t, rep)
			checkSent(t, provider.Requests(), key)
		})
	}
}

// checkReport is what the application must have seen.
func checkReport(t *testing.T, rep report) {
	t.Helper()
	if rep.Created.Email != "jenny@example.com" || rep.Created.ID == "" || rep.Read.ID != rep.Created.ID {
		t.Errorf("customers: %+v", rep)
	}
	for _, c := range []struct {
		status  int
		postern map[string]string
	}{{rep.Created.Status, rep.Created.Postern}, {rep.Read.Status, rep.Read.Postern}} {
		got := c.postern
		if c.status != 200 || got["attempts"] != "1" || got["source"] != "provider" || got["outcome"] != "ok" || !uuidV7.MatchString(got["id"]) {
			t.Errorf("status %d, Postern's headers %v", c.status, got)
		}
		if v, ok := got["executed"]; ok {
			t.Errorf("Postern-Executed %q on the provider's own answer", v)
		}
	}
}

// checkSent is what the provider must have seen: one create, one read, credentialed, versioned, the create with one key.
func checkSent(t *testing.T, sent []faults.Request, key string) {
	t.Helper()
	if len(sent) != 2 || sent[0].Method != http.MethodPost || sent[1].Method != http.MethodGet {
		t.Fatalf("sends: %+v", sent)
	}
	for _, r := range sent {
		if got := r.Header.Values("Authorization"); len(got) != 1 || got[0] != "Bearer "+key {
			t.Errorf("%s: %d Authorization headers, right: %v", r.Method, len(got), len(got) > 0 && got[0] == "Bearer "+key)
		}
		if got := r.Header.Values("Stripe-Version"); len(got) != 1 || got[0] != stripeVersion {
			t.Errorf("%s: Stripe-Version %q", r.Method, got)
		}
		if r.Host != "api.stripe.com" {
			t.Errorf("%s: Host %q", r.Method, r.Host)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "Postern-") || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Forwarded") || name == "Via" {
				t.Errorf("%s: header %s reached the provider", r.Method, name)
			}
		}
	}
	if got := sent[0].Header.Values("Idempotency-Key"); len(got) != 1 || got[0] == "" {
		t.Errorf("POST: Idempotency-Key %q", got)
	}
	if got := sent[1].Header.Values("Idempotency-Key"); len(got) != 0 {
		t.Errorf("GET: Idempotency-Key %q", got)
	}
}

// TestGitLsRemote shows the one client that trusts by its own variable only.
func TestGitLsRemote(t *testing.T) {
	harness.Binary(t)
	harness.NeedCommand(t, "git")
	const commit = "7638417db6d59f3c431d3e1f261cc637155684cd"
	ca := authority(t)
	provider := upstream(t, faults.Config{CA: ca, Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/octo/hello.git/info/refs" {
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte(commit + "\trefs/heads/main\n"))
			return
		}
		w.Write([]byte("ref: refs/heads/main\n"))
	})})
	token := rand.Text()
	p := harness.Start(t, harness.Files{"git.hcl": strings.ReplaceAll(`
provider "git" {
  hosts    = ["git.example.com"]
  upstream = "UPSTREAM"
  credential "basic" {
    username = "x-access-token"
    password = env("GIT_TOKEN")
  }
}
`, "UPSTREAM", provider.URL())}, harness.Trusting(ca.File), harness.WithEnv("GIT_TOKEN", token))
	r := p.Exec("git", "ls-remote", "https://git.example.com/octo/hello.git")
	if r.Code != 0 || !strings.Contains(r.Stdout, commit) {
		t.Fatalf("git ls-remote: %v", r)
	}
	for _, s := range provider.Requests() {
		req := http.Request{Header: s.Header}
		if user, pass, ok := req.BasicAuth(); !ok || user != "x-access-token" || pass != token {
			t.Errorf("%s: not credentialed", s.Target)
		}
	}
}

// holdsNot fails when a file below dir contains word.
func holdsNot(t *testing.T, dir, word string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), word) {
			t.Errorf("%s holds the key", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
