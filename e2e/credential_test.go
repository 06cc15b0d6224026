package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// TestCredentialKinds: each kind, its block as short as it may be, puts the secret where the provider looks for it, and
// what the application had put there is gone.
func TestCredentialKinds(t *testing.T) {
	harness.Binary(t)
	const secret = "s3cr3t-s3cr3t-s3cr3t"
	const form, json = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct {
		name, block string
		target      string
		body, ctype string
		where       func(r faults.Request) string
		want        string
	}{
		{"bearer", `credential "bearer" { token = env("SECRET") }`, "/x", "", "", headerOf("Authorization"), "Bearer " + secret},
		{"bearer, other scheme", "credential \"bearer\" {\n token = env(\"SECRET\")\n scheme = \"Token\"\n}", "/x", "", "", headerOf("Authorization"), "Token " + secret},
		{"basic", "credential \"basic\" {\n username = \"user\"\n password = env(\"SECRET\")\n}", "/x", "", "", headerOf("Authorization"), "Basic dXNlcjpzM2NyM3QtczNjcjN0LXMzY3IzdA=="},
		{"header", "credential \"header\" {\n name = \"X-Api-Key\"\n value = env(\"SECRET\")\n}", "/x", "", "", headerOf("X-Api-Key"), secret},
		{
			"query", "credential \"query\" {\n name = \"key\"\n value = env(\"SECRET\")\n}", "/x?a=1&key=mine&b=2", "", "",
			func(r faults.Request) string { return r.Target }, "/x?a=1&b=2&key=" + secret,
		},
		{
			"path", `credential "path" { token = env("SECRET") }`, "/getMe?a=1", "", "",
			func(r faults.Request) string { return r.Target }, "/bot" + secret + "/getMe?a=1",
		},
		{"body as form", `credential "body" { fields = { secret = env("SECRET") } }`, "/x", "a=1&secret=mine", form, bodyOf, "a=1&secret=" + secret},
		{"body as json", `credential "body" { fields = { secret = env("SECRET") } }`, "/x", `{"a":1,"secret":"mine"}`, json, bodyOf, `{"a":1,"secret":"` + secret + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			provider := upstream(t, faults.Config{})
			policy := "provider \"p\" {\n hosts = [\"api.p.test\"]\n upstream = \"" + provider.URL() + "\"\n " + tt.block + "\n}\n"
			p := harness.Start(t, harness.Files{"p.hcl": policy}, harness.WithEnv("SECRET", secret))
			method := http.MethodGet
			if tt.body != "" {
				method = http.MethodPost
			}
			header := []string{"Authorization", "Bearer mine", "X-Api-Key", "mine"}
			if tt.ctype != "" {
				header = append(header, "Content-Type", tt.ctype)
			}
			a := call(t, p.Client(false), method, "https://api.p.test"+tt.target, tt.body, header...)
			sent := provider.Requests()
			if a.Status != 200 || len(sent) != 1 {
				t.Fatalf("%d %s, %d sends", a.Status, a.Body, len(sent))
			}
			if got := tt.where(sent[0]); got != tt.want {
				t.Errorf("the provider was sent %q, want %q", got, tt.want)
			}
		})
	}
}

func headerOf(name string) func(faults.Request) string {
	return func(r faults.Request) string { return strings.Join(r.Header.Values(name), " and ") }
}

func bodyOf(r faults.Request) string { return string(r.Body) }
