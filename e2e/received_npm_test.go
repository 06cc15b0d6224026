package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// signedPolicy delivers in all the ways that there are.
const signedPolicy = `
provider "shop" {
  hosts    = ["api.shop.test"]
  upstream = "PROVIDER"
}
webhook "plain" {
  path = "/plain"
  verify "none" {}
  deliver {
    to   = "RECEIVER/plain"
    sign = SECRETS
    retry {
      backoff { first = "50ms" }
    }
  }
}
webhook "mapped" {
  path = "/mapped"
  verify "none" {}
  deliver {
    to   = "RECEIVER/mapped"
    body = jsonencode({ name = body.name, n = body.n })
    sign = SECRETS
  }
}
webhook "split" {
  path = "/split"
  verify "none" {}
  event {
    split = body.events
    id    = item.id
  }
  deliver {
    to   = "RECEIVER/split"
    sign = SECRETS
  }
}
webhook "latest" {
  path     = "/latest"
  provider = "shop"
  verify "none" {}
  event { key = body.id }
  latest {
    get      = "/v1/things/${event.key}"
    debounce = "0s"
  }
  deliver {
    to   = "RECEIVER/latest"
    sign = SECRETS
  }
}
webhook "state" {
  path     = "/state"
  provider = "shop"
  verify "none" {}
  event { key = body.id }
  latest {
    get      = "/v1/things/${event.key}"
    as       = "body"
    debounce = "0s"
  }
  deliver {
    to   = "RECEIVER/state"
    sign = SECRETS
  }
}
webhook "pulled" {
  path = "/pulled"
  verify "none" {}
  deliver "worker" {
    pull = true
    sign = SECRETS
  }
}
`

// message is what the application got, and the secret to verify it by: what node/received.mjs reads.
type message struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
}

func messageOf(secret string, h http.Header, body []byte) message {
	m := message{Secret: secret, Headers: map[string]string{}, Body: body}
	for name := range h {
		m.Headers[name] = h.Get(name)
	}
	return m
}

