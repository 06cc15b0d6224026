package clientenv

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Var is one environment variable.
type Var struct {
	Name  string
	Value string
	Unset bool // the variable is to be removed; Value is empty
}

// String gives the name alone, because the value may hold a client's token.
func (v Var) String() string { return v.Name }

// Options says for whom the variables are.
type Options struct {
	// Proxy is the proxy's address, http or https, with the client's name and token as user info where clients are
	// declared. Letters, digits and -._~ arrive safely from every client. Of other characters axios sends the
	// percent-encoded form, and Ruby makes a space of a plus sign.
	Proxy *url.URL

	// TrustDir is the folder WriteTrust writes, as the application sees it: absolute.
	TrustDir string

	// Environ is the environment that NO_PROXY and NODE_OPTIONS are joined with; nil when the variables are for
	// another machine.
	Environ []string

	Only     []string // names of Runtimes; empty means all that are covered
	NoHook   bool     // leave NODE_OPTIONS alone
	AllProxy bool     // set ALL_PROXY too; some clients take it for SOCKS
	NoProxy  []string // further hosts to reach directly
}

// Vars lists the variables in a fixed order. Applied to an environment that has them already it changes nothing.
// A NO_PROXY of "*" in Environ is kept, and turns the proxy off.
func Vars(o Options) ([]Var, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var vars []Var
	for _, s := range o.scoped() {
		if strings.ContainsRune(s.value, 0) {
			return nil, fmt.Errorf("%s would hold a NUL byte", s.name)
		}
		vars = append(vars, Var{Name: s.name, Value: s.value})
	}
	return vars, nil
}

// Clear lists what undoes Vars: its variables are unset, save that NO_PROXY and NODE_OPTIONS keep what is not of
// Vars' making. Values that Vars replaced do not come back. Of Options, Proxy may be nil.
func Clear(o Options) ([]Var, error) {
	if o.Proxy == nil {
		o.Proxy = &url.URL{}
	}
	if err := errors.Join(checkOnly(o.Only), checkTrustDir(o.TrustDir)); err != nil {
		return nil, err
	}
	var vars []Var
	for _, s := range o.scoped() {
		v := Var{Name: s.name}
		switch strings.ToUpper(s.name) {
		case "NO_PROXY":
			v.Value = withoutNoProxy(lookup(o.Environ, s.name), o.noProxy())
		case "NODE_OPTIONS":
			v.Value = withoutRequire(lookup(o.Environ, s.name), o.file(NodeHook))
		}
		v.Unset = v.Value == ""
		vars = append(vars, v)
	}
	return vars, nil
}

// Merge gives environ with vars applied: replaced where they stand, appended in their order otherwise. Environ is
// not changed. On Windows names are compared without regard to case.
func Merge(environ []string, vars []Var) []string {
	merged := make([]string, 0, len(environ)+len(vars))
	done := make([]bool, len(vars))
	for _, entry := range environ {
		name, _, ok := strings.Cut(entry, "=")
		i := slices.IndexFunc(vars, func(v Var) bool { return ok && sameName(v.Name, name) })
		if i < 0 {
			merged = append(merged, entry)
			continue
		}
		if !done[i] && !vars[i].Unset {
			merged = append(merged, name+"="+vars[i].Value)
		}
		done[i] = true
	}
	for i, v := range vars {
		if !done[i] && !v.Unset {
			merged = append(merged, v.Name+"="+v.Value)
		}
	}
	return merged
}

