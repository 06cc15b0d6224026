package check

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds is every type that the manifests may use, by apiVersion and kind.
var kinds = map[string]func() meta.Object{
	"v1 ConfigMap":                            func() meta.Object { return new(core.ConfigMap) },
	"v1 Namespace":                            func() meta.Object { return new(core.Namespace) },
	"v1 Pod":                                  func() meta.Object { return new(core.Pod) },
	"v1 Service":                              func() meta.Object { return new(core.Service) },
	"v1 ServiceAccount":                       func() meta.Object { return new(core.ServiceAccount) },
	"apps/v1 DaemonSet":                       func() meta.Object { return new(apps.DaemonSet) },
	"apps/v1 Deployment":                      func() meta.Object { return new(apps.Deployment) },
	"apps/v1 ReplicaSet":                      func() meta.Object { return new(apps.ReplicaSet) },
	"apps/v1 StatefulSet":                     func() meta.Object { return new(apps.StatefulSet) },
	"batch/v1 CronJob":                        func() meta.Object { return new(batch.CronJob) },
	"batch/v1 Job":                            func() meta.Object { return new(batch.Job) },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() meta.Object { return new(autoscaling.HorizontalPodAutoscaler) },
	"networking.k8s.io/v1 Ingress":            func() meta.Object { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":      func() meta.Object { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":           func() meta.Object { return new(policy.PodDisruptionBudget) },
	"monitoring.coreos.com/v1 PodMonitor":     func() meta.Object { return new(monitoring.PodMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() meta.Object { return new(monitoring.PrometheusRule) },
}

// objects is what a stream decodes to, one of each kind and name.
type objects []meta.Object

// decode decodes a stream into the types of Kubernetes. An unknown field, a
// wrong type, a key that stands twice, and an unknown kind are errors.
func decode(stream []byte) (objects, error) {
	var all objects
	for i, doc := range bytes.Split(append([]byte("\n"), stream...), []byte("\n---")) {
		if _, rest, ok := bytes.Cut(doc, []byte("\n")); ok && i > 0 {
			doc = rest // of the line of the separator
		}
		found, err := decodeOne(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w\n%s", i+1, err, doc)
		}
		all = append(all, found...)
	}
	seen := map[string]bool{}
	for _, o := range all {
		id := fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())
		if seen[id] {
			return nil, fmt.Errorf("%s stands twice", id)
		}
		seen[id] = true
	}
	return all, nil
}

func decodeOne(doc []byte) (objects, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Items      []any  `json:"items"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return nil, err
	}
	if head.Kind == "" && len(bytes.TrimSpace(withoutComments(doc))) == 0 {
		return nil, nil
	}
	if head.Kind == "List" {
		var all objects
		for _, item := range head.Items {
			text, err := yaml.Marshal(item)
			if err != nil {
				return nil, err
			}
			one, err := decodeOne(text)
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	make := kinds[head.APIVersion+" "+head.Kind]
	if make == nil {
		return nil, fmt.Errorf("%s %q is no kind that is expected", head.APIVersion, head.Kind)
	}
	o := make()
	text, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, err
	}
	// As the API server does it: encoding/json would take "readonly" for "readOnly".
	if wrong, err := json.UnmarshalStrict(text, o); err != nil || len(wrong) > 0 {
		return nil, errors.Join(append(wrong, err)...)
	}
	if o.GetName() == "" && o.GetGenerateName() == "" {
		return nil, fmt.Errorf("%s has no name", head.Kind)
	}
	return objects{o}, nil
}

func withoutComments(doc []byte) []byte {
	var out []byte
	for line := range bytes.Lines(doc) {
		if !strings.HasPrefix(strings.TrimSpace(string(line)), "#") {
			out = append(out, line...)
		}
	}
	return out
}

// decoded is decode for a test that goes on only with what is right.
func decoded(t *testing.T, stream []byte) objects {
	t.Helper()
	all, err := decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// get finds the only object of a type.
func get[T meta.Object](t *testing.T, all objects) T {
	t.Helper()
	var found []T
	for _, o := range all {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		var none T
		t.Fatalf("there are %d of %T", len(found), none)
	}
	return found[0]
}

// pod is the pod that an object runs, if it does.
func pod(o meta.Object) (core.PodSpec, bool) {
	switch o := o.(type) {
	case *core.Pod:
		return o.Spec, true
	case *apps.Deployment:
		return o.Spec.Template.Spec, true
	case *apps.StatefulSet:
		return o.Spec.Template.Spec, true
	case *apps.DaemonSet:
		return o.Spec.Template.Spec, true
	case *apps.ReplicaSet:
		return o.Spec.Template.Spec, true
	case *batch.Job:
		return o.Spec.Template.Spec, true
	case *batch.CronJob:
		return o.Spec.JobTemplate.Spec.Template.Spec, true
	}
	return core.PodSpec{}, false
}

// TestDecodeIsStrict: what this package stands on finds mistakes.
func TestDecodeIsStrict(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"
	if _, err := decode([]byte("# c\n---\n" + good + "---\n# d\n---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]\n")); err != nil {
		t.Error(err)
	}
	for name, stream := range map[string]string{
		"unknown field": strings.Replace(good, "port:", "prot:", 1),
		"wrong case":    strings.Replace(good, "port:", "Port:", 1),
		"wrong type":    strings.Replace(good, "80", "yes", 1),
		"twice":         good + "metadata: {name: b}\n",
		"same object":   good + "---\n" + good,
		"no name":       strings.Replace(good, "name: a", "", 1),
		"unknown kind":  strings.Replace(good, "Service", "Servcie", 1),
		"old version":   strings.Replace(good, "v1", "v1beta1", 1),
		"no kind":       "a: b\n",
		"in a list":     "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, dota: {}}]\n",
	} {
		if _, err := decode([]byte(stream)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
