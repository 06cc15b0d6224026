package clientenv

import (
	"bytes"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// setUp writes a trust folder, in a path that needs quoting, and gives the environment of an application.
func setUp(t *testing.T, change func(*Options)) (*recorder, []string) {
	t.Helper()
	r := startRecorder(t)
	o := Options{Proxy: r.URL, TrustDir: filepath.Join(t.TempDir(), "the \"trust\" folder"), Environ: bare(t)}
	if err := WriteTrust(o.TrustDir, r.CA); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	vars, err := Vars(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, Merge(o.Environ, vars)
}

func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s%s", filepath.Base(cmd.Path), err, &out, &errs)
	}
	return out.String(), errs.String()
}

// wantOne checks that exactly one request came through the proxy, with the client's credentials.
func wantOne(t *testing.T, r *recorder, want seen) {
	t.Helper()
	if want.User == "" {
		want.User = "app+acct_1"
	}
	want.Token, _ = r.URL.User.Password()
	got, _ := r.took()
	if len(got) != 1 {
		t.Fatalf("the proxy saw %d requests, want 1: %+v", len(got), got)
	}
	if got[0] != want {
		t.Errorf("the proxy saw  %+v\nwant           %+v", got[0], want)
	}
}

func tls1(path string) seen {
	return seen{Way: "CONNECT+TLS", Host: target, Path: path, Proto: "HTTP/1.1"}
}

func tls2(path string) seen {
	return seen{Way: "CONNECT+TLS", Host: target, Path: path, Proto: "HTTP/2.0"}
}

func plain(path string) seen {
	return seen{Way: "absolute", Host: target, Path: path, Proto: "HTTP/1.1"}
}

func TestCurl(t *testing.T) {
	curl := tool(t, "curl")
	r, environ := setUp(t, nil)
	for _, c := range []struct {
		args []string
		want seen
	}{
		{[]string{"--http1.1", "https://" + target + "/h1"}, tls1("/h1")},
		{[]string{"--http2", "https://" + target + "/h2"}, tls2("/h2")},
		{[]string{"http://" + target + "/plain"}, plain("/plain")},
	} {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "--fail"}, c.args...)...)
		cmd.Env = environ
		output(t, cmd)
		wantOne(t, r, c.want)
	}
}

// What the recorder answers is no repository: that git asked, and trusted whom it asked, is all there is to see.
func TestGit(t *testing.T) {
	git := tool(t, "git")
	r, environ := setUp(t, nil)
	cmd := exec.CommandContext(t.Context(), git, "ls-remote", "https://"+target+"/repo.git")
	cmd.Env = environ
	cmd.Run()
	got, _ := r.took()
	if len(got) == 0 || got[0].Way != "CONNECT+TLS" || got[0].Path != "/repo.git/info/refs" || got[0].User != "app+acct_1" {
		t.Errorf("the proxy saw %+v", got)
	}
}

func TestPython(t *testing.T) {
	r, environ := setUp(t, nil)
	for _, c := range []struct{ name, module, program string }{
		{"urllib", "urllib.request", "import sys, urllib.request as u; u.urlopen(sys.argv[1]).read()"},
		{"requests", "requests", "import sys, requests; requests.get(sys.argv[1]).raise_for_status()"},
		{"httpx", "httpx", "import sys, httpx; httpx.get(sys.argv[1]).raise_for_status()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			python := pythonWith(t, c.module)
			for _, call := range []struct {
				url  string
				want seen
			}{{"https://" + target + "/s", tls1("/s")}, {"http://" + target + "/p", plain("/p")}} {
				cmd := exec.CommandContext(t.Context(), python, "-c", c.program, call.url)
				cmd.Env = environ
				output(t, cmd)
				wantOne(t, r, call.want)
			}
		})
	}
}

func pythonWith(t *testing.T, module string) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	t.Skipf("MISSING TOOL: no python3 with the module %s, so nothing was tried", module)
	return ""
}

func TestGo(t *testing.T) {
	r, environ := setUp(t, nil)
	for _, c := range []struct {
		url  string
		want seen
	}{{"https://" + target + "/s", tls2("/s")}, {"http://" + target + "/p", plain("/p")}} {
		cmd := inRole(t, "get", c.url)
		cmd.Env = append(environ, roleVariable+"=get")
		output(t, cmd)
		wantOne(t, r, c.want)
	}
}

func TestRuby(t *testing.T) {
	ruby := tool(t, "ruby")
	r, environ := setUp(t, nil)
	const program = `require "net/http"; r = Net::HTTP.get_response(URI(ARGV[0])); exit(r.code == "200")`
	for _, c := range []struct {
		url  string
		want seen
	}{{"https://" + target + "/s", tls1("/s")}, {"http://" + target + "/p", plain("/p")}} {
		cmd := exec.CommandContext(t.Context(), ruby, "-e", program, c.url)
		cmd.Env = environ
		output(t, cmd)
		c.want.User = "app acct_1" // Ruby reads user info as a form: Options.Proxy says so
		wantOne(t, r, c.want)
	}
}

// Without the variables the same clients fail, so that the tests above prove something.
func TestClientsWithoutVariables(t *testing.T) {
	r := startRecorder(t)
	cmd := inRole(t, "get", "https://"+target+"/")
	if err := cmd.Run(); err == nil {
		t.Error("a Go client reached a host that does not exist")
	}
	untrusting, err := Vars(Options{Proxy: r.URL, TrustDir: t.TempDir(), Only: []string{"git"}})
	if err != nil {
		t.Fatal(err)
	}
	cmd = inRole(t, "get", "https://"+target+"/")
	cmd.Env = Merge(cmd.Env, untrusting)
	if err := cmd.Run(); err == nil {
		t.Error("a Go client trusted the proxy without SSL_CERT_FILE")
	}
	if got, connects := r.took(); len(got) != 0 || connects != 1 {
		t.Errorf("the proxy saw %d tunnels and %+v, want one tunnel and no request", connects, got)
	}
}

// npm reads the CA from npm_config_cafile and the proxy from HTTPS_PROXY.
func TestNpm(t *testing.T) {
	npm := tool(t, "npm")
	r, environ := setUp(t, nil)
	registry := (&url.URL{Scheme: "https", Host: target, Path: "/"}).String()
	cmd := exec.CommandContext(t.Context(), npm, "ping", "--registry", registry, "--fetch-retries=0")
	cmd.Env, cmd.Dir = environ, t.TempDir()
	_, stderr := output(t, cmd)
	got, _ := r.took()
	if !slices.ContainsFunc(got, func(s seen) bool { return s.Way == "CONNECT+TLS" && s.Path == "/-/ping" }) {
		t.Errorf("the proxy saw %+v\n%s", got, stderr)
	}
}
