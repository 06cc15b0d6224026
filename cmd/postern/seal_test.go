package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/telemetry"
)

// idOf is the id of a key.
func idOf(t *testing.T, text string) string {
	t.Helper()
	k, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

// TestSealKeyBesideSQLite: without a seal block a key is made at the first
// start, in a private file beside the database, named, and used ever after.
func TestSealKeyBesideSQLite(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "postern.hcl"), quiet)
	file := filepath.Join(dir, "postern.db.seal")
	var key string
	for start, want := range []string{", made now: keep a copy of it, apart from backups of the store", ""} {
		var log strings.Builder
		g, err := openGate(t.Context(), dir, telemetry.Options{Output: &log}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		g.announce(&said)
		ring, err := g.vault.ring()
		g.close()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if start == 0 {
			key = string(text)
		}
		if info, _ := os.Stat(file); info.Mode() != 0o600 || string(text) != key {
			t.Errorf("start %d: mode %v, the same key: %v", start, info.Mode(), string(text) == key)
		}
		id := idOf(t, strings.TrimSpace(key))
		if got := ring.IDs(); len(got) != 1 || got[0] != id {
			t.Errorf("start %d: %v, want %s", start, got, id)
		}
		if line := fmt.Sprintf("  seal      key %s in %s%s\n", id, file, want); !strings.Contains(said.String(), line) {
			t.Errorf("start %d says\n%s", start, &said)
		}
		if made := strings.Contains(log.String(), "made a seal key"); made != (start == 0) {
			t.Errorf("start %d logs %s", start, &log)
		}
		for _, out := range []string{said.String(), log.String()} {
			if strings.Contains(out, strings.TrimPrefix(strings.TrimSpace(key), "postern-seal-1:")) {
				t.Errorf("the key is shown: %s", out)
			}
		}
	}
}

// TestSealKeyIsRefused: a key that others can read, or that is none, stops the
// start, and stays as it is.
func TestSealKeyIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		policy, text string
		mode         os.FileMode
		want         string
	}{
		"open to others": {"", seal.Generate() + "\n", 0o644, "is open to other users (mode 0644); run: chmod 600 "},
		"damaged":        {"", "postern-seal-1:AAAA\n", 0o600, "it is no whole seal key"},
		"not a key":      {"seal { keys = [file(\"postern.db.seal\")] }\n", "sk_live_1\n", 0o600, "seal.keys cannot be used: [secret file:"},
		"not there":      {"seal { keys = [file(\"none\")] }\n", "", 0o600, "seal.keys cannot be used: [secret file:"},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "postern.hcl"), c.policy+quiet)
		file := filepath.Join(dir, "postern.db.seal")
		if err := errors.Join(os.WriteFile(file, []byte(c.text), c.mode), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		g, err := openGate(t.Context(), dir, telemetry.Options{Output: io.Discard}, io.Discard)
		if err == nil {
			g.close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sk_live_1") {
			t.Errorf("%s: %v", name, err)
		}
		if text, _ := os.ReadFile(file); string(text) != c.text {
			t.Errorf("%s: the file was written over", name)
		}
	}
}

// TestSealKeysByReload: a new first key seals at once for whoever holds the
// ring, the old one still opens; a reload without a usable key is refused.
func TestSealKeysByReload(t *testing.T) {
	first, second := seal.Generate(), seal.Generate()
	policy := func(keys string) string {
		return "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\nseal { keys = [" + keys + "] }\n"
	}
	g, dir := startGate(t, map[string]string{"postern.hcl": "seal { keys = [file(\"first\")] }\n", "first": first, "second": second})
	ring, err := g.vault.ring()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postern.db.seal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made although the policy names one: %v", err)
	}
	sealed := ring.Seal([]byte("token"), "row")

	put(t, filepath.Join(dir, "postern.hcl"), policy(`file("second"), file("first")`))
	if err := g.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := seal.KeyID(ring.Seal(nil)); got != idOf(t, second) {
		t.Errorf("sealed under %s, want %s", got, idOf(t, second))
	}
	if got, err := ring.Open(sealed, "row"); string(got) != "token" || err != nil {
		t.Errorf("opened %q, %v", got, err)
	}
	var said strings.Builder
	g.announce(&said)
	if want := "  seal      key " + idOf(t, second) + " of seal.keys; " + idOf(t, first) + " opens what was sealed before\n"; !strings.Contains(said.String(), want) {
		t.Errorf("it says\n%s", &said)
	}

	put(t, filepath.Join(dir, "second"), "damaged")
	if err := g.reload(context.Background()); err == nil || !strings.Contains(err.Error(), "it is no seal key") {
		t.Errorf("reload with a damaged key: %v", err)
	}
	if got := ring.IDs(); len(got) != 2 || got[0] != idOf(t, second) {
		t.Errorf("a refused reload left %v", got)
	}
}

// TestPostgresDemandsSeal: without a seal block there is no key on PostgreSQL,
// and who needs one is told what to do.
func TestPostgresDemandsSeal(t *testing.T) {
	t.Setenv("DATABASE_URL", peers.Database(t))
	g, dir := startGate(t, map[string]string{"postern.hcl": "store { url = env(\"DATABASE_URL\") }\n"})
	if ring, err := g.vault.ring(); ring != nil || !errors.Is(err, errUnsealed) || !strings.Contains(err.Error(), "`postern secrets keygen`") {
		t.Errorf("%v, %v", ring, err)
	}
	kept := filepath.Join(dir, "kept.hcl")
	put(t, kept, "provider \"p\" {\nhosts = [\"p.example\"]\nroute \"/x\" {\nidempotency {\nheader = \"Idempotency-Key\"\nkeep = \"1h\"\n}\n}\n}\n")
	if err := g.reload(context.Background()); !errors.Is(err, errUnsealed) {
		t.Errorf("answers are kept without a key: %v", err)
	}
	put(t, kept, "provider \"p\" {\nhosts = [\"p.example\"]\nidempotency { header = \"Idempotency-Key\" }\n}\n")
	if err := g.reload(context.Background()); err != nil {
		t.Errorf("a policy that keeps nothing: %v", err)
	}
	put(t, filepath.Join(dir, "key"), seal.Generate())
	put(t, filepath.Join(dir, "seal.hcl"), "seal { keys = file(\"key\") }\n")
	if err := g.reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if ring, err := g.vault.ring(); ring == nil || err != nil {
		t.Errorf("after a reload with a key: %v", err)
	}
}
