package e2e

import (
	"net/http"
	"os"
	"testing"

	"github.com/postern-proxy/postern/e2e/harness"
)

// TestPeersAlone runs every application against the provider without Postern between them: what fails here is not
// Postern's doing.
func TestPeersAlone(t *testing.T) {
	ca := authority(t)
	cfg := stripeBackend(t)
	cfg.CA = ca
	provider := upstream(t, cfg)
	for _, a := range apps {
		t.Run(a.name, func(t *testing.T) {
			command := a.command(t)
			provider.Forget()
			env := []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + ca.File,
				"NODE_EXTRA_CA_CERTS=" + ca.File, "REQUESTS_CA_BUNDLE=" + ca.File, "CURL_CA_BUNDLE=" + ca.File,
			}
			args := append(command[1:], "jenny@example.com", provider.URL(), "sk_test_123")
			rep := parseReport(t, harness.Run(t.Context(), env, t.TempDir(), command[0], args...))
			if rep.Created.Status != 200 || rep.Read.Status != 200 || rep.Created.ID == "" || rep.Read.ID != rep.Created.ID {
				t.Fatalf("report: %+v", rep)
			}
			sent := provider.Requests()
			if len(sent) != 2 || sent[0].Method != http.MethodPost || sent[1].Method != http.MethodGet {
				t.Fatalf("sends: %+v", sent)
			}
			for _, r := range sent {
				if got := r.Header.Get("Authorization"); got != "Bearer sk_test_123" {
					t.Errorf("%s Authorization %q", r.Method, got)
				}
				t.Log(r.Proto, r.Method, r.Target, r.Header)
			}
			t.Logf("%+v", rep)
		})
	}
}
