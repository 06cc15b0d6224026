package deploy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-proxy/postern/proxy/clientenv"
)

// pod adds the sidecar to one pod of an object, and says what it did.
func (o Options) pod(object, pod *yaml.Node) (string, error) {
	if err := plain(pod); err != nil {
		return "", err
	}
	if annotation(object, pod, SkipAnnotation) == "false" {
		return "left alone", nil
	}
	config := fallback(annotation(object, pod, ConfigAnnotation), o.Config)
	if !nameOf.MatchString(config) {
		return "", fmt.Errorf("annotation %s: %q is not the name of a ConfigMap", ConfigAnnotation, config)
	}
	spec, err := descend(pod, "spec")
	if err != nil {
		return "", err
	}
	s, err := newSidecar(o.Image, config, o.Secret)
	if err != nil {
		return "", err
	}
	if err := s.fits(spec, word(value(pod, "metadata"), "annotations", markAnnotation) == "true"); err != nil {
		return "", err
	}
	before := clone(pod)
	if err := s.add(pod, spec); err != nil {
		return "", err
	}
	if same(before, pod) {
		return "unchanged", nil
	}
	return "injected", nil
}

// annotation is that of the pod, or else of the object.
func annotation(object, pod *yaml.Node, name string) string {
	return fallback(word(pod, "metadata", "annotations", name), word(object, "metadata", "annotations", name))
}

// fits says why a pod cannot have the sidecar. ours: it has one already.
func (s *sidecar) fits(spec *yaml.Node, ours bool) error {
	switch {
	case word(spec, "hostNetwork") == "true":
		return fmt.Errorf("the pod has hostNetwork, so everything on its node could use the sidecar")
	case word(spec, "os", "name") == "windows":
		return fmt.Errorf("the pod is one of Windows")
	}
	containers := value(spec, "containers")
	if containers == nil || containers.Kind != yaml.SequenceNode || len(containers.Content) == 0 {
		return fmt.Errorf("line %d: the pod has no containers", spec.Line)
	}
	name := word(s.container, "name")
	for _, key := range []string{"containers", "initContainers", "ephemeralContainers"} {
		all := value(spec, key)
		if all == nil || all.Kind != yaml.SequenceNode {
			continue
		}
		for _, c := range all.Content {
			if ours && key == "initContainers" && word(c, "name") == name {
				continue
			}
			if err := apart(c, name); err != nil {
				return err
			}
		}
	}
	if volumes := value(spec, "volumes"); volumes != nil && !ours {
		for _, v := range s.volumes {
			if i := named(volumes, "name", word(v, "name")); i >= 0 {
				return fmt.Errorf("line %d: there is a volume %s already", volumes.Content[i].Line, word(v, "name"))
			}
		}
	}
	return nil
}

// apart says in what a container of the application and the sidecar meet.
func apart(c *yaml.Node, sidecar string) error {
	if c.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a container is no mapping", c.Line)
	}
	name := word(c, "name")
	if name == sidecar {
		return fmt.Errorf("line %d: there is a container %s already", c.Line, name)
	}
	for _, p := range elements(c, "ports") {
		if port := word(p, "containerPort"); slices.Contains(ports(), port) {
			return fmt.Errorf("line %d: container %s listens on port %s, which is the sidecar's", p.Line, name, port)
		}
		if word(p, "name") == "postern-admin" {
			return fmt.Errorf("line %d: container %s has a port postern-admin, which is the sidecar's", p.Line, name)
		}
	}
	for _, m := range elements(c, "volumeMounts") {
		path, volume := strings.TrimSuffix(word(m, "mountPath"), "/"), word(m, "name")
		if path == TrustDir && volume != "postern-trust" {
			return fmt.Errorf("line %d: container %s has something else at %s", m.Line, name, TrustDir)
		}
		if volume == "postern-key" || volume == "postern-secrets" {
			return fmt.Errorf("line %d: container %s mounts %s, which only Postern may have", m.Line, name, volume)
		}
	}
	for _, v := range elements(c, "env") {
		if value(v, "valueFrom") != nil && slices.ContainsFunc(variables(), func(ours clientenv.Var) bool { return ours.Name == word(v, "name") }) {
			return fmt.Errorf("line %d: container %s takes %s from elsewhere; Postern has to set it", v.Line, name, word(v, "name"))
		}
	}
	return nil
}

// add changes the pod: the sidecar first, so that init containers behind it can
// call through it; then the volumes; then the application's containers, and
// those init containers.
func (s *sidecar) add(pod, spec *yaml.Node) error {
	init, err := list(spec, "initContainers")
	if err != nil {
		return err
	}
	put(init, 0, clone(s.container), "name")
	volumes, err := list(spec, "volumes")
	if err != nil {
		return err
	}
	for _, v := range s.volumes {
		put(volumes, len(volumes.Content), clone(v), "name")
	}
	behind := init.Content[named(init, "name", word(s.container, "name"))+1:]
	for _, c := range slices.Concat(behind, value(spec, "containers").Content) {
		if err := equip(c); err != nil {
			return fmt.Errorf("container %s: %w", word(c, "name"), err)
		}
	}
	return mark(pod)
}

// mark says that the pod's sidecar is ours.
func mark(pod *yaml.Node) error {
	at := pod
	for _, key := range []string{"metadata", "annotations"} {
		next := value(at, key)
		switch {
		case next == nil && key == "metadata": // before the spec, where people look for it
			next = mapping()
			at.Content = slices.Insert(at.Content, index(at, "spec")-1, text(key), next)
		case next == nil || next.Tag == "!!null":
			next = mapping()
			set(at, key, next)
		case next.Kind != yaml.MappingNode:
			return fmt.Errorf("line %d: %s is no mapping", next.Line, key)
		}
		at = next
	}
	set(at, markAnnotation, text("true"))
	return nil
}

// same compares what two trees say, whatever their style.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.ShortTag() != b.ShortTag() {
		return false
	}
	return slices.EqualFunc(a.Content, b.Content, same)
}
