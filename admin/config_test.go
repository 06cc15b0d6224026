package admin

import (
	"strings"
	"testing"
)

func TestC26Config(t *testing.T) {
	for src, want := range map[string]string{
		`admin {}`:                                                           "",
		`admin { listen = "127.0.0.1:9" }`:                                   "",
		`admin { listen = "[::1]:9" }`:                                       "",
		`admin { listen = "localhost:0" }`:                                   "",
		`admin { listen = "0.0.0.0:9" }`:                                     "a token is needed",
		`admin { listen = ":9" }`:                                            "a token is needed",
		`admin { listen = "gate.example:9" }`:                                "a token is needed",
		`admin { listen = "localhost.evil.example:9" }`:                      "a token is needed",
		`admin { listen = "10.0.0.1" }`:                                      "not HOST:PORT",
		`admin { pprof = true }`:                                             "a token is needed",
		`admin { token = "written out" }`:                                    "env(",
		`admin { names = ["a", "b:1"] }`:                                     `"b:1"`,
		`admin { nmaes = ["a"] }`:                                            "names",
		"admin {\n listen = \"0.0.0.0:9\"\n token = env(\"T\")\n}":           "",
		"admin {\n tls {\n cert = \"c.pem\"\n key = \"k.pem\"\n}\n}":         "",
		"admin {\n pprof = true\n listen = \":9\"\n names = [\"\"]\n}":       "no host name",
		"admin {\n pprof = true\n token = env(\"T\")\n names = [\"a.b\"]\n}": "",
	} {
		c, diags := decode(src)
		switch text := diags.Error(); {
		case want == "" && diags.HasErrors():
			t.Errorf("%s: %v", src, diags)
		case want != "" && !diags.HasErrors():
			t.Errorf("%s: accepted: %+v", src, c)
		case want != "" && want != "no host name" && !strings.Contains(text, want):
			t.Errorf("%s: %s, want %q", src, text, want)
		case want == "no host name" && len(diags) != 3:
			t.Errorf("%s: not all three mistakes: %v", src, diags)
		}
	}
}
