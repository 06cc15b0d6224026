package connect

import (
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for src, want := range map[string]string{
		`public_url = "https://connect.example.com"`:                        "",
		`public_url = "https://connect.example.com/"`:                       "",
		`public_url = "https://Connect.Example.com:443"`:                    "",
		`public_url = "https://connect.example.com:8443"`:                   "",
		`public_url = "http://127.0.0.1:8083"`:                              "",
		`public_url = "http://[::1]:8083"`:                                  "",
		`public_url = "http://app.localhost:8083"`:                          "",
		"public_url = \"https://c.example.com\"\nlisten = \":443\"":         "",
		"public_url = \"https://c.example.com\"\ntitle = \"Ämter & Söhne\"": "",
		``:                                   `The argument "public_url" is required`,
		`public_url = ""`:                    "not an origin",
		`public_url = "connect.example.com"`: "not an origin",
		`public_url = "http://connect.example.com"`:                                             "write https",
		`public_url = "http://127.0.0.1.evil.com"`:                                              "write https",
		`public_url = "http://localhost.evil.com"`:                                              "write https",
		`public_url = "ftp://connect.example.com"`:                                              "does not begin with https://",
		`public_url = "https://example.com/connect"`:                                            "needs a host of its own",
		`public_url = "https://example.com?x"`:                                                  "not an origin",
		`public_url = "https://example.com#"`:                                                   "not an origin",
		`public_url = "https://user:canary@example.com"`:                                        "not an origin",
		`public_url = "https:example.com"`:                                                      "not an origin",
		`public_url = "https:///x"`:                                                             "not an origin",
		`public_url = "https://ex ample.com"`:                                                   "not an origin",
		`public_url = "https://exämple.com"`:                                                    "not an origin",
		"public_url = \"https://c.example.com\"\nlisten = \"8083\"":                             "not HOST:PORT",
		"public_url = \"https://c.example.com\"\nreturn_to = [\"*\"]":                           "not an origin",
		"public_url = \"https://c.example.com\"\nreturn_to = [\"https://*.example.com\"]":       "not an origin",
		"public_url = \"https://c.example.com\"\nreturn_to = [\"https://a.example/x\"]":         "not an origin",
		"public_url = \"https://c.example.com\"\nreturn_to = [\"http://a.example\"]":            "write https",
		"public_url = \"https://c.example.com\"\nembed = [\"https://a.example; script-src *\"]": "not an origin",
		"public_url = \"https://c.example.com\"\nembed = [\"'unsafe-inline'\"]":                 "not an origin",
		"public_url = \"https://c.example.com\"\ntitle = \"a\\nb\"":                             "printable",
		"public_url = \"https://c.example.com\"\ntitle = \"" + strings.Repeat("x", 61) + "\"":   "at most 60",
		"public_url = \"http://127.0.0.1:1\"\ntls {\ncert = \"c\"\nkey = \"k\"\n}":              "begins with https",
		"public_url = \"https://c.example.com\"\nnames = { acme = \"Ac\\u202eme\" }":            "name of acme",
		"public_url = \"https://c.example.com\"\nnames = { acme = \"\" }":                       "name of acme",
		"public_url = \"https://c.example.com\"\nnames = { acme = \"ACME Inc.\" }":              "",
		"public_url = \"https://c.example.com\"\nretrun_to = []":                                "Did you mean \"return_to\"?",
	} {
		_, diags := decode("connect {\n" + src + "\n}")
		said := diags.Error()
		if want == "" && diags.HasErrors() || want != "" && (!diags.HasErrors() || !strings.Contains(said, want)) {
			t.Errorf("%s: %q, want %q", src, said, want)
		}
		for _, d := range diags {
			if d.Subject == nil || d.Subject.Start.Line < 1 {
				t.Errorf("%s: nobody is told where: %v", src, d)
			}
		}
	}
}

// TestConfigOrigins: an origin is kept as browsers write it, so that it can be
// compared.
func TestConfigOrigins(t *testing.T) {
	c := mustDecode(t, `connect {
  public_url = "https://Connect.Example.com:443/"
  return_to  = ["https://APP.example.com", "https://app.example.com:443", "http://localhost:80", "https://[2001:DB8::1]:444/"]
  embed      = ["https://Shop.example.com/"]
}`)
	for provider, want := range map[string]string{"acme": "Acme", "my_pay-ments": "My pay ments", "github": "GitHub"} {
		c.Names = map[string]string{"github": "GitHub"}
		if got := c.shown(provider); got != want {
			t.Errorf("%s is shown as %q", provider, got)
		}
	}
	got := append([]string{c.Listen, c.PublicURL, c.callback("acme")}, append(c.ReturnTo, c.Embed...)...)
	want := "127.0.0.1:8083 https://connect.example.com https://connect.example.com/callback/acme https://app.example.com https://app.example.com http://localhost https://[2001:db8::1]:444 https://shop.example.com"
	if strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, " "), want)
	}
}
