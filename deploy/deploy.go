// Package deploy knows what Postern is beside an application in Kubernetes, and
// adds it to workloads.
//
// Read deploy.go (the sidecar, as the component of Kustomize has it), inject.go
// (a stream of objects), pod.go (what is added to one pod, and what keeps it
// from being added), equip.go (what its containers get), review.go (what does
// not go with a store that is a file), then node.go and document.go (YAML that
// is changed and not rewritten).
package deploy

import (
	_ "embed" // the definition of the sidecar
	"fmt"

	"go.yaml.in/yaml/v3"
)

// The annotations of a workload or of its pod template.
const (
	SkipAnnotation   = "postern.dev/inject"   // "false" leaves the workload alone
	ConfigAnnotation = "postern.dev/config"   // the name of the ConfigMap with the policy
	markAnnotation   = "postern.dev/injected" // this pod's containers and volumes called postern are ours
)

// Where the sidecar listens and what it shares; sidecar/policy/postern.hcl says
// the same.
const (
	Proxy    = "http://127.0.0.1:8780"
	TrustDir = "/var/lib/postern/trust"
)

// ports of the sidecar: containers of one pod share them.
func ports() []string { return []string{"8780", "8781", "8782"} }

//go:embed kubernetes/component/sidecar.yaml
var definition []byte

// A sidecar is the part of a pod that is Postern's.
type sidecar struct {
	container *yaml.Node   // for initContainers
	volumes   []*yaml.Node // for volumes
}

// newSidecar reads the definition and fills in names.
func newSidecar(image, config, secret string) (*sidecar, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(definition, &doc); err != nil {
		return nil, fmt.Errorf("read the definition of the sidecar: %w", err)
	}
	spec, err := descend(doc.Content[0], "spec", "template", "spec")
	if err != nil {
		return nil, fmt.Errorf("read the definition of the sidecar: %w", err)
	}
	strip(spec)
	s := &sidecar{container: value(spec, "initContainers").Content[0], volumes: value(spec, "volumes").Content}
	set(s.container, "image", text(image))
	for _, v := range value(s.container, "env").Content {
		if ref := value(value(v, "valueFrom"), "secretKeyRef"); ref != nil {
			set(ref, "name", text(secret))
		}
	}
	for _, v := range s.volumes {
		if source := value(v, "configMap"); source != nil {
			set(source, "name", text(config))
		}
		if source := value(v, "secret"); source != nil {
			set(source, "secretName", text(secret))
		}
	}
	return s, nil
}
