package credential

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// TestWhoAsksForAToken: only what goes to the token endpoint, of the account where
// each has its own, is taken for an SDK that asks by itself.
func TestWhoAsksForAToken(t *testing.T) {
	const one, each, either = `"https://auth.example.com/oauth/token"`, `"https://${account}.example.com/admin/token"`, `account == "acme" ? "https://a.example.com/a" : "https://b.example.com/b"`
	for _, c := range []struct {
		endpoint, account, host, path string
		want                          bool
	}{
		{one, "", "auth.example.com", "/oauth/token", true},
		{one, "acme", "auth.example.com", "/oauth/token", true},
		{one, "", policy.Nowhere, "/oauth/token", true},
		{one, "", "auth.example.com", "/oauth/tokens", false},
		{one, "", "api.example.com", "/oauth/token", false},
		{one, "", policy.Nowhere, "/v1/items", false},
		{each, "acme", "acme.example.com", "/admin/token", true},
		{each, "acme", policy.Nowhere, "/admin/token", true},
		{each, "acme", "other.example.com", "/admin/token", false},
		{each, "acme", "acme.example.com", "/admin/tokens", false},
		{each, "a.evil", "a.evil.example.com", "/admin/token", false},
		{each, "", "acme.example.com", "/admin/token", false},
		{either, "acme", "a.example.com", "/a", true},
		{either, "other", "a.example.com", "/a", false},
		{either, "other", "b.example.com", "/b", true},
	} {
		e, err := block.ParseURLExpr(c.endpoint, "account")
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{TokenURL: e}
		s.SetHosts([]policy.Host{"acme.example.com", "other.example.com", "a.example.com", "b.example.com"})
		s.Source(NewLive(), policy.Scope{Provider: "p"}, "k", nil, e)
		r := &http.Request{Method: http.MethodPost, Host: c.host, URL: &url.URL{Scheme: "https", Host: c.host, Path: c.path}}
		if got := s.Asks(r, c.account); got != c.want {
			t.Errorf("%s of %q, %s%s: %v", c.endpoint, c.account, c.host, c.path, got)
		}
	}
}
