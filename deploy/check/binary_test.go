package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the postern under test: POSTERN_BIN, or bin/postern.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("POSTERN_BIN")
	if path == "" {
		path = "../../bin/postern"
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("there is no postern to test: make build, or set POSTERN_BIN (%v)", err)
	}
	return path
}

// validFolder runs `postern validate`, as somebody who has no secret.
func validFolder(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), "validate", dir)
	cmd.Env = []string{}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", dir, err, out)
	}
}

// TestPolicies: every policy that is handed out is valid, and as `postern fmt`
// would write it.
func TestPolicies(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".hcl" && !strings.Contains(name, "helm/") {
			seen[filepath.Dir(name)] = true
		}
		return err
	})
	if err != nil || len(seen) < 5 {
		t.Fatal(err, seen)
	}
	for dir := range seen {
		validFolder(t, dir)
		if out, err := exec.CommandContext(t.Context(), binary(t), "fmt", "--check", dir).CombinedOutput(); err != nil {
			t.Errorf("postern fmt --check %s: %v\n%s", dir, err, out)
		}
	}
}
