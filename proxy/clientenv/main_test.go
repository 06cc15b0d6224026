package clientenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the programs that the tests run: a Go client, Command.Exec and Command.Run.
const roleVariable = "CLIENTENV_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	os.Unsetenv(roleVariable)
	args := os.Args[1:]
	switch role {
	case "":
		goleak.VerifyTestMain(m)
	case "get":
		os.Exit(get(args[0]))
	case "exec":
		os.Exit(Command{Args: args, Env: os.Environ()}.Exec())
	case "run":
		c := Command{Args: args, Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
		os.Exit(c.Run(context.Background()))
	}
}

// get is a Go program with nothing but its default client.
func get(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	return 0
}

// inRole is a command that runs this binary in a role, with a bare environment.
func inRole(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(bare(t), roleVariable+"="+role)
	return cmd
}

// bare is an environment with no trace of this machine's proxies and CAs.
func bare(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
}

// tool finds the first of names that is installed, or skips the test and says what is missing.
func tool(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("MISSING TOOL: none of %s is installed, so nothing was tried", strings.Join(names, ", "))
	return ""
}

func writeTemp(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
