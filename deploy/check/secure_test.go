package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

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
