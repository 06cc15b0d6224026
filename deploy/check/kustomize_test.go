package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const kubernetes = "../kubernetes"

// build is what `kubectl kustomize` prints for a folder.
func build(folder string) ([]byte, error) {
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return m.AsYaml()
}

// built is build and decode, for a test that needs both.
func built(t *testing.T, folder string) objects {
	t.Helper()
	text, err := build(folder)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

// TestKustomizations builds every folder that has a kustomization, components
// excepted: those are built by the folders that use them.
func TestKustomizations(t *testing.T) {
	var seen []string
	err := filepath.WalkDir(kubernetes, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "kustomization.yaml" {
			return err
		}
		var k types.Kustomization
		text, err := os.ReadFile(name)
		if err == nil {
			err = yaml.UnmarshalStrict(text, &k)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		if k.Kind == types.ComponentKind {
			return nil
		}
		seen = append(seen, filepath.Dir(name))
		all := built(t, filepath.Dir(name))
		for _, o := range all {
			if p, ok := pod(o); ok {
				secure(t, filepath.Dir(name), p)
			}
		}
		return nil
	})
	if err != nil || len(seen) < 7 {
		t.Errorf("%v, %v", seen, err)
	}
}

// TestManifests decodes each file that is an object by itself.
func TestManifests(t *testing.T) {
	n := 0
	err := filepath.WalkDir(kubernetes, func(name string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" || d.Name() == "kustomization.yaml" || d.Name() == "application.yaml" {
			return err
		}
		n++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := decode(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return nil
	})
	if err != nil || n < 15 {
		t.Errorf("%d files, %v", n, err)
	}
}

// TestComponent uses the component as others do: on every kind it knows, on
// several containers, beside what they have.
func TestComponent(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "kubernetes"), os.DirFS(kubernetes)); err != nil {
		t.Fatal(err)
	}
	const template = `{metadata: {labels: {app: a}}, spec: {automountServiceAccountToken: false, restartPolicy: %s, initContainers: [{name: migrate, image: a}], containers: [
  {name: one, image: a, env: [{name: MY_HTTPS_PROXY, value: keep}], envFrom: [{configMapRef: {name: mine}}], volumeMounts: [{name: data, mountPath: /data}]},
  {name: two, image: b}], volumes: [{name: data, emptyDir: {}}]}}`
	var resources string
	for kind, spec := range map[string]string{
		"Deployment": "selector: {matchLabels: {app: a}}, ", "DaemonSet": "selector: {matchLabels: {app: a}}, ", "ReplicaSet": "selector: {matchLabels: {app: a}}, ",
		"StatefulSet": "serviceName: a, selector: {matchLabels: {app: a}}, ", "Job": "",
	} {
		version, restart := "apps/v1", "Always"
		if kind == "Job" {
			version, restart = "batch/v1", "Never"
		}
		for name, annotations := range map[string]string{"in": "{}", "out": `{postern.dev/inject: "false"}`} {
			resources += fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, annotations: %s}\nspec: {%stemplate: %s}\n", version, kind, name, annotations, spec, fmt.Sprintf(template, restart))
		}
	}
	write(t, filepath.Join(dir, "all.yaml"), resources)
	write(t, filepath.Join(dir, "kustomization.yaml"), "resources: [all.yaml]\ncomponents: [kubernetes/component]\nconfigMapGenerator: [{name: postern-policy, literals: [a=b]}]\n")
	seen := 0
	for _, o := range built(t, dir) {
		p, ok := pod(o)
		if !ok {
			continue
		}
		seen++
		if o.GetName() == "out" {
			if len(p.InitContainers) != 1 || len(p.Volumes) != 1 || len(p.Containers[1].EnvFrom) > 0 {
				t.Errorf("%T: the annotation counts for nothing: %+v", o, p)
			}
			continue
		}
		secure(t, fmt.Sprintf("%T", o), p)
		if len(p.InitContainers) != 2 || p.InitContainers[0].Name != "postern" || len(p.Volumes) != 5 {
			t.Errorf("%T: %+v", o, p)
		}
		one, two := p.Containers[0], p.Containers[1]
		if len(one.Env) != 1 || one.Env[0].Value != "keep" || len(one.EnvFrom) != 2 || len(one.VolumeMounts) != 2 || len(two.EnvFrom) != 1 || len(two.VolumeMounts) != 1 {
			t.Errorf("%T: the containers are %+v and %+v", o, one, two)
		}
		for _, c := range p.Containers {
			m := c.VolumeMounts[len(c.VolumeMounts)-1]
			if m.Name != "postern-trust" || !m.ReadOnly || !strings.HasPrefix(c.EnvFrom[len(c.EnvFrom)-1].ConfigMapRef.Name, "postern-env-") {
				t.Errorf("%T: %+v", o, c)
			}
		}
		for _, v := range p.Volumes {
			if v.Name == "postern-policy" && !strings.HasPrefix(v.ConfigMap.Name, "postern-policy-") {
				t.Errorf("%T: a generated name is not followed: %+v", o, v)
			}
		}
	}
	if seen != 10 {
		t.Errorf("%d workloads", seen)
	}
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
