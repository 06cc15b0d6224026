package check

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
)

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
