package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/telemetry"
)

const quiet = "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n"

// brief opens a gate, has do done with it, and closes it. It returns what was
// said and logged.
func brief(t *testing.T, dir string, do func(*gate)) (said, logged string, err error) {
	t.Helper()
	var log, out strings.Builder
	g, err := openGate(t.Context(), dir, telemetry.Options{Output: &log}, io.Discard)
	if err != nil {
		return "", log.String(), err
	}
	g.announce(&out)
	if do != nil {
		do(g)
	}
	g.close()
	return out.String(), log.String(), nil
}

// grant stores a connection of some account, sealed.
func grant(t *testing.T, g *gate, account string) connection.Row {
	t.Helper()
	ring, err := g.vault.ring()
	if err != nil {
		t.Fatal(err)
	}
	r := connection.Row{Key: connection.Key{Provider: "p", Account: account, Credential: "oauth2"}, State: connection.Active, Access: ring.Seal([]byte("token"), account)}
	if account == "both" {
		r.Refresh = ring.Seal([]byte("refresh"), account)
	}
	if r, err = g.db.Connections().Save(t.Context(), r, connection.Move{To: r.State}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestF44SealKeyIsMissing: a database that is restored without its key does not
// get a new one in silence, and with another key it is said which one is missing.
func TestF44SealKeyIsMissing(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "postern.hcl"), quiet)
	file := filepath.Join(dir, "postern.db.seal")
	if _, _, err := brief(t, dir, func(g *gate) {
		grant(t, g, "one")
		grant(t, g, "both")
	}); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := idOf(t, strings.TrimSpace(string(key)))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, _, err = brief(t, dir, nil)
	want := fmt.Sprintf("2 connections are sealed under the key %s, which is not in %s: put it back, it is in no backup of the store; if it is lost, put a new one there by `(umask 077; postern secrets keygen > %s)`", id, file, file)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without the key: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}

	put(t, file, seal.Generate()+"\n")
	said, logged, err := brief(t, dir, nil)
	want = fmt.Sprintf("the key %s is missing, and 2 connections are sealed under it: put it back behind the first, or connect those accounts again", id)
	if err != nil || !strings.Contains(said, "  seal      "+want+"\n") || !strings.Contains(logged, want) {
		t.Errorf("with another key: %v\n%s\n%s", err, said, logged)
	}

	put(t, file, string(key))
	put(t, filepath.Join(dir, "new"), seal.Generate())
	put(t, filepath.Join(dir, "postern.hcl"), quiet+"seal { keys = [file(\"new\")] }\n")
	if said, _, err = brief(t, dir, nil); err != nil || !strings.Contains(said, fmt.Sprintf("put it back behind the first, as file(%q), or", file)) {
		t.Errorf("with a key of the policy instead: %v\n%s", err, said)
	}
	put(t, filepath.Join(dir, "postern.hcl"), quiet+"seal { keys = [file(\"new\"), file(\"postern.db.seal\")] }\n")
	if said, logged, err = brief(t, dir, nil); err != nil || strings.Contains(said+logged, "missing") {
		t.Errorf("with both: %v\n%s\n%s", err, said, logged)
	}
}

// TestSealKeyInUseStays: a reload that takes away a key that is needed is
// refused; when nothing is sealed under it any more, it goes.
func TestSealKeyInUseStays(t *testing.T) {
	first, second, third := seal.Generate(), seal.Generate(), seal.Generate()
	g, dir := startGate(t, map[string]string{"postern.hcl": "seal { keys = [file(\"first\")] }\n", "first": first, "second": second, "third": third})
	policy := func(names ...string) {
		put(t, filepath.Join(dir, "postern.hcl"), quiet+"seal { keys = [file(\""+strings.Join(names, "\"), file(\"")+"\")] }\n")
	}
	r := grant(t, g, "one")
	policy("third", "second")
	want := fmt.Sprintf("the seal key %s is not there any more, and 1 connection is sealed under it: put it back behind the first", idOf(t, first))
	if err := g.reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("reload: %v", err)
	}
	ring, err := g.vault.ring()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(r.Access, "one"); string(got) != "token" || err != nil {
		t.Errorf("after a refused reload: %q, %v", got, err)
	}

	policy("second", "third", "first")
	if err := g.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Access, err = ring.Reseal(r.Access, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.db.Connections().Save(t.Context(), r, connection.Move{To: r.State}); err != nil {
		t.Fatal(err)
	}
	policy("second")
	if err := g.reload(t.Context()); err != nil {
		t.Errorf("without keys that nothing needs: %v", err)
	}
	if ids := ring.IDs(); len(ids) != 1 || ids[0] != idOf(t, second) {
		t.Errorf("in force are %v", ids)
	}
}

// TestF44SealKeyOfCalls: a key that calls need, which are to be sent, is not
// replaced in silence.
func TestF44SealKeyOfCalls(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "postern.hcl"), quiet)
	file := filepath.Join(dir, "postern.db.seal")
	if _, _, err := brief(t, dir, func(g *gate) {
		ring, err := g.vault.ring()
		if err != nil {
			t.Fatal(err)
		}
		c := &outbox.Call{ID: "c1", Kind: outbox.DeadLetter, Provider: "p", Method: "POST", Target: "p", State: outbox.Failed, Request: ring.Seal([]byte("{}"), "outbox")}
		if _, err := g.db.Outbox().Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("1 call is sealed under the key %s", idOf(t, strings.TrimSpace(string(key))))
	if _, _, err = brief(t, dir, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without the key: %v, want %q", err, want)
	}
}

// TestKeepsCalls: a policy that stores calls needs a key to seal them with.
func TestKeepsCalls(t *testing.T) {
	for block, want := range map[string]bool{"async {}": true, "deadletter {}": true, "retry {}": false} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "p.hcl"), "provider \"p\" {\n  hosts = [\"p.example\"]\n  route \"POST /x\" {\n    "+block+"\n  }\n}\n")
		l, diags, err := check(dir)
		if err != nil || diags.HasErrors() {
			t.Fatal(err, diags)
		}
		if got := keepsCalls(l.outbound); got != want {
			t.Errorf("%s: %v", block, got)
		}
	}
}
