package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/browser"
	"github.com/postern-proxy/postern/e2e/harness"
)

// hostile is what a sender might write for whoever looks at it. If any of it runs, the page says so.
var hostile = []string{
	`<script>document.documentElement.dataset.ran=1</script>`,
	`"><img src=x onerror="document.documentElement.dataset.ran=1">`,
	`'><svg onload='document.documentElement.dataset.ran=1'>`,
	`</bdi></td></table></dl><iframe srcdoc="<script>parent.document.documentElement.dataset.ran=1</script>">`,
	`javascript:document.documentElement.dataset.ran=1`,
	`" autofocus onfocus="document.documentElement.dataset.ran=1" x="`,
	`&lt;script&gt;document.documentElement.dataset.ran=1&lt;/script&gt;`,
	"{{.Status}} \u2028 \u202egnp.exe \u0000 </title><base href=//evil.example>",
	strings.Repeat("averylongword", 100),
}

// consolePolicy quarantines, ignores, splits and fails, as the body says.
const consolePolicy = `
webhook "hook" {
  path    = "/hook"
  headers = ["X-Kept"]
  verify "none" {}
  event {
    split   = body.events
    id      = item.id
    type    = item.type
    account = item.account
    key     = item.key
  }
  accept = item.live != false
  order {
    mode   = "lane"
    failed = "hold"
  }
  schema "*" { file = "thing.json" }
  deliver { to = %q }
}
`

// TestConsoleOfHostileWebhooks: whatever a webhook holds, and whatever the application answers, a person who looks at it in
// Chromium reads it, and nothing of it runs, leads away or stretches the page.
func TestConsoleOfHostileWebhooks(t *testing.T) {
	b := browser.Open(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, hostile[0]+hostile[1])
	}))
	defer app.Close()
	p := harness.Start(t, harness.Files{
		"hooks.hcl":  fmt.Sprintf(consolePolicy, app.URL),
		"thing.json": `{"properties": {"n": {"type": "integer"}}}`,
	})
	for i, text := range hostile {
		var events []map[string]any
		for j, more := range []map[string]any{{}, {"n": text}, {"live": false}} { // failed, quarantined, ignored
			more["id"], more["type"], more["account"], more["key"] = fmt.Sprintf("%s %d", text, j), text, text, text
			events = append(events, more)
		}
		body, err := json.Marshal(map[string]any{"events": events})
		if err != nil {
			t.Fatal(err)
		}
		kept := strings.Map(func(c rune) rune {
			if c < ' ' {
				return ' '
			}
			return c
		}, text)
		mustSend(t, p.Inbound, fmt.Sprint("batch ", i), post{Path: "/hook", Body: string(body)}.with("Content-Type", "application/json").with("X-Kept", kept), http.StatusOK)
	}
	events := listed(t, p, "failed", len(hostile))
	for _, size := range [][2]int64{{1280, 900}, {400, 900}} {
		b.Resize(size[0], size[1])
		paths := []string{"/", "/inbox", "/inbox?limit=5", "/inbox?status=ignored", "/inbox?colour=%3Cscript%3E"}
		for _, e := range events {
			paths = append(paths, "/inbox/"+e)
		}
		for _, path := range paths {
			b.Visit("http://" + p.Admin + path)
			harmless(t, b, fmt.Sprintf("%s at %d", path, size[0]))
		}
	}
	b.Visit("http://" + p.Admin + "/inbox?status=failed")
	if status := b.Click("td.time a"); status != http.StatusOK || !strings.Contains(b.Text(), "Verification") || !strings.Contains(b.Text(), "Parent") {
		t.Errorf("the page of an event: %d at %s: %s", status, b.At(), b.Text())
	}
	b.Visit("http://" + p.Admin + "/inbox/" + events[len(events)-1]) // the first that came
	if text := b.Text(); !strings.Contains(text, hostile[0]) || !strings.Contains(text, "422 Unprocessable Entity") || !strings.Contains(text, "holding") {
		t.Errorf("what came is not to be read: %s", text)
	}
}

// listed waits until n events are in a state, and returns their ids, the newest first.
func listed(t *testing.T, p *harness.Postern, state string, n int) (ids []string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, body, err := p.Get("/api/v1/inbox/events?status=" + state)
		var page struct{ Events []struct{ ID string } }
		if err == nil {
			err = json.Unmarshal([]byte(body), &page)
		}
		if err == nil && len(page.Events) == n {
			for _, e := range page.Events {
				ids = append(ids, e.ID)
			}
			return ids
		}
		if time.Now().After(end) {
			t.Fatalf("%d events are %s, want %d (%v)", len(page.Events), state, n, err)
		}
	}
}

// harmless looks at the page as the browser has built it.
func harmless(t *testing.T, b *browser.Browser, what string) {
	t.Helper()
	for name, condition := range map[string]string{
		"something ran":                  `!document.documentElement.dataset.ran`,
		"there is an element of theirs":  `!document.querySelector('script, img, svg, iframe, base, form, input, object, embed, [onerror], [onload], [onfocus], [autofocus], [style]')`,
		"a link leads away":              `[...document.links].every(a => a.origin === location.origin)`,
		"there is no page":               `document.querySelector('main section h2')`,
		"the page is wider than window":  `document.documentElement.scrollWidth <= innerWidth`,
		"the style sheet was not loaded": `document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 5`,
	} {
		if !b.Holds(condition) {
			t.Errorf("%s: %s: %.300s", what, name, b.Text())
		}
	}
}
