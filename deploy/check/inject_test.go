package check

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
)

// TestInject: what `postern k8s inject` gives are objects of Kubernetes, in
// which every pod has the sidecar.
func TestInject(t *testing.T) {
	fixtures, _ := filepath.Glob("../testdata/inject/*.yaml")
	streams := map[string][]byte{}
	for _, name := range append(fixtures, "../kubernetes/sidecar/deployment.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ = bytes.Cut(text, []byte("---\napiVersion: example.com/v1\n")) // decode knows no such kind
		streams[name] = text
	}
	gateway, err := build(kubernetes + "/gateway/application")
	if err != nil {
		t.Fatal(err)
	}
	streams["gateway/application"] = bytes.ReplaceAll(gateway, []byte("postern-trust"), []byte("certificates"))
	pods := 0
	for name, stream := range streams {
		cmd := exec.CommandContext(t.Context(), binary(t), "k8s", "inject", "-f", "-")
		cmd.Stdin = bytes.NewReader(stream)
		out, err := cmd.Output()
		if name == "gateway/application" { // it has something at the place of the certificates
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || len(out) > 0 {
				t.Errorf("%s: %v, want exit code 2 and no output", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, o := range decoded(t, out) {
			p, ok := pod(o)
			if !ok || o.GetAnnotations()["postern.dev/inject"] == "false" {
				continue
			}
			pods++
			c := p.InitContainers[0]
			if c.Name != "postern" || *c.RestartPolicy != core.ContainerRestartPolicyAlways {
				t.Errorf("%s: %T has no sidecar: %+v", name, o, c)
			}
			no := false
			p.AutomountServiceAccountToken = &no // the application's own affair
			c.Image = "postern:1"
			if err := restricted(p, c); err != nil {
				t.Errorf("%s: %T: %v", name, o, err)
			}
			for _, c := range p.Containers {
				if !slices.ContainsFunc(c.Env, func(e core.EnvVar) bool { return e == core.EnvVar{Name: "HTTPS_PROXY", Value: "http://127.0.0.1:8780"} }) {
					t.Errorf("%s: %T: container %s has no proxy", name, o, c.Name)
				}
			}
		}
	}
	if pods < 5 {
		t.Errorf("%d pods", pods)
	}
}
