package clientenv

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nodes are the Nodes to try: the one on PATH, and those listed in CLIENTENV_NODES (as PATH lists folders).
func nodes(t *testing.T) []string {
	t.Helper()
	return append([]string{tool(t, "node")}, filepath.SplitList(os.Getenv("CLIENTENV_NODES"))...)
}

// eachNode runs f once for every Node, under its version's name.
func eachNode(t *testing.T, f func(t *testing.T, node node)) {
	t.Helper()
	for _, path := range nodes(t) {
		version, err := exec.CommandContext(t.Context(), path, "-p", "process.versions.node").Output()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name := strings.TrimSpace(string(version))
		major, _ := strconv.Atoi(strings.Split(name, ".")[0])
		t.Run(name, func(t *testing.T) { f(t, node{path, major}) })
	}
}

type node struct {
	path  string
	major int
}

type result struct {
	seen
	Error    string
	Code     string
	Length   int
	Rejected int
	Got      []string
}

// call runs testdata/calls.cjs, which must end by itself: idle connections may not hold it.
func (n node) call(t *testing.T, environ []string, args ...string) (r result, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.path, append([]string{"testdata/calls.cjs"}, args...)...)
	cmd.Env = environ
	stdout, stderr := output(t, cmd)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("node answered %q: %v\n%s", stdout, err, stderr)
	}
	return r, stderr
}

func TestNodeGoesThrough(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		for _, name := range []string{
			"fetch-https", "undici-8", "https-default", "https-own", "https-none", "https-eager", "https-socket", "worker",
		} {
			if node.major < 18 && (name == "fetch-https" || name == "undici-8") {
				continue
			}
			if got, stderr := node.call(t, environ, name); got.Error != "" {
				t.Errorf("%s: %s\n%s", name, got.Error, stderr)
			}
			want := tls1("/n")
			if node.major >= 26 && (name == "fetch-https" || name == "undici-8") {
				want = tls2("/n")
			}
			wantOne(t, r, want)
		}
		for _, name := range []string{"http-default", "http-own"} {
			if got, stderr := node.call(t, environ, name); got.Error != "" {
				t.Errorf("%s: %s\n%s", name, got.Error, stderr)
			}
			wantOne(t, r, plain("/n"))
		}
	})
}

// A call to the proxy itself is not proxied again, and carries no credentials that the application did not give.
func TestNodeCallsTheProxyItself(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		node.call(t, environ, "http-to-proxy")
		want := seen{Way: "absolute", Host: r.URL.Host, Path: "/n", Proto: "HTTP/1.1"}
		if got, _ := r.took(); len(got) != 1 || got[0] != want {
			t.Errorf("the proxy saw %+v, want %+v", got, want)
		}
	})
}

// A host that cannot stand in a request line gets no tunnel.
func TestNodeHostIsNoInjection(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		node.call(t, environ, "https-injection")
		if got, connects := r.took(); len(got) != 0 || connects != 0 {
			t.Errorf("the proxy saw %d tunnels and %+v", connects, got)
		}
	})
}

// Before Node 26, fetch tunnels http too.
func TestNodeFetchPlain(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		if node.major < 18 {
			t.Skip("no fetch")
		}
		r, environ := setUp(t, nil)
		node.call(t, environ, "fetch-http")
		want := plain("/n")
		if node.major < 26 {
			want.Way = "CONNECT"
		}
		wantOne(t, r, want)
	})
}

// Without the hook an agent of the application's own goes direct, in every Node.
func TestNodeNeedsTheHook(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, func(o *Options) { o.NoHook = true })
		got, _ := node.call(t, environ, "https-own")
		if !strings.HasPrefix(got.Error, "getaddrinfo ") {
			t.Errorf("got %+v, want a failed look-up of the name", got)
		}
		if got, connects := r.took(); len(got) != 0 || connects != 0 {
			t.Errorf("the proxy saw %d tunnels and %+v", connects, got)
		}
	})
}

func TestNodeBodies(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		_, environ := setUp(t, nil)
		if got, _ := node.call(t, environ, "https-upload"); got.Body != 5<<20 {
			t.Errorf("upload: got %+v", got)
		}
		if got, _ := node.call(t, environ, "https-large"); got.Length != 20<<20 {
			t.Errorf("download: got %+v", got)
		}
	})
}

func TestNodeReusesConnections(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		node.call(t, environ, "https-reuse")
		if got, connects := r.took(); len(got) != 3 || connects != 1 {
			t.Errorf("%d requests through %d tunnels, want 3 through 1", len(got), connects)
		}
	})
}

