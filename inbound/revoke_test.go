package inbound_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// ended is who is told of grants that a provider has ended.
type ended struct {
	mu   sync.Mutex
	told []string
	fail error
}

func (e *ended) Revoked(_ context.Context, provider, account, event string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, fmt.Sprintf("%s %s by %s", provider, account, event))
	return e.fail
}

// set has the next ones fail with err, and returns what was told before.
func (e *ended) set(err error) (told []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	told, e.told, e.fail = e.told, nil, err
	return told
}

const revokeSecret = "a-signing-secret-of-some-length"

const revokeHooks = `
webhook "body" {
  path       = "/body"
  provider   = "shop"
  revoked_by = event.type == "uninstalled" && body.app != null
  verify "github" { secrets = [env("SECRET")] }
  event {
    id      = header["X-GitHub-Delivery"]
    type    = body.type
    account = body.account
  }
  deliver { to = "http://127.0.0.1:1/" }
}
webhook "none" {
  path       = "/none"
  provider   = "shop"
  revoked_by = body.type == "uninstalled"
  verify "none" {}
  deliver { to = "http://127.0.0.1:1/" }
}
webhook "broken" {
  path       = "/broken"
  provider   = "shop"
  revoked_by = regex("x", body.type) == "x"
  verify "github" { secrets = [env("SECRET")] }
  deliver { to = "http://127.0.0.1:1/" }
}
`

// TestRevokedBy: an event that ends a grant is acknowledged only after that was
// marked; if it cannot be, the sender is asked to come again, and a repeat marks
// it again, under one name whatever its unsigned id.
func TestRevokedBy(t *testing.T) {
	e := new(ended)
	b := serve(t, mustLoad(t, revokeHooks, "SECRET="+revokeSecret), func(o *inbound.Options) { o.Revoked = e.Revoked })
	post := func(path, id, body string) int {
		t.Helper()
		mac := hmac.New(sha256.New, []byte(revokeSecret))
		mac.Write([]byte(body))
		return b.post(path, body, set("Content-Type", "application/json", "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", id)).status
	}
	const gone = `{"type":"uninstalled","app":1,"account":"a"}`
	sum := sha256.Sum256([]byte(gone))
	named := "shop a by body sha256:" + hex.EncodeToString(sum[:])
	for _, s := range []struct {
		what, path, id, body string
		fail                 error
		status               int
		told                 []string
	}{
		{"another type", "/body", "1", `{"type":"message","app":1,"account":"a"}`, nil, 200, nil},
		{"half of it", "/body", "2", `{"type":"uninstalled","account":"a"}`, nil, 200, nil},
		{"unsigned", "/none", "3", gone, nil, 200, nil},
		{"cannot be told", "/broken", "4", `{"type":1}`, nil, 200, nil},
		{"not marked", "/body", "5", gone, errors.New("disk is full"), 503, []string{named}},
		{"again", "/body", "5", gone, nil, 200, []string{named}},
		{"and again", "/body", "5", gone, nil, 200, []string{named}},
		{"replayed under another id", "/body", "6", gone, nil, 200, []string{named}},
	} {
		e.set(s.fail)
		if status := post(s.path, s.id, s.body); status != s.status {
			t.Errorf("%s: %d, want %d", s.what, status, s.status)
		}
		if told := e.set(nil); !slices.Equal(told, s.told) {
			t.Errorf("%s: told %q, want %q", s.what, told, s.told)
		}
	}
	if status := b.post("/body", gone, set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum[:]))).status; status != 401 || e.set(nil) != nil {
		t.Errorf("wrongly signed: %d", status)
	}
}