func (o Options) check() error {
	u := o.Proxy
	switch {
	case u == nil:
		return errors.New("no proxy URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("proxy URL %s: the scheme must be http or https", u.Redacted())
	case u.Hostname() == "" || u.Port() == "":
		return fmt.Errorf("proxy URL %s: host and port are needed", u.Redacted())
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("proxy URL %s: nothing may follow the port", u.Redacted())
	}
	return errors.Join(checkOnly(o.Only), checkTrustDir(o.TrustDir))
}

// checkTrustDir takes the folder of a container too, which need not be absolute in the words of this system.
func checkTrustDir(dir string) error {
	if !filepath.IsAbs(dir) && !path.IsAbs(dir) {
		return fmt.Errorf("trust folder %q: an absolute path is needed, the application may run elsewhere", dir)
	}
	return nil
}

func (o Options) file(name string) string {
	if path.IsAbs(o.TrustDir) {
		return path.Join(o.TrustDir, name)
	}
	return filepath.Join(o.TrustDir, filepath.FromSlash(name))
}

type scoped struct {
	name, value string
	runtimes    []string // nil: all
}

// scoped is the table of variables, without those that o excludes.
func (o Options) scoped() []scoped {
	proxy := (&url.URL{Scheme: o.Proxy.Scheme, User: o.Proxy.User, Host: o.Proxy.Host}).String()
	noProxy := joinNoProxy(o.Environ, o.noProxy())
	ca, bundle := o.file(CAFile), o.file(BundleFile)
	table := []scoped{
		{"HTTPS_PROXY", proxy, nil},
		{"https_proxy", proxy, nil},
		{"HTTP_PROXY", proxy, nil}, // Ruby reads it for https too
		{"http_proxy", proxy, nil}, // the only one curl reads for http
		{"ALL_PROXY", proxy, nil},
		{"all_proxy", proxy, nil},
		{"NO_PROXY", noProxy, nil},
		{"no_proxy", noProxy, nil},

		// These replace the runtime's own roots: bundle.pem has both.
		{"SSL_CERT_FILE", bundle, []string{"curl", "python", "go", "ruby", "rust", "elixir"}},
		{"CURL_CA_BUNDLE", bundle, []string{"curl"}},
		{"GIT_SSL_CAINFO", bundle, []string{"git"}},
		{"GIT_HTTP_PROXY_AUTHMETHOD", "basic", []string{"git"}}, // else git sends no credentials before a 407
		{"REQUESTS_CA_BUNDLE", bundle, []string{"python", "aws"}},
		{"PIP_CERT", bundle, []string{"python"}},
		{"HTTPLIB2_CA_CERTS", bundle, []string{"python"}},
		{"BUNDLE_SSL_CA_CERT", bundle, []string{"ruby"}},
		{"AWS_CA_BUNDLE", bundle, []string{"aws", "python"}},
		{"CARGO_HTTP_CAINFO", bundle, []string{"rust"}},
		{"PERL_LWP_SSL_CA_FILE", bundle, []string{"perl"}},
		{"HEX_CACERTS_PATH", bundle, []string{"elixir"}},
		{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", bundle, []string{"gcloud"}},
		{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", bundle, []string{"grpc"}},
		{"NIX_SSL_CERT_FILE", bundle, []string{"nix"}},
		{"npm_config_cafile", bundle, []string{"node"}},

		// These add to the runtime's own roots.
		{"NODE_EXTRA_CA_CERTS", ca, []string{"node"}},
		{"DENO_CERT", ca, []string{"deno"}},

		// A variable, not the flag --use-env-proxy: in NODE_OPTIONS that flag stops Node 18, 20 and 22.20.
		{"NODE_USE_ENV_PROXY", "1", []string{"node"}},
		{"NODE_OPTIONS", joinRequire(lookup(o.Environ, "NODE_OPTIONS"), o.file(NodeHook)), []string{"node"}},

		{"POSTERN_ACTIVE", "1", nil}, // for a child that wants to know
	}
	return slices.DeleteFunc(table, func(s scoped) bool { return !o.wants(s) })
}

func (o Options) wants(s scoped) bool {
	switch s.name {
	case "ALL_PROXY", "all_proxy":
		return o.AllProxy
	case "NODE_OPTIONS":
		if o.NoHook {
			return false
		}
	}
	return s.runtimes == nil || len(o.Only) == 0 ||
		slices.ContainsFunc(o.Only, func(name string) bool { return slices.Contains(s.runtimes, name) })
}

func sameName(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}

// lookup gives the last value of name, as a process would see it, or "".
func lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if n, value, ok := strings.Cut(entry, "="); ok && sameName(n, name) {
			return value
		}
	}
	return ""
}
