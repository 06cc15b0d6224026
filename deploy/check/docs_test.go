package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// TestDocumentedYAML: what docs/kubernetes.md tells people to write is right.
// The word behind the language says what it is.
func TestDocumentedYAML(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml ([^\n]*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, b := range blocks {
		switch name, text := b[1], b[2]; name {
		case "kustomization.yaml":
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "postern/deploy/kubernetes"), os.DirFS(kubernetes)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(filepath.Join(dir, "mine"), os.DirFS(kubernetes+"/sidecar")); err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict([]byte(text), new(types.Kustomization)); err != nil {
				t.Error(err)
			}
			write(t, filepath.Join(dir, "mine/kustomization.yaml"), text)
			for _, o := range built(t, filepath.Join(dir, "mine")) {
				if p, ok := pod(o); ok {
					secure(t, name, p)
				}
			}
		case "values.yaml":
			v, err := chartutil.ReadValues([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			rendered, _, err := render(load(t, chartFolder), v)
			if err != nil {
				t.Fatal(err)
			}
			chartIsWhole(t, decoded(t, []byte(rendered)))
		case "templates/deployment.yaml":
			tested, err := os.ReadFile("testdata/application/templates/deployment.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(text) {
				if !strings.Contains(string(tested), strings.TrimSpace(line)) {
					t.Errorf("nobody tested %s", line)
				}
			}
		default:
			t.Errorf("%q says nothing about what is in the block", name)
		}
	}
}

// TestPoliciesSuitWorkloads: `postern validate --manifest` has nothing to say of
// what is handed out, and a lot of what is mixed up.
func TestPoliciesSuitWorkloads(t *testing.T) {
	warnings := func(policy, workload string) string {
		t.Helper()
		stream, err := build(filepath.Join(kubernetes, workload))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), binary(t), "validate", filepath.Join(kubernetes, policy, "policy"), "--manifest", "-")
		cmd.Stdin = strings.NewReader(string(stream))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v\n%s", policy, err, stderr.String())
		}
		return stderr.String()
	}
	for _, folder := range []string{"sidecar", "gateway", "inbox", "inbox/sqlite"} {
		if w := warnings(folder, folder); w != "" {
			t.Errorf("%s:\n%s", folder, w)
		}
	}
	w := warnings("inbox/sqlite", "inbox")
	for _, want := range []string{"has 2 replicas", "starts a new pod before", "mounts nothing at /var/lib/postern/data"} {
		if !strings.Contains(w, want) {
			t.Errorf("there is no %q in\n%s", want, w)
		}
	}
}
