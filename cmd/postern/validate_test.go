package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

const wrongPolicies = "../../config/testdata/invalid"

// TestWrongPolicies: each file is refused with the problems that the comments
// on its faulty lines name, each under its line, and with no other.
func TestWrongPolicies(t *testing.T) {
	files, err := filepath.Glob(wrongPolicies + "/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	mistakes := 0
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			want := expected(t, name)
			mistakes += len(want)
			l, diags, err := check(name)
			if err != nil {
				t.Fatal(err)
			}
			var shown bytes.Buffer
			report(&shown, diags, l.Files)
			for _, d := range diags {
				if d.Severity != hcl.DiagError {
					continue
				}
				if d.Subject == nil {
					t.Errorf("no place: %s: %s", d.Summary, d.Detail)
					continue
				}
				line := d.Subject.Start.Line
				if text, ok := want[line]; !ok || !strings.Contains(strings.ToLower(d.Summary+": "+d.Detail), strings.ToLower(text)) {
					t.Errorf("%s:%d: unexpected: %s: %s", name, line, d.Summary, d.Detail)
					continue
				}
				delete(want, line)
				if at := fmt.Sprintf("%s line %d", name, line); !strings.Contains(shown.String(), at) {
					t.Errorf("the report does not point to %s:\n%s", at, shown.String())
				}
			}
			for line, text := range want {
				t.Errorf("%s:%d: missing: %s", name, line, text)
			}
		})
	}
	if len(files) < 30 || mistakes < 100 {
		t.Errorf("%d files show %d mistakes, want 30 and 100 or more", len(files), mistakes)
	}
}

// expected reads the comments "# error: TEXT" by their lines.
func expected(t *testing.T, name string) map[int]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{}
	for i, line := range strings.Split(string(text), "\n") {
		if _, problem, ok := strings.Cut(line, "# error: "); ok {
			want[i+1] = strings.TrimSpace(problem)
		}
	}
	return want
}
