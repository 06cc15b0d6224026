package deploy

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Finding is one thing in a workload that does not go with an SQLite store.
type Finding struct {
	Line    int
	Summary string
	Detail  string
}

// Review looks through manifests for workloads that run Postern with an SQLite
// store: a file that one process at a time may use, and that has to outlive it.
// file is the store's path as the policy has it. It also says how many of the
// workloads run Postern.
func Review(stream []byte, file string) (found []Finding, runs int, err error) {
	docs, err := split(stream)
	if err != nil {
		return nil, 0, err
	}
	r := review{file: file}
	for _, d := range docs {
		if d.root != nil {
			r.collect(d.root.Content[0])
		}
	}
	for _, m := range r.workloads {
		if r.workload(m) {
			runs++
		}
	}
	return r.found, runs, nil
}

type review struct {
	file      string
	workloads []*yaml.Node
	scalers   []*yaml.Node
	found     []Finding
}

func (r *review) collect(m *yaml.Node) {
	switch kind := word(m, "kind"); {
	case strings.HasSuffix(kind, "List"):
		for _, item := range elements(m, "items") {
			r.collect(item)
		}
	case kind == "HorizontalPodAutoscaler":
		r.scalers = append(r.scalers, m)
	case template(m) != nil:
		r.workloads = append(r.workloads, m)
	}
}

// workload reviews one of them, and says whether it runs Postern.
func (r *review) workload(m *yaml.Node) bool {
	pod, err := descend(m, append(template(m), "spec")...)
	if err != nil {
		return false
	}
	c := runner(pod)
	if c == nil {
		return false
	}
	r.replicas(m)
	r.volume(m, pod, c)
	return true
}

// runner is the container that runs Postern, by its name or its image's.
func runner(pod *yaml.Node) *yaml.Node {
	for _, key := range []string{"containers", "initContainers"} {
		for _, c := range elements(pod, key) {
			image, _, _ := strings.Cut(path.Base(word(c, "image")), "@")
			image, _, _ = strings.Cut(image, ":")
			if word(c, "name") == "postern" || image == "postern" {
				return c
			}
		}
	}
	return nil
}

func (r *review) find(at *yaml.Node, m *yaml.Node, summary, detail string, args ...any) {
	r.found = append(r.found, Finding{at.Line, summary, fmt.Sprintf("%s %s ", word(m, "kind"), word(m, "metadata", "name")) + fmt.Sprintf(detail, args...)})
}

// replicas finds what makes two processes run at one time.
func (r *review) replicas(m *yaml.Node) {
	const several, cure = "SQLite with several replicas", "One process at a time may use an SQLite store: have one replica, or a PostgreSQL store."
	kind, name := word(m, "kind"), word(m, "metadata", "name")
	if n, err := strconv.Atoi(word(m, "spec", "replicas")); err == nil && n > 1 {
		r.find(value(value(m, "spec"), "replicas"), m, several, "has %d replicas. %s", n, cure)
	}
	for _, h := range r.scalers {
		if word(h, "spec", "scaleTargetRef", "kind") == kind && word(h, "spec", "scaleTargetRef", "name") == name {
			r.find(h, m, several, "is scaled by HorizontalPodAutoscaler %s. %s", word(h, "metadata", "name"), cure)
		}
	}
	strategy := value(value(m, "spec"), "strategy")
	switch {
	case kind == "DaemonSet":
		r.find(m, m, several, "runs on each node. %s", cure)
	case kind == "Deployment" && word(strategy, "type") != "Recreate" && word(strategy, "rollingUpdate", "maxSurge") != "0":
		r.find(m, m, "SQLite with a rolling update", "starts a new pod before the old one has ended, and it cannot open the store. Use a StatefulSet, or strategy Recreate.")
	}
}

// volume finds a store that does not outlive the pod.
func (r *review) volume(m, pod, c *yaml.Node) {
	const lost = "SQLite without a lasting volume"
	file := r.file
	if !path.IsAbs(file) {
		folder := "/etc/postern"
		for _, e := range elements(c, "env") {
			if word(e, "name") == "POSTERN_CONFIG" {
				folder = word(e, "value")
			}
		}
		file = path.Join(folder, file)
	}
	mount := within(c, file)
	if mount == nil {
		r.find(c, m, lost, "mounts nothing at %s: events are lost with the container.", path.Dir(file))
		return
	}
	name := word(mount, "name")
	for _, claim := range elements(value(m, "spec"), "volumeClaimTemplates") {
		if word(claim, "metadata", "name") == name {
			return
		}
	}
	for _, v := range elements(pod, "volumes") {
		if word(v, "name") != name {
			continue
		}
		switch {
		case value(v, "emptyDir") != nil:
			r.find(mount, m, lost, "has an emptyDir at %s: events are lost with the pod. Use a volume claim.", word(mount, "mountPath"))
		case value(v, "configMap") != nil || value(v, "secret") != nil || value(v, "projected") != nil:
			r.find(mount, m, lost, "cannot write at %s.", word(mount, "mountPath"))
		}
		return
	}
	r.find(mount, m, lost, "has no volume %s.", name)
}

// within is the innermost mount that a file is in.
func within(c *yaml.Node, file string) (inner *yaml.Node) {
	for _, m := range elements(c, "volumeMounts") {
		at := path.Clean(word(m, "mountPath"))
		if strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/") && (inner == nil || len(at) > len(path.Clean(word(inner, "mountPath")))) {
			inner = m
		}
	}
	return inner
}
