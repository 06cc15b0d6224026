package deploy

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Options says what the sidecar is made of.
type Options struct {
	Image  string
	Config string // the ConfigMap with the policy, if an annotation names no other
	Secret string // the Secret with the policy's secrets
}

// A Change is what became of one workload.
type Change struct {
	Object string // "Deployment app"
	What   string // "injected", "unchanged", "left alone"
}

// Inject adds the sidecar to every pod in a stream of Kubernetes objects, also
// in those of lists. Everything else keeps its bytes; a workload that has this
// sidecar keeps them too. It fails as a whole, and then names the object.
func Inject(stream []byte, o Options) ([]byte, []Change, error) {
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	docs, err := split(stream)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	var changes []Change
	for _, d := range docs {
		text, more, err := o.document(d)
		if err != nil {
			return nil, nil, err
		}
		out.Write(text)
		changes = append(changes, more...)
	}
	return out.Bytes(), changes, nil
}

var (
	nameOf  = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	imageOf = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)
)

func (o Options) check() error {
	if !imageOf.MatchString(o.Image) {
		return fmt.Errorf("%q is not the name of an image", o.Image)
	}
	for what, name := range map[string]string{"ConfigMap": o.Config, "Secret": o.Secret} {
		if !nameOf.MatchString(name) {
			return fmt.Errorf("%q is not the name of a %s", name, what)
		}
	}
	return nil
}

// document gives the text of one document, and what was done to it.
func (o Options) document(d document) ([]byte, []Change, error) {
	if d.root == nil {
		return d.raw, nil, nil
	}
	before, err := d.write()
	if err != nil {
		return nil, nil, err
	}
	changes, err := o.object(d.root.Content[0])
	if err != nil || len(changes) == 0 {
		return d.raw, nil, err
	}
	after, err := d.write()
	if err != nil {
		return nil, nil, err
	}
	if bytes.Equal(before, after) {
		return d.raw, changes, nil
	}
	return after, changes, nil
}

// object adds the sidecar to the pods of one object.
func (o Options) object(m *yaml.Node) (changes []Change, err error) {
	if strings.HasSuffix(word(m, "kind"), "List") {
		items := value(m, "items")
		if items == nil || items.Kind != yaml.SequenceNode {
			return nil, nil
		}
		for _, item := range items.Content {
			more, err := o.object(item)
			if err != nil {
				return nil, err
			}
			changes = append(changes, more...)
		}
		return changes, nil
	}
	where := template(m)
	if where == nil {
		return nil, nil
	}
	c := Change{Object: word(m, "kind") + " " + fallback(word(m, "metadata", "name"), word(m, "metadata", "generateName"))}
	pod, err := descend(m, where...)
	if err == nil {
		c.What, err = o.pod(m, pod)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Object, err)
	}
	return []Change{c}, nil
}

// template is the way to what has the pod's metadata and spec; nil if an object
// of this kind runs no pod, empty if it is one.
func template(m *yaml.Node) []string {
	group, _, _ := strings.Cut(word(m, "apiVersion"), "/")
	switch group + " " + word(m, "kind") {
	case "v1 Pod":
		return []string{}
	case "v1 PodTemplate":
		return []string{"template"}
	case "apps Deployment", "apps StatefulSet", "apps DaemonSet", "apps ReplicaSet", "batch Job", "v1 ReplicationController":
		return []string{"spec", "template"}
	case "batch CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return nil
}

func fallback(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
