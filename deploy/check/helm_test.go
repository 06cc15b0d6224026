package check

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../helm/postern"

func load(t *testing.T, folder string) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render is `helm template`: the schema included, and a value that a template
// reads and nothing sets is an error.
func render(c *chart.Chart, values map[string]any) (rendered, notes string, err error) {
	release := chartutil.ReleaseOptions{Name: "r", Namespace: "ns", Revision: 1, IsInstall: true}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return "", "", err
	}
	all, err := chartutil.ToRenderValues(c, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return "", "", err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Base(name) == "NOTES.txt":
			notes += files[name]
		case strings.HasSuffix(name, ".yaml"):
			out.WriteString("---\n" + files[name] + "\n")
		}
	}
	return out.String(), notes, nil
}

func values(t *testing.T, name string) map[string]any {
	t.Helper()
	v, err := chartutil.ReadValuesFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestChart renders every documented combination of values.
func TestChart(t *testing.T) {
	names, _ := filepath.Glob(chartFolder + "/ci/*.yaml")
	if len(names) < 6 {
		t.Fatal(names)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), "-values.yaml"), func(t *testing.T) {
			v := values(t, name)
			for _, m := range lint.All(chartFolder, v, "ns", true).Messages {
				if m.Severity >= support.WarningSev {
					t.Errorf("lint: %s", m)
				}
			}
			rendered, notes, err := render(load(t, chartFolder), v)
			if err != nil {
				t.Fatal(err)
			}
			all := decoded(t, []byte(rendered))
			mode, _ := v["mode"].(string)
			if mode == "sidecar" {
				if len(all) != 1 {
					t.Errorf("%d objects", len(all))
				}
				validPolicy(t, get[*core.ConfigMap](t, all))
				return
			}
			if !strings.Contains(notes, "helm test r --namespace ns") {
				t.Errorf("the notes are\n%s", notes)
			}
			chartIsWhole(t, all)
		})
	}
}

// chartIsWhole follows the names that the objects of a release have for each
// other.
func chartIsWhole(t *testing.T, all objects) {
	t.Helper()
	var labels, selector map[string]string // of the pods, and what the workload finds them by
	var main core.PodSpec
	policies := 0
	for _, o := range all {
		switch o := o.(type) {
		case *apps.Deployment:
			labels, selector, main = o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec
		case *apps.StatefulSet:
			labels, selector, main = o.Spec.Template.Labels, o.Spec.Selector.MatchLabels, o.Spec.Template.Spec
			if *o.Spec.Replicas != 1 || len(o.Spec.VolumeClaimTemplates) != 1 {
				t.Errorf("%+v", o.Spec)
			}
		case *core.ConfigMap:
			policies++
			validPolicy(t, o)
		}
	}
	within(t, "the workload", selector, labels)
	found := func(by map[string]string) {
		if !maps.Equal(by, selector) {
			t.Errorf("pods are found by %v, and the workload has %v", by, selector)
		}
	}
	drains(t, "helm", main)
	checkPorts(t, all, main)
	if policies == 0 && main.Volumes[0].ConfigMap.Name != "my-policy" {
		t.Error("there is no policy")
	}
	for _, o := range all {
		if o.GetLabels()["app.kubernetes.io/instance"] != "r" || o.GetLabels()["app.kubernetes.io/name"] == "" {
			t.Errorf("%T %s has not the recommended labels: %v", o, o.GetName(), o.GetLabels())
		}
		if p, ok := pod(o); ok {
			secure(t, o.GetName(), p)
		}
		switch o := o.(type) {
		case *core.Service:
			found(o.Spec.Selector)
		case *policy.PodDisruptionBudget:
			found(o.Spec.Selector.MatchLabels)
		case *networking.NetworkPolicy:
			found(o.Spec.PodSelector.MatchLabels)
		case *monitoring.PodMonitor:
			found(o.Spec.Selector.MatchLabels)
			if *o.Spec.PodMetricsEndpoints[0].Port != "admin" {
				t.Error("the monitor asks another port")
			}
		case *monitoring.PrometheusRule:
			knownMetrics(t, o)
		}
	}
}

