package admin

import (
	"regexp"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	l.granted("acme", "<script>a")
	l.granted("acme", "b")
	l.checks["store"] = errDown
	a := l.ask("GET", "/", "")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, want := range []string{
		"1.2.3 (abc)", "Configuration 3, loaded 2001-09-09", "127.0.0.1:8080", "api.stripe.com", "&lt;script&gt;alert(1)&lt;/script&gt;",
		"<td>github</td><td><code>/github</code></td>", `<td>acme</td><td class="count">0</td><td class="count">2</td><td class="count">0</td>`, `<th scope="col">needs reconnect</th>`, `<td class="count bad">3</td>`, `<th scope="col">Waits since</th>`, "not ready", "store: disk /var/lib is full", `href="/api/v1/openapi.json"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q in\n%s", want, a.body)
		}
	}
	// What the Content-Security-Policy would block has no place in the page.
	if inline := regexp.MustCompile(`(?i)<script|<style|\son\w+=|\sstyle=|javascript:|https?://|<iframe|<form`).FindString(a.body); inline != "" {
		t.Errorf("the page has %q", inline)
	}
	for _, link := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		if got := l.ask("GET", link[1], ""); got.StatusCode != 200 && link[1] != "/readyz?verbose" {
			t.Errorf("%s: %d", link[1], got.StatusCode)
		}
	}
	if css := l.ask("GET", "/style.css", ""); css.Header.Get("Content-Type") != "text/css; charset=utf-8" || strings.Contains(css.body, "url(") || strings.Contains(css.body, "@import") {
		t.Errorf("%s %.80s", css.Header.Get("Content-Type"), css.body)
	}
}
