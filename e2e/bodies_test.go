package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// spools lists the temporary files of request bodies that the process has open; false if it lets nobody see them.
func spools(t *testing.T, p *harness.Postern) (paths []string, ok bool) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.Pid())
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, false
	}
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.Contains(to, "postern-body-") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, true
}

// TestP20LongBodies: a body beyond memory is sent again whole, from a file that has no name and no plain text, and that
// is gone with the call. Where there is no room for one, or it is longer than the buffer, the call goes on and says so.
func TestP20LongBodies(t *testing.T) {
	const sentence = "the card is 4242 4242 4242 4242; "
	body := strings.Repeat(sentence, 3<<20/len(sentence))
	for _, c := range []struct {
		name, buffer, folder string
		attempts             string
		why                  string
	}{
		{"room", "8MiB", "", "2", ""},
		{"no folder", "8MiB", "/nowhere", "1", "body"},
		{"longer than the buffer", "2MiB", "", "1", "body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			if c.folder == "" {
				c.folder = folder
			}
			provider := upstream(t, faults.Config{})
			policy := strings.NewReplacer("UPSTREAM", provider.URL(), "retry {", "retry {\n    buffer = \""+c.buffer+"\"").Replace(plainPolicy)
			p := harness.Start(t, harness.Files{"provider.hcl": policy}, harness.WithEnv("PLAIN_KEY", "plain-key"), harness.WithEnv("TMPDIR", c.folder))
			provider.Script(faults.Answer(503, "down").After(300*time.Millisecond), faults.Answer(200, "done"))
			seen := make(chan []string, 1)
			go func() {
				provider.WaitSends(1, 10*time.Second)
				time.Sleep(150 * time.Millisecond) // the whole body is there, and the answer is not
				var list []string
				paths, _ := spools(t, p)
				for _, path := range paths {
					disk, err := os.ReadFile(path)
					list = append(list, fmt.Sprint(len(disk) > 1<<20, bytes.Contains(disk, []byte(sentence[:12])), err))
				}
				seen <- list
			}()
			a := call(t, p.Client(false), http.MethodPut, "https://api.plain.test/x", body)
			if a.Header.Get("Postern-Attempts") != c.attempts || a.Header.Get("Postern-Unretried") != c.why || (a.Status == 200) != (c.attempts == "2") {
				t.Errorf("%d %s %v", a.Status, a.Body, a.Header)
			}
			for _, r := range provider.Requests() {
				if string(r.Body) != body {
					t.Errorf("%d bytes arrived of %d", len(r.Body), len(body))
				}
			}
			list := <-seen
			if _, ok := spools(t, p); ok && c.why == "" && fmt.Sprint(list) != "[true false <nil>]" {
				t.Errorf("on the disk during the call (long, with plain text): %v", list)
			}
			noted := func() bool { return strings.Contains(p.Stderr(), "retry.not_again=the request body") }
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				left, _ := spools(t, p)
				if len(left) == 0 && noted() == (c.why != "") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("after the call %d files are open; noted in the log: %v", len(left), noted())
				}
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("in the folder: %v %v", left, err)
			}
		})
	}
}
