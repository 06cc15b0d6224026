package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// keyed is a credential block that says what it is told to say of its keys.
type keyed struct{ keys []policy.KeyState }

func (k *keyed) Stage(policy.Scope) (policy.Stage, error) {
	return policy.Stage{
		Wrap: func(next http.RoundTripper) http.RoundTripper { return next },
		Keys: func() []policy.KeyState { return k.keys },
	}, nil
}

// withKeys makes a policy in which one credential, shared by a route, has keys.
func (l *listener) withKeys(keys ...policy.KeyState) {
	l.t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte("hosts = [\"api.example.com\"]\ncredential \"bearer\" {}\nroute \"/x\" {}\n"), "p.hcl", hcl.InitialPos)
	features := []policy.Feature{{Name: "credential", Kind: "bearer", New: func() policy.Block { return &keyed{keys} }}}
	base := policy.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	set, more := policy.Compile([]policy.Written{{Name: "p", Layers: []*hclsyntax.Body{file.Body.(*hclsyntax.Body)}}}, features, block.NewContext("test", block.NewSecrets(nil)), base)
	if diags = append(diags, more...); diags.HasErrors() {
		l.t.Fatal(diags)
	}
	l.opt.Policy = func() *policy.Set { return set }
}

// TestKeys: the API and the page say which keys there are, by reference and
// fingerprint, and when each was used; what a route shares stands there once.
func TestKeys(t *testing.T) {
	l := serve(t, `admin {}`)
	used := time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)
	l.withKeys(
		policy.KeyState{Kind: "bearer", Ref: "[secret file:/run/secrets/<new>]", Fingerprint: "aabbccdd", State: policy.KeyInUse, LastUsed: used},
		policy.KeyState{Kind: "bearer", Ref: "[secret env:OLD]", State: policy.KeyMissing},
		policy.KeyState{Kind: "bearer", Route: "/y", Ref: "[secret env:OLD]", Fingerprint: "11223344", State: policy.KeyReplaced, LastUsed: used.Add(-time.Hour)},
	)
	a := l.ask("GET", "/api/v1/providers", "")
	list := read[Providers](t, a).Providers
	want := []Key{
		{Kind: "bearer", Reference: "[secret file:/run/secrets/<new>]", Fingerprint: "aabbccdd", State: "in_use", LastUsed: used},
		{Kind: "bearer", Reference: "[secret env:OLD]", State: "missing"},
		{Kind: "bearer", Route: "/y", Reference: "[secret env:OLD]", Fingerprint: "11223344", State: "replaced", LastUsed: used.Add(-time.Hour)},
	}
	if len(list) != 1 || !slices.Equal(list[0].Keys, want) {
		t.Errorf("%+v", list)
	}
	var raw any
	if err := json.Unmarshal([]byte(a.body), &raw); err != nil {
		t.Fatal(err)
	}
	d := readDocument(t, l)
	d.fits(t, "providers", d.Components.Schemas["Providers"], raw)
	if !strings.Contains(a.body, `"credentials"`) {
		t.Error(a.body)
	}
	page := l.ask("GET", "/", "").body
	for _, want := range []string{
		"<td>bearer</td><td><code>[secret file:/run/secrets/&lt;new&gt;]</code></td><td><code>aabbccdd</code></td>", `<td class="good">in use</td><td>2026-11-20 10:30:00 UTC</td>`,
		`<td class="bad">missing</td><td></td>`, "<td>bearer of <code>/y</code></td>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	l.withKeys()
	if page := l.ask("GET", "/", "").body; strings.Contains(page, "<h2>Keys</h2>") {
		t.Error("the page has an empty table")
	}
}
