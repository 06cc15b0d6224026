package deploy

import (
	"bytes"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/proxy/clientenv"
)

var update = flag.Bool("update", false, "write testdata/inject/*.want and the *.env of the manifests")

var usual = Options{Image: "postern:1", Config: "postern-policy", Secret: "postern"}

// TestInject compares whole files, and injects a second time: nothing changes.
func TestInject(t *testing.T) {
	names, _ := filepath.Glob("testdata/inject/*.yaml")
	if len(names) < 2 {
		t.Fatal("there are no files")
	}
	for _, name := range names {
		got, changes, err := Inject(read(t, name), usual)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := strings.TrimSuffix(name, ".yaml") + ".want"
		if *update {
			if err := os.WriteFile(want, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, read(t, want)) {
			t.Errorf("%s gives not what %s has, but:\n%s", name, want, got)
		}
		again, second, err := Inject(got, usual)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: a second time (%v) gives:\n%s", name, err, again)
		}
		for i, c := range second {
			if before := changes[i].What; c.What != map[string]string{"injected": "unchanged", "left alone": "left alone"}[before] {
				t.Errorf("%s: %s was %s, and the second time %s", name, c.Object, before, c.What)
			}
		}
	}
}

// TestInjectKeepsOthers: what runs no pod keeps every byte, whatever it looks
// like.
func TestInjectKeepsOthers(t *testing.T) {
	for _, stream := range []string{
		"", "\n", "---\n", "# only a comment\n", "---\n---\n...\n", "%YAML 1.1\n---\n# a\n",
		"apiVersion: v1\nkind:   Service # x\nspec:\n      ports: [ {port: 80} ]\n\n\n---\n\n---\napiVersion: example.com/v1\nkind: Deployment",
		"apiVersion: v1\r\nkind: Service\r\n---\r\napiVersion: v1\r\nkind: Secret\r\n",
		"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: &x |\n    --- no\n  b: *x\n--- # note\napiVersion: v1\nkind: Secret\n",
		"apiVersion: v1\nkind: List\nitems: null\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name:   a, annotations: {postern.dev/inject: 'false'}}\nspec: {template: {spec:    {}}}\n",
	} {
		got, _, err := Inject([]byte(stream), usual)
		if err != nil || string(got) != stream {
			t.Errorf("%q becomes %q, %v", stream, got, err)
		}
	}
}

// TestInjectReplaces: another image, ConfigMap or Secret takes the place of the
// one before.
func TestInjectReplaces(t *testing.T) {
	first, _, err := Inject(read(t, "testdata/inject/app.yaml"), usual)
	if err != nil {
		t.Fatal(err)
	}
	other := Options{Image: "mirror:5000/postern@sha256:00", Config: "c", Secret: "s"}
	second, changes, err := Inject(first, other)
	if err != nil || len(changes) != 1 || changes[0].What != "injected" {
		t.Fatal(err, changes)
	}
	direct, _, err := Inject(read(t, "testdata/inject/app.yaml"), other)
	if err != nil || !bytes.Equal(second, direct) {
		t.Errorf("injected twice:\n%s\ninjected once:\n%s", second, direct)
	}
	for _, must := range []string{"image: mirror:5000/postern@sha256:00\n", "secretName: s\n", "name: c\n", "name: s\n"} {
		if !strings.Contains(string(second), must) {
			t.Errorf("there is no %q", must)
		}
	}
	if strings.Contains(string(second), "postern:1\n") || strings.Contains(string(second), "name: postern-policy\n          configMap") {
		t.Errorf("something of the first is left:\n%s", second)
	}
}

// TestInjectRefuses: each file begins with what is wrong with it.
func TestInjectRefuses(t *testing.T) {
	names, _ := filepath.Glob("testdata/refused/*.yaml")
	if len(names) < 20 {
		t.Fatalf("there are %d files", len(names))
	}
	for _, name := range names {
		stream := read(t, name)
		first, _, _ := strings.Cut(string(stream), "\n")
		want, ok := strings.CutPrefix(first, "# error: ")
		if !ok {
			t.Fatalf("%s does not say what is wrong with it", name)
		}
		out, _, err := Inject(stream, usual)
		if err == nil || !strings.Contains(err.Error(), want) || out != nil {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	for _, o := range []Options{{"a b", "c", "s"}, {"", "c", "s"}, {"i", "C", "s"}, {"i", "c", "../s"}, {"-i", "c", "s"}} {
		if _, _, err := Inject(nil, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, _, err := Inject(make([]byte, largest+1), usual); err == nil {
		t.Error("there is no limit")
	}
}

// TestEnvironments: the variables of the manifests are those that `postern env`
// prints for the same trust folder.
func TestEnvironments(t *testing.T) {
	gateway := options(nil)
	gateway.Proxy = &url.URL{Scheme: "https", Host: "postern.postern.svc:8080"}
	compose := options(nil)
	compose.Proxy = &url.URL{Scheme: "http", Host: "postern:8080"}
	for name, o := range map[string]clientenv.Options{
		"kubernetes/component/env/postern.env":       options(nil),
		"kubernetes/gateway/application/postern.env": gateway,
		"compose/postern.env":                        compose,
	} {
		vars, err := clientenv.Vars(o)
		if err != nil {
			t.Fatal(err)
		}
		if o.Proxy.String() != Proxy { // the URL has a token, and stands elsewhere
			vars = slices.DeleteFunc(vars, func(v clientenv.Var) bool { return v.Value == o.Proxy.String() })
		}
		want, err := clientenv.Format(vars, "docker")
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(read(t, name)); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func FuzzInject(f *testing.F) {
	for _, pattern := range []string{"testdata/inject/*.yaml", "testdata/refused/*.yaml"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			f.Add(read(f, name))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		_, _, _ = Review(stream, "/data/postern.db") // it reads what Inject reads
		out, changes, err := Inject(stream, usual)
		if err != nil {
			return
		}
		if len(changes) == 0 && !bytes.Equal(out, stream) {
			t.Fatalf("nothing was done, and %q became %q", stream, out)
		}
		again, _, err := Inject(out, usual)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second time (%v):\n%q\nafter\n%q\nof\n%q", err, again, out, stream)
		}
	})
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
