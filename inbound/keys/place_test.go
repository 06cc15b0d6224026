package keys

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// FuzzPlace: what is found is at the host, over https, without a user, whatever
// was written.
func FuzzPlace(f *testing.F) {
	p := Place{Host: regexp.MustCompile(`^sns\.[a-z0-9-]+\.amazonaws\.com$`), Path: regexp.MustCompile(`^/[a-z]+\.pem$`)}
	for _, seed := range []string{
		"https://sns.us-west-2.amazonaws.com/x.pem", "https://sns.us-west-2.amazonaws.com@evil/x.pem", `https://evil\@sns.us-west-2.amazonaws.com/x.pem`, "https://sns.us-west-2.amazonaws.com:443/x.pem",
		"https://sns.us-west-2.amazonaws.com/x.pem#", "HTTPS://sns.a.amazonaws.com/x.pem", "https://sns.a.amazonaws.com%2eevil/x.pem", "https://[::1]/x.pem",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := p.Find(raw)
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Scheme != "https" || again.User != nil || again.RawQuery != "" || again.Fragment != "" || !strings.HasSuffix(again.Hostname(), ".amazonaws.com") || !strings.HasPrefix(again.Hostname(), "sns.") {
			t.Errorf("%q leads to %v", raw, again)
		}
	})
}
