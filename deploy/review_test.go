package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestReview: what is found, with its line in the manifest, and nothing else.
func TestReview(t *testing.T) {
	const volume = "volumes: [{name: d, persistentVolumeClaim: {claimName: d}}]"
	workload := func(kind, spec, pod string) string {
		return fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata: {name: p}\nspec:\n  %s\n  template:\n    spec:\n      %s\n", kind, spec, pod)
	}
	run := func(more string) string {
		return `containers: [{name: postern, image: x, volumeMounts: [{name: d, mountPath: /data}]}]` + more
	}
	lasting := run("\n      " + volume)
	for name, c := range map[string]struct {
		stream string
		file   string
		want   []string
		runs   int
	}{
		"one replica": {workload("StatefulSet", "replicas: 1", run("")+"\n  volumeClaimTemplates: [{metadata: {name: d}}]"), "/data/p.db", nil, 1},
		"recreated":   {workload("Deployment", "strategy: {type: Recreate}", lasting), "/data/p.db", nil, 1},
		"no surge":    {workload("Deployment", "strategy: {rollingUpdate: {maxSurge: 0}}", lasting), "/data/sub/p.db", nil, 1},
		"replicas":    {workload("StatefulSet", "replicas: 3", lasting), "/data/p.db", []string{"5 SQLite with several replicas: StatefulSet p has 3 replicas."}, 1},
		"rolling":     {workload("Deployment", "replicas: 1", lasting), "/data/p.db", []string{"1 SQLite with a rolling update: Deployment p starts a new pod before"}, 1},
		"daemon set":  {workload("DaemonSet", "a: b", lasting), "/data/p.db", []string{"1 SQLite with several replicas: DaemonSet p runs on each node."}, 1},
		"autoscaled": {
			workload("StatefulSet", "a: b", lasting) + "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: StatefulSet, name: p}}\n",
			"/data/p.db",
			[]string{"11 SQLite with several replicas: StatefulSet p is scaled by HorizontalPodAutoscaler h."},
			1,
		},
		"another is autoscaled": {
			workload("StatefulSet", "a: b", lasting) + "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: StatefulSet, name: q}}\n", "/data/p.db", nil, 1,
		},
		"emptyDir":   {workload("StatefulSet", "a: b", run("\n      volumes: [{name: d, emptyDir: {}}]")), "/data/p.db", []string{"8 SQLite without a lasting volume: StatefulSet p has an emptyDir at /data"}, 1},
		"read-only":  {workload("StatefulSet", "a: b", run("\n      volumes: [{name: d, configMap: {name: x}}]")), "/data/p.db", []string{"8 SQLite without a lasting volume: StatefulSet p cannot write at /data"}, 1},
		"no volume":  {workload("StatefulSet", "a: b", lasting), "/database/p.db", []string{"8 SQLite without a lasting volume: StatefulSet p mounts nothing at /database"}, 1},
		"unknown":    {workload("StatefulSet", "a: b", run("")), "/data/p.db", []string{"8 SQLite without a lasting volume: StatefulSet p has no volume d"}, 1},
		"relative":   {workload("StatefulSet", "a: b", lasting), "p.db", []string{"8 SQLite without a lasting volume: StatefulSet p mounts nothing at /etc/postern"}, 1},
		"configured": {workload("StatefulSet", "a: b", strings.Replace(lasting, "image: x", "env: [{name: POSTERN_CONFIG, value: /data/conf}]", 1)), "p.db", nil, 1},
		"inner mount": {
			workload("StatefulSet", "a: b", "containers: [{image: 'mirror:5000/postern@sha256:0', volumeMounts: [{name: e, mountPath: /data/in/}, {name: d, mountPath: /data}]}]\n      volumes: [{name: e, emptyDir: {}}, {name: d, persistentVolumeClaim: {}}]"),
			"/data/in/p.db",
			[]string{"8 SQLite without a lasting volume: StatefulSet p has an emptyDir at /data/in/"},
			1,
		},
		"sidecar, in a list": {
			"apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: p}\n  spec: {replicas: 2, strategy: {type: Recreate}, template: {spec: {containers: [{name: a}], initContainers: [{image: 'postern:1'}]}}}\n", "/data/p.db",
			[]string{"7 SQLite with several replicas: Deployment p has 2 replicas.", "7 SQLite without a lasting volume: Deployment p mounts nothing at /data"},
			1,
		},
		"others": {workload("Deployment", "replicas: 9", "containers: [{name: app, image: postern-like}]"), "/data/p.db", nil, 0},
		"none":   {"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "/data/p.db", nil, 0},
	} {
		found, runs, err := Review([]byte(c.stream), c.file)
		if err != nil || runs != c.runs || len(found) != len(c.want) {
			t.Errorf("%s: %+v, %d, %v", name, found, runs, err)
			continue
		}
		for _, want := range c.want {
			if !slices.ContainsFunc(found, func(f Finding) bool {
				return strings.HasPrefix(fmt.Sprintf("%d %s: %s", f.Line, f.Summary, f.Detail), want)
			}) {
				t.Errorf("%s: %+v; want %s", name, found, want)
			}
		}
	}
	if _, _, err := Review([]byte("prose"), "x"); err == nil {
		t.Error("prose is taken")
	}
}
