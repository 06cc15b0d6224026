package inbound_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// rotated is a webhook of a kind whose secrets have been replaced.
func rotated(kind, body string, at time.Time, overlap string) string {
	return fmt.Sprintf(`webhook "hook" {
  path = "/hook"
  verify %q {
    %s
    rotated = %q
    overlap = %q
  }
  deliver { to = "http://127.0.0.1:1" }
}`, kind, body, at.UTC().Format(time.RFC3339), overlap)
}

func mac(key, body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// TestOldKeyAfterItsWindow: a secret after the first is accepted until its overlap
// is over, counted by its fingerprint, and then refused, with an alarm. It is the
// same for every scheme that has a list.
func TestOldKeyAfterItsWindow(t *testing.T) {
	const newKey, oldKey = "the new secret", "the old secret"
	print := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:4]) }
	tokenBy := func(key string) http.Header { return http.Header{"X-Token": {key}} }
	hubBy := func(key string) http.Header {
		return http.Header{"X-Hub-Signature-256": {"sha256=" + mac(key, "{}")}}
	}
	basicBy := func(key string) http.Header {
		r, _ := http.NewRequest("POST", "http://x", nil)
		r.SetBasicAuth("me", key)
		return r.Header
	}
	for _, c := range []struct {
		kind, block string
		sign        func(string) http.Header
	}{
		{"token", "header = \"X-Token\"\nsecrets = [env(\"NEW\"), env(\"OLD\")]", tokenBy},
		{"github", `secrets = [env("NEW"), env("OLD")]`, hubBy},
		{"basic", "username = \"me\"\npassword = [env(\"NEW\"), env(\"OLD\")]", basicBy},
	} {
		for _, when := range []struct {
			name      string
			at        time.Time
			oldStatus int
			late      bool
		}{
			{"before it is rotated", time.Now().Add(time.Hour), 200, false},
			{"within the overlap", time.Now().Add(-time.Hour), 200, true},
			{"after the overlap", time.Now().Add(-25 * time.Hour), 401, true},
		} {
			t.Run(c.kind+" "+when.name, func(t *testing.T) {
				var mu sync.Mutex
				var told []inbound.OldKey
				b := serve(t, mustLoad(t, rotated(c.kind, c.block, when.at, "24h"), "NEW="+newKey, "OLD="+oldKey), func(o *inbound.Options) {
					o.Observer.OldKey = func(k *inbound.OldKey) { mu.Lock(); told = append(told, *k); mu.Unlock() }
				})
				if got := b.post("/hook", "{}", c.sign(newKey)); got.status != 200 {
					t.Fatalf("the new one: %d", got.status)
				}
				if p := b.last(1).Proof; p.Late || p.Scheme != c.kind {
					t.Errorf("the new one: %+v", p)
				}
				for range 2 {
					if got := b.post("/hook", "{}", c.sign(oldKey)); got.status != when.oldStatus {
						t.Fatalf("the old one: %d", got.status)
					}
				}
				if got := b.post("/hook", "{}", c.sign("another secret")); got.status != 401 {
					t.Errorf("another one: %d", got.status)
				}
				r := b.last(2)
				if r.Proof.Late != when.late {
					t.Errorf("%+v", r.Proof)
				}
				if !when.late {
					if len(told) != 0 || len(b.troubles) != 0 {
						t.Errorf("%+v %q", told, b.troubles)
					}
					return
				}
				want := inbound.OldKey{Webhook: "hook", Key: print(oldKey), Refused: when.oldStatus == 401}
				if len(told) != 2 || told[0] != want {
					t.Errorf("%+v instead of %+v", told, want)
				}
				alarms := 0
				for _, s := range b.troubles {
					if strings.Contains(s, `webhook "hook"`) && strings.Contains(s, print(oldKey)) && !strings.Contains(s, oldKey) {
						alarms++
					}
				}
				if (alarms == 1) != want.Refused || want.Refused && !strings.Contains(r.Why, print(oldKey)) {
					t.Errorf("%d alarms, %q: %q", alarms, r.Why, b.troubles)
				}
			})
		}
	}
}

func TestRotatedDiagnostics(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ src, want string }{
		{rotated("github", `secrets = [env("NEW")]`, now, "24h"), "the list of them with the new one first"},
		{rotated("none", ``, now, "24h"), "the list of them"},
		{strings.Replace(rotated("github", `secrets = [env("NEW"), env("OLD")]`, now, "24h"), now.UTC().Format(time.RFC3339), "yesterday", 1), "is not a time"},
		{rotated("github", `secrets = [env("NEW"), env("OLD")]`, now, "long"), "is not a duration"},
	} {
		if _, diags := load(c.src); len(diags) == 0 || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s: %v", c.src, diags)
		}
	}
}