// validPolicy runs `postern validate` on a ConfigMap.
func validPolicy(t *testing.T, c *core.ConfigMap) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range c.Data {
		write(t, filepath.Join(dir, name), text)
	}
	if c.Data["postern.hcl"] == "" {
		t.Error("there is no postern.hcl")
	}
	validFolder(t, dir)
}

// knownMetrics compares the alerts with the table of metrics.
func knownMetrics(t *testing.T, r *monitoring.PrometheusRule) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile("(?m)^\\| `(postern_[a-z_]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1)
	labels := map[string]string{}
	for _, m := range known {
		labels[m[1]] = m[2]
	}
	n := 0
	for _, group := range r.Spec.Groups {
		for _, rule := range group.Rules {
			n++
			expr := rule.Expr.String()
			names := regexp.MustCompile(`postern_[a-z_]+`).FindAllString(expr, -1)
			if len(names) == 0 || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s: %s", rule.Alert, expr)
			}
			for _, name := range names {
				if _, ok := labels[name]; !ok {
					t.Errorf("%s: there is no metric %s", rule.Alert, name)
				}
			}
			for _, m := range regexp.MustCompile(`by \(([a-z, ]+)\)|\$labels\.([a-z_]+)`).FindAllStringSubmatch(expr+rule.Annotations["description"], -1) {
				for _, label := range strings.Split(m[1]+m[2], ", ") {
					if label != "pod" && !strings.Contains(labels[names[0]], "`"+label+"`") {
						t.Errorf("%s: %s has no label %s", rule.Alert, names[0], label)
					}
				}
			}
			if strings.Count(expr, `pod=~"`) != len(names) {
				t.Errorf("%s is not about this release alone: %s", rule.Alert, expr)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d alerts", n)
	}
}

// TestChartRefuses: each file begins with what the schema says of it.
func TestChartRefuses(t *testing.T) {
	names, _ := filepath.Glob("testdata/helm_refused/*.yaml")
	if len(names) < 10 {
		t.Fatal(names)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# error: "), "\n")
		if _, _, err := render(load(t, chartFolder), values(t, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	if _, _, err := render(load(t, chartFolder), map[string]any{}); err == nil || !strings.Contains(err.Error(), "existingSecret") {
		t.Errorf("no values at all: %v", err)
	}
}

// TestChartSidecar: a chart that includes the sidecar has the one that
// `postern k8s inject` adds.
func TestChartSidecar(t *testing.T) {
	c := load(t, "testdata/application")
	c.AddDependency(load(t, chartFolder))
	rendered, _, err := render(c, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	all := decoded(t, []byte(rendered))
	validPolicy(t, get[*core.ConfigMap](t, all))
	got, _ := pod(get[*apps.Deployment](t, all))
	secure(t, "application", got)

	bare := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {automountServiceAccountToken: false, containers: [{name: app, image: 'app:1'}]}\n"
	cmd := exec.CommandContext(t.Context(), binary(t), "k8s", "inject", "-f", "-", "--image", "mirror/postern:1", "--config", "r-postern-policy", "--secret", "billing")
	cmd.Stdin = strings.NewReader(bare)
	injected, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := pod(get[*core.Pod](t, decoded(t, injected)))
	got.InitContainers[0].ImagePullPolicy = ""
	if g, w := asYAML(t, got), asYAML(t, want); g != w {
		t.Errorf("the chart's pod is\n%s\nwhat is injected is\n%s", g, w)
	}
}

// TestChartCopies: the chart's own files are those of the component, because a
// chart cannot read outside of its folder.
func TestChartCopies(t *testing.T) {
	for from, to := range map[string]string{"component/sidecar.yaml": "files/sidecar.yaml", "component/env/postern.env": "files/sidecar.env"} {
		a, err := os.ReadFile(filepath.Join(kubernetes, from))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(chartFolder, to))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is not %s (%v): copy it", to, from, err)
		}
	}
}

// TestChartValues: the schema knows every value of values.yaml, and values.yaml
// every one of the schema.
func TestChartValues(t *testing.T) {
	c := load(t, chartFolder)
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := yaml.Unmarshal(c.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global")
	if a, b := slices.Sorted(maps.Keys(schema.Properties)), slices.Sorted(maps.Keys(c.Values)); !slices.Equal(a, b) {
		t.Errorf("the schema has %v, values.yaml %v", a, b)
	}
}