func TestNodeErrors(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		token, _ := r.URL.User.Password()
		for _, c := range []struct{ name, code, says string }{
			{"denied", "ERR_PROXY_REFUSED", "it answered 403: no provider names it: add one"},
			{"closed", "ECONNRESET", "it closed the connection"},
			{"timeout", "", "gave up as asked"},
			{"abort", "", "gave up as asked"},
		} {
			got, stderr := node.call(t, environ, c.name)
			if got.Code != c.code || !strings.Contains(got.Error, c.says) || stderr != "" && node.major != 22 {
				t.Errorf("%s: got code %q, error %q, stderr %q", c.name, got.Code, got.Error, stderr)
			}
			if strings.Contains(got.Error+stderr, token) {
				t.Errorf("%s: the token is in the error", c.name)
			}
		}
		if got, _ := node.call(t, environ, "queue"); got.Rejected != 3 {
			t.Errorf("of three queued requests %d were rejected", got.Rejected)
		}
	})
}

func TestNodeProxyIsDown(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		_, environ := setUp(t, func(o *Options) { o.Proxy.Host = "127.0.0.1:1" })
		if got, _ := node.call(t, environ, "https-own"); got.Code != "ECONNREFUSED" || !strings.Contains(got.Error, "127.0.0.1:1") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestNodeNoProxy(t *testing.T) {
	cases := []struct {
		NoProxy string `json:"noProxy"`
		Host    string `json:"host"`
		want    string
	}{
		{"", "a.clientenv.test", "proxy"},
		{"*", "a.clientenv.test", "direct"},
		{"", "bücher.clientenv.test", "proxy"},
		{".xn--bcher-kva.test", "a.bücher.test", "direct"},
		{"clientenv.test", "a.clientenv.test", "direct"},
		{"clientenv.test", "clientenv.test", "direct"},
		{"clientenv.test", "notclientenv.test", "proxy"},
		{".clientenv.test", "a.clientenv.test", "direct"},
		{".clientenv.test", "clientenv.test", "direct"},
		{"*.clientenv.test", "A.ClientEnv.test", "direct"},
		{"x.test, clientenv.test", "a.clientenv.test", "direct"},
		{"a.clientenv.test:1", "a.clientenv.test", "direct"},
		{"a.clientenv.test:2", "a.clientenv.test", "proxy"},
		{"127.0.0.5", "127.0.0.5", "direct"},
		{"127.0.0.5:1", "127.0.0.5", "direct"},
		{"127.0.0.0/8", "127.0.0.5", "direct"},
		{"10.0.0.0/8", "127.0.0.5", "proxy"},
		{"127.0.0.0/99", "127.0.0.5", "proxy"},
		{"0.0.5", "127.0.0.5", "proxy"},
		{"::1", "::1", "direct"},
		{"[::1]:1", "::1", "direct"},
		{"::/64", "::1", "direct"},
	}
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	eachNode(t, func(t *testing.T, node node) {
		_, environ := setUp(t, nil)
		got, _ := node.call(t, environ, "no-proxy", string(text))
		if len(got.Got) != len(cases) {
			t.Fatalf("got %+v", got)
		}
		for i, c := range cases {
			if got.Got[i] != c.want {
				t.Errorf("NO_PROXY=%q: %s went %s, want %s", c.NoProxy, c.Host, got.Got[i], c.want)
			}
		}
	})
}

// Loaded twice, as in nested runs with two trust folders, the hook acts once.
func TestNodeHookTwice(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		r, environ := setUp(t, nil)
		second := t.TempDir()
		if err := WriteTrust(second, r.CA); err != nil {
			t.Fatal(err)
		}
		vars, err := Vars(Options{Proxy: r.URL, TrustDir: second, Environ: environ})
		if err != nil {
			t.Fatal(err)
		}
		environ = Merge(environ, vars)
		if n := strings.Count(lookup(environ, "NODE_OPTIONS"), "--require"); n != 2 {
			t.Fatalf("NODE_OPTIONS has %d hooks", n)
		}
		node.call(t, environ, "https-own")
		wantOne(t, r, tls1("/n"))
	})
}

// The hook complains in one line, without the URL, and lets the application run.
func TestNodeHookNeverStopsTheApplication(t *testing.T) {
	eachNode(t, func(t *testing.T, node node) {
		_, environ := setUp(t, nil)
		environ = slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, "NODE_USE_ENV_PROXY=") })
		broken := "http://app:hunter2%zz@[nowhere:8080"
		environ = Merge(environ, []Var{{Name: "HTTPS_PROXY", Value: broken}, {Name: "https_proxy", Value: broken}})
		got, stderr := node.call(t, environ, "https-own")
		if !strings.HasPrefix(got.Error, "getaddrinfo ") {
			t.Errorf("got %+v, want a failed look-up of the name", got)
		}
		if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "postern: ") || strings.Contains(stderr, "hunter2") {
			t.Errorf("stderr is %q, want one line without the URL", stderr)
		}
	})
}
