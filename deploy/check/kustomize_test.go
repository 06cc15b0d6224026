package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
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

// postern is the container of a pod that runs Postern.
func postern(t *testing.T, p core.PodSpec) core.Container {
	t.Helper()
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		if c.Name == "postern" {
			return c
		}
	}
	t.Fatal("the pod has no container postern")
	return core.Container{}
}

// secure checks what every container of Postern has to have: the restricted
// profile, a root file system that is not written to, no token of the cluster,
// folders and no single files.
func secure(t *testing.T, where string, p core.PodSpec) {
	t.Helper()
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		if !strings.HasPrefix(c.Image, "postern:") && !strings.Contains(c.Image, "/postern") {
			continue
		}
		for _, m := range c.VolumeMounts {
			if m.SubPath != "" {
				t.Errorf("%s: %s mounts %s by subPath, which is never updated", where, c.Name, m.MountPath)
			}
		}
		if err := restricted(p, c); err != nil {
			t.Errorf("%s: container %s: %v", where, c.Name, err)
		}
	}
}

func restricted(p core.PodSpec, c core.Container) error {
	ps, s := p.SecurityContext, c.SecurityContext
	if ps == nil {
		ps = new(core.PodSecurityContext)
	}
	if s == nil {
		return fmt.Errorf("there is no securityContext")
	}
	user, nonRoot, seccomp := s.RunAsUser, s.RunAsNonRoot, s.SeccompProfile
	if user == nil {
		user = ps.RunAsUser
	}
	if nonRoot == nil {
		nonRoot = ps.RunAsNonRoot
	}
	if seccomp == nil {
		seccomp = ps.SeccompProfile
	}
	switch {
	case user == nil || *user != 65532:
		return fmt.Errorf("it runs as another user than 65532")
	case nonRoot == nil || !*nonRoot:
		return fmt.Errorf("runAsNonRoot is missing")
	case seccomp == nil || seccomp.Type != core.SeccompProfileTypeRuntimeDefault:
		return fmt.Errorf("seccompProfile is missing")
	case s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
		return fmt.Errorf("readOnlyRootFilesystem is missing")
	case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
		return fmt.Errorf("privileges may escalate")
	case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
		return fmt.Errorf("capabilities are left")
	case s.Privileged != nil && *s.Privileged || p.HostNetwork || p.HostPID || p.HostIPC:
		return fmt.Errorf("it has the host's")
	case p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken:
		return fmt.Errorf("it gets a token of the cluster")
	case c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero():
		return fmt.Errorf("it has no memory limit")
	}
	return nil
}

// TestSidecar: what the application and Postern share, and what not.
func TestSidecar(t *testing.T) {
	for _, folder := range []string{"sidecar", "sidecar/classic"} {
		all := built(t, filepath.Join(kubernetes, folder))
		spec, _ := pod(get[*apps.Deployment](t, all))
		mounts := map[string][]string{}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			for _, m := range c.VolumeMounts {
				mode := "rw"
				if m.ReadOnly {
					mode = "ro"
				}
				mounts[m.Name] = append(mounts[m.Name], c.Name+" "+mode)
			}
		}
		for volume, want := range map[string][]string{
			"postern-trust": {"postern rw", "app ro"}, "postern-key": {"postern rw"},
			"postern-policy": {"postern ro"}, "postern-secrets": {"postern ro"},
		} {
			if !sameSet(mounts[volume], want) {
				t.Errorf("%s: %s is mounted by %v, want %v", folder, volume, mounts[volume], want)
			}
		}
		empty := 0
		for _, v := range spec.Volumes {
			if v.EmptyDir != nil {
				empty++
				if memory := v.EmptyDir.Medium == core.StorageMediumMemory; memory != (v.Name == "postern-key") || v.EmptyDir.SizeLimit == nil {
					t.Errorf("%s: %s is %+v", folder, v.Name, v.EmptyDir)
				}
			}
		}
		if empty != 2 {
			t.Errorf("%s: %d emptyDirs", folder, empty)
		}
		if probe := postern(t, spec).StartupProbe; probe == nil || probe.HTTPGet.Path != "/startupz" {
			t.Errorf("%s: the application does not wait for Postern", folder)
		}
		checkNames(t, folder, all, spec)
	}
	native, _ := pod(get[*apps.Deployment](t, built(t, kubernetes+"/sidecar")))
	if c := native.InitContainers[0]; c.Name != "postern" || c.RestartPolicy == nil || *c.RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Errorf("it is no native sidecar: %+v", c)
	}
	classic, _ := pod(get[*apps.Deployment](t, built(t, kubernetes+"/sidecar/classic")))
	c := classic.Containers[0]
	if c.Name != "postern" || c.Lifecycle == nil || !slices.Equal(c.Lifecycle.PostStart.Exec.Command[:2], []string{"/postern", "wait"}) {
		t.Errorf("the containers behind do not wait: %+v", c.Lifecycle)
	}
	// But for how it is started and ended, it is the same container.
	c.Lifecycle, c.RestartPolicy = nil, native.InitContainers[0].RestartPolicy
	if got, want := asYAML(t, c), asYAML(t, native.InitContainers[0]); strings.Replace(got, "value: 20s", "value: 0s", 1) != want {
		t.Errorf("the classic sidecar is\n%s\nthe native one\n%s", got, want)
	}
}

