package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/postern-proxy/postern/e2e/harness"
)

// app is a program that creates and reads a customer at the origin it is given, api.stripe.com by default, and prints
// a report. None of them knows of Postern.
type app struct {
	name string
	// command returns the program's words, to be followed by EMAIL [ORIGIN [KEY]].
	command func(t testing.TB) []string
}

// report is what an app prints.
type report struct {
	Created, Read struct {
		Status  int
		ID      string
		Email   string
		Proto   string
		Postern map[string]string // Postern's response headers, names in lower case without the prefix
	}
}

var apps = []app{
	{"curl http1.1", curlApp("--http1.1")},
	{"curl http2", curlApp("--http2")},
	{"go net http", goApp},
	{"node stripe", nodeApp("stripe.mjs")},
	{"node octokit rest", nodeApp("octokit.mjs")},
	{"node fetch", nodeApp("fetch.mjs")},
	{"node undici fetch", nodeApp("fetch.mjs", "FETCH_FROM=undici")},
	{"node axios", nodeApp("axios.mjs")},
	{"node axios 1.16", nodeApp("axios.mjs", "AXIOS_FROM=axios116")},
	{"python requests", pythonApp("requests_client.py", "requests")},
	{"python urllib", pythonApp("urllib_client.py", "urllib.request")},
}

func curlApp(http string) func(testing.TB) []string {
	return func(t testing.TB) []string {
		harness.NeedCommand(t, "curl")
		return []string{"env", "HTTP=" + http, "sh", filepath.Join(harness.Root(), "clients", "curl.sh")}
	}
}

func nodeApp(script string, env ...string) func(testing.TB) []string {
	return func(t testing.TB) []string {
		dir := harness.NeedNode(t)
		return append(append([]string{"env"}, env...), "node", filepath.Join(dir, script))
	}
}

func pythonApp(script, module string) func(testing.TB) []string {
	return func(t testing.TB) []string {
		return []string{harness.Python(t, module), filepath.Join(harness.Root(), "clients", script)}
	}
}

func goApp(t testing.TB) []string {
	path, err := goClient()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// goClient builds the Go program into the build cache, once.
var goClient = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "goclient").Output()
	return string(out[:max(0, len(out)-1)]), err
})

// parseReport reads what an app printed.
func parseReport(t testing.TB, r harness.Result) report {
	t.Helper()
	var rep report
	if r.Code != 0 {
		t.Fatalf("the application failed: %v", r)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil {
		t.Fatalf("the application's report: %v: %v", err, r)
	}
	return rep
}
