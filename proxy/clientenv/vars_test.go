package clientenv

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func proxyURL() *url.URL {
	return &url.URL{Scheme: "http", Host: "127.0.0.1:8080", User: url.UserPassword("app", "hunter2")}
}

func vars(t *testing.T, o Options) []Var {
	t.Helper()
	if o.Proxy == nil {
		o.Proxy = proxyURL()
	}
	if o.TrustDir == "" {
		o.TrustDir = "/srv/trust"
	}
	v, err := Vars(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func names(vars []Var) []string {
	var list []string
	for _, v := range vars {
		list = append(list, v.Name)
	}
	return list
}

const noProxy = "localhost,127.0.0.1,::1,.svc,.cluster.local,.internal,169.254.169.254,metadata.google.internal"

func TestVars(t *testing.T) {
	const (
		proxy  = "http://app:hunter2@127.0.0.1:8080"
		bundle = "/srv/trust/bundle.pem"
		ca     = "/srv/trust/ca.pem"
	)
	want := []string{
		"HTTPS_PROXY=" + proxy, "https_proxy=" + proxy, "HTTP_PROXY=" + proxy, "http_proxy=" + proxy,
		"NO_PROXY=" + noProxy, "no_proxy=" + noProxy,
		"SSL_CERT_FILE=" + bundle, "CURL_CA_BUNDLE=" + bundle,
		"GIT_SSL_CAINFO=" + bundle, "GIT_HTTP_PROXY_AUTHMETHOD=basic",
		"REQUESTS_CA_BUNDLE=" + bundle, "PIP_CERT=" + bundle, "HTTPLIB2_CA_CERTS=" + bundle,
		"BUNDLE_SSL_CA_CERT=" + bundle, "AWS_CA_BUNDLE=" + bundle, "CARGO_HTTP_CAINFO=" + bundle,
		"PERL_LWP_SSL_CA_FILE=" + bundle, "HEX_CACERTS_PATH=" + bundle, "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=" + bundle,
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" + bundle, "NIX_SSL_CERT_FILE=" + bundle, "npm_config_cafile=" + bundle,
		"NODE_EXTRA_CA_CERTS=" + ca, "DENO_CERT=" + ca,
		"NODE_USE_ENV_PROXY=1", "NODE_OPTIONS=--require /srv/trust/node/hook.cjs",
		"POSTERN_ACTIVE=1",
	}
	got := Merge(nil, vars(t, Options{}))
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVarsChoice(t *testing.T) {
	every := []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}
	for _, c := range []struct {
		o    Options
		want []string
	}{
		{Options{Only: []string{"curl"}}, []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE"}},
		{Options{Only: []string{"git"}}, []string{"GIT_SSL_CAINFO", "GIT_HTTP_PROXY_AUTHMETHOD"}},
		{Options{Only: []string{"node", "deno"}, NoHook: true}, []string{
			"npm_config_cafile", "NODE_EXTRA_CA_CERTS", "DENO_CERT", "NODE_USE_ENV_PROXY",
		}},
		{Options{Only: []string{"go"}}, []string{"SSL_CERT_FILE"}},
	} {
		want := append(append(slices.Clone(every), c.want...), "POSTERN_ACTIVE")
		if got := names(vars(t, c.o)); !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", c.o.Only, got, want)
		}
	}
	if !slices.Contains(names(vars(t, Options{AllProxy: true})), "all_proxy") {
		t.Error("AllProxy sets no all_proxy")
	}
	for _, r := range Runtimes() {
		if r.Planned {
			continue
		}
		vars(t, Options{Only: []string{r.Name}})
	}
}

// Every runtime that the table names is one of Runtimes, so that Only can reach it.
func TestTableNamesRuntimes(t *testing.T) {
	for _, s := range (Options{Proxy: proxyURL(), TrustDir: "/t", AllProxy: true}).scoped() {
		if err := checkOnly(s.runtimes); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

func TestVarsJoin(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		o       Options
		want    string
	}{
		{
			"NO_PROXY",
			[]string{"NO_PROXY=corp.example, localhost", "no_proxy=.svc other"},
			Options{},
			"corp.example,localhost,.svc,other,127.0.0.1,::1,.cluster.local,.internal,169.254.169.254,metadata.google.internal",
		},
		{"no_proxy", []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, Options{}, noProxy + ",10.0.0.1"},
		{"NO_PROXY", nil, Options{Proxy: &url.URL{Scheme: "http", Host: "postern:8080"}, NoProxy: []string{"db", "a b,db"}}, noProxy + ",postern,db,a,b"},
		{"NODE_OPTIONS", []string{"NODE_OPTIONS=--max-old-space-size=64"}, Options{}, "--max-old-space-size=64 --require /srv/trust/node/hook.cjs"},
		{"NODE_OPTIONS", nil, Options{TrustDir: `/a b/"c"\d`}, `--require "/a b/\"c\"\\d/node/hook.cjs"`},
		{"NODE_OPTIONS", []string{`NODE_OPTIONS=-r "/srv/trust/node/hook.cjs"  --inspect`}, Options{}, `-r "/srv/trust/node/hook.cjs"  --inspect`},
		{"NODE_OPTIONS", []string{`NODE_OPTIONS=--require=/srv/trust/node/hook.cjs`}, Options{}, `--require=/srv/trust/node/hook.cjs`},
		{"NODE_OPTIONS", []string{`NODE_OPTIONS=--title=/srv/trust/node/hook.cjs`}, Options{}, `--title=/srv/trust/node/hook.cjs --require /srv/trust/node/hook.cjs`},
	} {
		c.o.Environ = c.environ
		if got := lookup(Merge(c.environ, vars(t, c.o)), c.name); got != c.want {
			t.Errorf("%v\ngot  %s\nwant %s", c.environ, got, c.want)
		}
	}
}

// Nested runs give the same environment, however the path has to be quoted.
func TestVarsTwice(t *testing.T) {
	for _, dir := range []string{"/srv/trust", `/a b/"c"\d 'e`, "/with=sign"} {
		o := Options{TrustDir: dir, Environ: []string{"PATH=/bin", "NODE_OPTIONS=--inspect", "NO_PROXY=x"}}
		once := Merge(o.Environ, vars(t, o))
		o.Environ = once
		if twice := Merge(once, vars(t, o)); !slices.Equal(once, twice) {
			t.Errorf("%s: got\n%s\nthen\n%s", dir, strings.Join(once, "\n"), strings.Join(twice, "\n"))
		}
	}
}

func TestClear(t *testing.T) {
	before := []string{"PATH=/bin", "NODE_OPTIONS=--inspect", "NO_PROXY=corp.example"}
	o := Options{TrustDir: "/a b", Environ: before}
	o.Environ = Merge(before, vars(t, o))
	cleared, err := Clear(Options{TrustDir: "/a b", Environ: o.Environ})
	if err != nil {
		t.Fatal(err)
	}
	want := append(before, "no_proxy=corp.example")
	if got := Merge(o.Environ, cleared); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMerge(t *testing.T) {
	environ := []string{"A=1", "odd", "B=2", "A=3", "=C:=x"}
	got := Merge(environ, []Var{{Name: "D", Value: "4"}, {Name: "A", Value: "5"}, {Name: "B", Unset: true}, {Name: "E", Unset: true}})
	if want := []string{"A=5", "odd", "=C:=x", "D=4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"A=1", "odd", "B=2", "A=3", "=C:=x"}; !slices.Equal(environ, want) {
		t.Errorf("the argument was changed: %q", environ)
	}
}

func TestVarsRefusals(t *testing.T) {
	with := func(change func(*url.URL)) *url.URL {
		u := proxyURL()
		change(u)
		return u
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{TrustDir: "/t"}, "no proxy URL"},
		{Options{Proxy: with(func(u *url.URL) { u.Scheme = "socks5" }), TrustDir: "/t"}, "http or https"},
		{Options{Proxy: with(func(u *url.URL) { u.Host = "proxy" }), TrustDir: "/t"}, "host and port"},
		{Options{Proxy: with(func(u *url.URL) { u.Host = ":80" }), TrustDir: "/t"}, "host and port"},
		{Options{Proxy: with(func(u *url.URL) { u.Path = "/p/stripe" }), TrustDir: "/t"}, "nothing may follow"},
		{Options{Proxy: proxyURL(), TrustDir: "trust"}, "absolute"},
		{Options{Proxy: proxyURL(), TrustDir: "/a\x00b"}, "NUL"},
		{Options{Proxy: proxyURL(), TrustDir: "/t", Only: []string{"cobol"}}, "known are curl, git, python, node, go, ruby, deno"},
		{Options{Proxy: proxyURL(), TrustDir: "/t", Only: []string{"java"}}, "not covered yet"},
		{Options{Proxy: proxyURL(), TrustDir: "/t", Only: []string{"php"}}, "php.ini"},
	} {
		_, err := Vars(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the token is in the error: %v", err)
		}
	}
}

func TestVarsDoNotPrintTheToken(t *testing.T) {
	list := vars(t, Options{})
	if text := fmt.Sprintf("%v %+v %s", list, list[0], list[0]); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

// Node itself reads NODE_OPTIONS as nodeWords does.
func TestNodeOptionsQuoting(t *testing.T) {
	path := tool(t, "node")
	for _, name := range []string{"plain", "a b", `q"uote`, `back\slash`, `all "of' \ it`, `trailing\`, "ünï"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := writeFile(dir, NodeHook, []byte(`console.log("loaded")`)); err != nil {
			t.Fatal(err)
		}
		options := joinRequire("--no-warnings", filepath.Join(dir, NodeHook))
		cmd := exec.CommandContext(t.Context(), path, "-e", "")
		cmd.Env = append(bare(t), "NODE_OPTIONS="+options)
		if stdout, _ := output(t, cmd); stdout != "loaded\n" {
			t.Errorf("NODE_OPTIONS=%s: node said %q", options, stdout)
		}
		if got := withoutRequire(options, filepath.Join(dir, NodeHook)); got != "--no-warnings" {
			t.Errorf("%s: left %q", options, got)
		}
	}
}

func FuzzNodeOptions(f *testing.F) {
	for _, seed := range []string{"", "--inspect", `-r "a b"`, `"`, `"\`, `--require`, `a\ b "c\"d"`} {
		f.Add(seed, "/a b/hook.cjs")
	}
	f.Fuzz(func(t *testing.T, options, path string) {
		if path == "" || strings.Count(options, `"`)%2 != 0 || strings.Contains(options, `\`) {
			t.Skip() // Node refuses an open quote
		}
		joined := joinRequire(options, path)
		if again := joinRequire(joined, path); again != joined {
			t.Errorf("%q, then %q", joined, again)
		}
		if left, want := withoutRequire(joined, path), withoutRequire(options, path); left != want {
			t.Errorf("left %q of %q, want %q", left, options, want)
		}
	})
}