// checkNames: what a pod takes from ConfigMaps is made by the same kustomization.
func checkNames(t *testing.T, folder string, all objects, p core.PodSpec) {
	t.Helper()
	var made []string
	for _, o := range all {
		if _, ok := o.(*core.ConfigMap); ok {
			made = append(made, o.GetName())
		}
	}
	for _, v := range p.Volumes {
		if v.ConfigMap != nil && v.Name != "postern-trust" && !slices.Contains(made, v.ConfigMap.Name) {
			t.Errorf("%s: there is no ConfigMap %s, but %v", folder, v.ConfigMap.Name, made)
		}
	}
	for _, c := range p.Containers {
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil && !slices.Contains(made, e.ConfigMapRef.Name) {
				t.Errorf("%s: there is no ConfigMap %s, but %v", folder, e.ConfigMapRef.Name, made)
			}
		}
	}
}

// TestDrain: the pod is killed after Postern had its time: the delay, and at
// most 26 s in which what is under way ends.
func TestDrain(t *testing.T) {
	for _, folder := range []string{"sidecar/classic", "gateway", "inbox", "inbox/sqlite"} {
		for _, o := range built(t, filepath.Join(kubernetes, folder)) {
			if p, ok := pod(o); ok {
				drains(t, folder, p)
			}
		}
	}
}

func drains(t *testing.T, where string, p core.PodSpec) {
	t.Helper()
	delay := ""
	for _, e := range postern(t, p).Env {
		if e.Name == "POSTERN_DRAIN_DELAY" {
			delay = e.Value
		}
	}
	d, err := time.ParseDuration(delay)
	if err != nil {
		t.Errorf("%s: POSTERN_DRAIN_DELAY: %v", where, err)
	}
	grace := int64(30)
	if p.TerminationGracePeriodSeconds != nil {
		grace = *p.TerminationGracePeriodSeconds
	}
	if need := int64(d.Seconds()) + 26; grace < need+3 {
		t.Errorf("%s: the pod has %d s to end, and Postern needs %d", where, grace, need)
	}
}

