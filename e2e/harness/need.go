package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// Root is the folder of this module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// Binary is the postern under test: POSTERN_BIN, or bin/postern of the repository. The test is skipped without it.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("POSTERN_BIN")
	if path == "" {
		path = filepath.Join(Root(), "..", "bin", "postern")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		Missing(t, "no postern binary at "+abs+" (build it, or set POSTERN_BIN)")
	}
	return abs
}

// NeedCommand skips the test when name is not on the PATH, and returns where it is.
func NeedCommand(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" is not installed")
	}
	return path
}

// NeedNode skips the test without Node or without these modules in node/, and returns node/.
func NeedNode(t testing.TB, modules ...string) string {
	t.Helper()
	NeedCommand(t, "node")
	dir := filepath.Join(Root(), "node")
	for _, m := range append(modules, "stripe") {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", m)); err != nil {
			Missing(t, m+" of npm is not installed")
		}
	}
	return dir
}

// Python is Debian's interpreter, which sees Debian's packages. The test is skipped when it cannot import module.
func Python(t testing.TB, module string) string {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import "+module).Run(); err != nil {
		Missing(t, "Debian's Python cannot import "+module)
	}
	return python
}

// Missing skips, or fails where E2E_STRICT says that everything must be there.
func Missing(t testing.TB, what string) {
	t.Helper()
	const advice = "; run e2e/setup.sh"
	if os.Getenv("E2E_STRICT") != "" {
		t.Fatal("MISSING: " + what + advice)
	}
	t.Skip("SKIPPED, NOT TESTED: " + what + advice)
}

// Soak is by how much the repeated rounds are multiplied: POSTERN_SOAK, or 1.
func Soak() int {
	n, err := strconv.Atoi(os.Getenv("POSTERN_SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
