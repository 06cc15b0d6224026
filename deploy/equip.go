package deploy

import (
	"net/url"

	"github.com/postern-proxy/postern/proxy/clientenv"
	"go.yaml.in/yaml/v3"
)

func elements(m *yaml.Node, key string) []*yaml.Node {
	if s := value(m, key); s != nil && s.Kind == yaml.SequenceNode {
		return s.Content
	}
	return nil
}

// equip gives a container of the application what it needs to call through the
// sidecar.
func equip(c *yaml.Node) error {
	env, err := list(c, "env")
	if err != nil {
		return err
	}
	var present []string
	for _, v := range env.Content {
		present = append(present, word(v, "name")+"="+word(v, "value"))
	}
	vars, err := clientenv.Vars(options(present))
	if err != nil {
		return err
	}
	for _, v := range vars {
		i := named(env, "name", v.Name)
		if i < 0 {
			env.Content = append(env.Content, fields("name", v.Name, "value", v.Value))
			continue
		}
		if word(env.Content[i], "value") != v.Value {
			set(env.Content[i], "value", text(v.Value))
		}
	}
	mounts, err := list(c, "volumeMounts")
	if err != nil {
		return err
	}
	put(mounts, len(mounts.Content), fields("name", "postern-trust", "mountPath", TrustDir, "readOnly", true), "mountPath")
	return nil
}

func options(environ []string) clientenv.Options {
	u, _ := url.Parse(Proxy) // a constant
	return clientenv.Options{Proxy: u, TrustDir: TrustDir, Environ: environ}
}

// variables are those of an application that has none of its own.
func variables() []clientenv.Var {
	vars, _ := clientenv.Vars(options(nil)) // of constants
	return vars
}