// TestGateway: several replicas, and only they leave the cluster.
func TestGateway(t *testing.T) {
	all := built(t, kubernetes+"/gateway")
	d := get[*apps.Deployment](t, all)
	checkNames(t, "gateway", all, d.Spec.Template.Spec)
	h := get[*autoscaling.HorizontalPodAutoscaler](t, all)
	if d.Spec.Replicas != nil || *h.Spec.MinReplicas < 3 || h.Spec.ScaleTargetRef.Name != d.Name {
		t.Errorf("replicas %v, autoscaled %+v", d.Spec.Replicas, h.Spec)
	}
	labels := d.Spec.Template.Labels
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		within(t, "topologySpreadConstraints", c.LabelSelector.MatchLabels, labels)
	}
	within(t, "Service", get[*core.Service](t, all).Spec.Selector, labels)
	within(t, "PodDisruptionBudget", get[*policy.PodDisruptionBudget](t, all).Spec.Selector.MatchLabels, labels)
	out := get[*networking.NetworkPolicy](t, all)
	within(t, "NetworkPolicy", out.Spec.PodSelector.MatchLabels, labels)
	if !leaves(out) {
		t.Error("the gateway cannot leave")
	}
	application := get[*networking.NetworkPolicy](t, built(t, kubernetes+"/gateway/application"))
	if leaves(application) || len(application.Spec.PodSelector.MatchLabels) > 0 {
		t.Error("applications can leave")
	}
	for _, rule := range application.Spec.Egress {
		for _, to := range rule.To {
			if to.PodSelector != nil {
				within(t, "the application's NetworkPolicy", to.PodSelector.MatchLabels, labels)
			}
		}
	}
	checkPorts(t, all, d.Spec.Template.Spec)
}

// leaves says whether a policy lets pods reach the internet at port 443.
func leaves(n *networking.NetworkPolicy) bool {
	for _, rule := range n.Spec.Egress {
		for _, to := range rule.To {
			if to.IPBlock != nil && strings.HasSuffix(to.IPBlock.CIDR, "/0") && rule.Ports[0].Port.IntValue() == 443 {
				return true
			}
		}
		if len(rule.To) == 0 {
			return true
		}
	}
	return false
}

// TestInbox: replicas on PostgreSQL, or one with SQLite on a volume.
func TestInbox(t *testing.T) {
	all := built(t, kubernetes+"/inbox")
	d := get[*apps.Deployment](t, all)
	if *d.Spec.Replicas < 2 {
		t.Errorf("%d replicas", *d.Spec.Replicas)
	}
	within(t, "PodDisruptionBudget", get[*policy.PodDisruptionBudget](t, all).Spec.Selector.MatchLabels, d.Spec.Template.Labels)
	checkPorts(t, all, d.Spec.Template.Spec)
	checkNames(t, "inbox", all, d.Spec.Template.Spec)

	all = built(t, kubernetes+"/inbox/sqlite")
	s := get[*apps.StatefulSet](t, all)
	if *s.Spec.Replicas != 1 || len(s.Spec.VolumeClaimTemplates) != 1 {
		t.Errorf("%d replicas, %d volumes", *s.Spec.Replicas, len(s.Spec.VolumeClaimTemplates))
	}
	checkPorts(t, all, s.Spec.Template.Spec)
	checkNames(t, "inbox/sqlite", all, s.Spec.Template.Spec)
}

// checkPorts follows Ingress to Service to pod, by name and number.
func checkPorts(t *testing.T, all objects, p core.PodSpec) {
	t.Helper()
	var open []string
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			open = append(open, port.Name, strconv.Itoa(int(port.ContainerPort)))
		}
		for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe == nil || !slices.Contains(open, probe.HTTPGet.Port.String()) {
				t.Errorf("a probe goes nowhere: %+v", probe)
			}
		}
	}
	var served []string
	for _, o := range all {
		if s, ok := o.(*core.Service); ok {
			for _, port := range s.Spec.Ports {
				served = append(served, s.Name+" "+port.Name)
				if !slices.Contains(open, port.TargetPort.String()) {
					t.Errorf("Service %s goes to port %s, and the pod has %v", s.Name, port.TargetPort.String(), open)
				}
			}
		}
	}
	for _, o := range all {
		in, ok := o.(*networking.Ingress)
		if !ok {
			continue
		}
		for _, rule := range in.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				if to := path.Backend.Service; !slices.Contains(served, to.Name+" "+to.Port.Name) {
					t.Errorf("Ingress goes to %s %s, and there is %v", to.Name, to.Port.Name, served)
				}
			}
		}
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

func within(t *testing.T, what string, selector, labels map[string]string) {
	t.Helper()
	if len(selector) == 0 {
		t.Errorf("%s selects everything", what)
	}
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s selects %s=%s, and the pods have %v", what, k, v, labels)
		}
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
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