// verdicts asks the libraries about all of them at once.
func verdicts(t *testing.T, all []message) (out []struct {
	OK, Torn bool
	Error    string
},
) {
	t.Helper()
	var in bytes.Buffer
	for _, m := range all {
		if err := json.NewEncoder(&in).Encode(m); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "received.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = harness.NeedNode(t, "standardwebhooks", "svix"), &in, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		out = append(out, struct {
			OK, Torn bool
			Error    string
		}{})
		if err := d.Decode(&out[len(out)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != len(all) {
		t.Fatalf("%d verdicts on %d messages", len(out), len(all))
	}
	return out
}

// damaged are messages that differ from a good one by a byte.
func damaged(m message) map[string]message {
	out := map[string]message{}
	flip := func(s string, at int) string {
		b := []byte(s)
		b[at] ^= 1
		return string(b)
	}
	for _, at := range []int{0, len(m.Body) / 2, len(m.Body) - 1} {
		other := m
		other.Body = []byte(flip(string(m.Body), at))
		out[fmt.Sprintf("byte %d of the body", at)] = other
	}
	longer := m
	longer.Body = append(slices.Clone(m.Body), '\n')
	out["a newline more"] = longer
	for name, at := range map[string]int{"Webhook-Id": 5, "Webhook-Timestamp": 9} {
		other := m
		other.Headers = map[string]string{}
		for k, v := range m.Headers {
			other.Headers[k] = v
		}
		other.Headers[name] = flip(m.Headers[name], at)
		out[name] = other
	}
	return out
}

// TestDeliveriesVerifyByStandardWebhooks: what the application gets, pushed or pulled, mapped, an item of a list or the
// latest state, on the first attempt or the second, the packages of npm accept with either key of a rotation, and with no
// byte changed; and with the new key alone when the old one is gone.
func TestDeliveriesVerifyByStandardWebhooks(t *testing.T) {
	harness.NeedNode(t, "standardwebhooks", "svix")
	key := func() string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text() + rand.Text())[:32])
	}
	fresh, old, other := key(), key(), key()
	provider := changing(t, `{"id": "t1",  "name": "Ünïcödé ✓", "big": 12345678901234567890.50, "version": %d}`)
	var first atomic.Bool
	app := application(t, func(d receiver.Delivery) int {
		if d.Path == "/plain" && first.CompareAndSwap(false, true) {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	policy := func(secrets string) string {
		return strings.NewReplacer("RECEIVER", app.URL, "PROVIDER", provider, "SECRETS", secrets).Replace(signedPolicy)
	}
	p := harness.Start(t, harness.Files{"hooks.hcl": policy(`[env("FRESH"), env("OLD")]`)}, harness.WithEnv("FRESH", fresh), harness.WithEnv("OLD", old))
	sendAll := func(round string) {
		for _, hook := range []string{"plain", "mapped", "latest", "state", "pulled"} {
			body := fmt.Sprintf("{\n \"id\": \"t1\", \"round\": %q, \"name\": \"a <b> & ✓ e\u0301\", \"n\": 1.0 }\n", round)
			mustSend(t, p.Inbound, hook, post{Path: "/" + hook, Body: body}, http.StatusOK)
		}
		mustSend(t, p.Inbound, "split", post{Path: "/split", Body: fmt.Sprintf(`{"events":[{"id":"a%[1]s", "n" : 1},{"id":"b%[1]s","n":2.50}]}`, round)}, http.StatusOK)
	}
	sendAll("one")
	got := waitApplied(t, app, 6) // two are items of one
	all := []message{}
	add := func(secret string) {
		for _, d := range got {
			all = append(all, messageOf(secret, d.Header, d.Body))
		}
		all = append(all, pulledMessage(t, p, secret)...)
	}
	add(fresh)
	count := len(all)
	if count != 8 { // the plain one twice
		t.Fatalf("%d messages", count)
	}
	for _, m := range all[:count] {
		if n := len(strings.Fields(m.Headers["Webhook-Signature"])); n != 2 || m.Headers["Webhook-Id"] == "" {
			t.Errorf("%d signatures of %s", n, m.Headers["Postern-Webhook"])
		}
	}
	seen := map[string]bool{}
	wrong := []message{}
	for _, m := range all[:count] {
		seen[m.Headers["Postern-Webhook"]+" "+m.Headers["Postern-Attempt"]] = true
		m.Secret = old
		all = append(all, m)
		for _, d := range damaged(m) {
			wrong = append(wrong, d)
		}
		m.Secret = other
		wrong = append(wrong, m)
	}
	if len(seen) != 7 {
		t.Errorf("seen are %v", seen)
	}
	p.Write("hooks.hcl", policy(`[env("FRESH")]`))
	if status, err := p.Post("/api/v1/reload", struct{}{}, nil); err != nil || status != http.StatusOK {
		t.Fatalf("reload: %d %v", status, err)
	}
	before := len(app.Deliveries())
	sendAll("two")
	waitApplied(t, app, 12)
	for _, d := range app.Deliveries()[before:] {
		all, wrong = append(all, messageOf(fresh, d.Header, d.Body)), append(wrong, messageOf(old, d.Header, d.Body))
	}
	for i, v := range verdicts(t, append(slices.Clone(all), wrong...)) {
		m := append(slices.Clone(all), wrong...)[i]
		if v.OK != (i < len(all)) || v.Torn {
			t.Errorf("%s, attempt %s: accepted %v: %s", m.Headers["Postern-Webhook"], m.Headers["Postern-Attempt"], v.OK, v.Error)
		}
	}
	t.Logf("%d messages are accepted, %d that differ are refused", len(all), len(wrong))
}

// pulledMessage claims the one event that waits for a worker.
func pulledMessage(t *testing.T, p *harness.Postern, secret string) (all []message) {
	t.Helper()
	var claimed struct {
		Events []struct {
			Lease  string
			Header http.Header
			Body   []byte
		}
	}
	if status, err := p.Post("/api/v1/inbox/claim?webhook=pulled&target=worker&max=5&wait=10s", nil, &claimed); err != nil || status != http.StatusOK {
		t.Fatalf("claim: %d %v", status, err)
	}
	for _, e := range claimed.Events {
		all = append(all, messageOf(secret, e.Header, e.Body))
		if status, err := p.Post("/api/v1/inbox/ack", map[string]string{"lease": e.Lease}, nil); err != nil || status != http.StatusOK {
			t.Errorf("ack: %d %v", status, err)
		}
	}
	return all
}

// changing is a provider that answers everything with a JSON text, in which a number grows.
func changing(t *testing.T, text string) string {
	t.Helper()
	var version atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, text, version.Add(1))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
