package admin

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
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
		`<td><a href="/inbox?webhook=github">github</a></td><td><code>/github</code></td>`, `<td>acme</td><td class="count">0</td><td class="count">2</td><td class="count">0</td>`, `<th scope="col">needs reconnect</th>`, `<td class="count bad"><a href="/inbox?webhook=github&amp;status=failed">3</a></td>`, `<th scope="col">Waits since</th>`, "not ready", "store: disk /var/lib is full", `href="/api/v1/openapi.json"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q in\n%s", want, a.body)
		}
	}
	l.isClean(a.body)
	if css := l.ask("GET", "/style.css", ""); css.Header.Get("Content-Type") != "text/css; charset=utf-8" || strings.Contains(css.body, "url(") || strings.Contains(css.body, "@import") {
		t.Errorf("%s %.80s", css.Header.Get("Content-Type"), css.body)
	}
}

// isClean looks for what the Content-Security-Policy would block, which has no place
// in a page, and follows the links of a page.
func (l *listener) isClean(body string) {
	l.t.Helper()
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(body, -1) {
		if regexp.MustCompile(`(?i)^<(script|style|svg|img|iframe|form|b>)|\son\w+=|\sstyle=|"\s*javascript:|https?://`).MatchString(tag) {
			l.t.Errorf("the page has %.200q", tag)
		}
	}
	for _, link := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if got := l.ask("GET", html.UnescapeString(link[1]), ""); got.StatusCode != 200 && link[1] != "/readyz?verbose" {
			l.t.Errorf("%s: %d", link[1], got.StatusCode)
		}
	}
}

// says are the pages that have to hold texts, and may not hold others, which begin
// with an exclamation mark.
func (l *listener) says(path string, texts ...string) {
	l.t.Helper()
	a := l.ask("GET", path, "")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		l.t.Errorf("%s: %d %s", path, a.StatusCode, a.Header.Get("Content-Type"))
	}
	l.isClean(a.body)
	for _, text := range texts {
		if no, found := strings.CutPrefix(text, "!"); found == strings.Contains(a.body, no) {
			l.t.Errorf("%s: is it not so that there is %q?\n%s", path, text, a.body)
		}
	}
}

// stored stores an event in a state.
func (l *listener) stored(e inbound.Event, to ...inbound.Placement) {
	l.t.Helper()
	e.Received, e.Size = time.Date(2026, 11, 29, 12, 0, 2, 0, time.UTC), len(e.Body)
	if err := l.store.Insert(l.t.Context(), &inbound.Arrival{Event: &e, To: to}); err != nil {
		l.t.Fatal(err)
	}
}

// TestInboxPages: what is held back and why, which event another is an item of, how
// one was verified, and where its deliveries stand.
func TestInboxPages(t *testing.T) {
	l := serve(t, `admin {}`)
	l.stored(inbound.Event{ID: "batch", Webhook: "github", EventID: "b", Items: 2, Body: []byte("[{},{}]")})
	l.stored(inbound.Event{
		ID: "item", Webhook: "github", EventID: "b/1", Weak: true, Parent: "batch", Misfit: "f00d", Type: "push", Verified: true, Body: []byte("{}"),
		Proof: inbound.Proof{Scheme: "github", Key: "0a1b2c3d", Signed: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), Partial: true, Late: true},
	}, inbound.Placement{Target: "github", State: inbound.Quarantined, Reason: "does not fit push.json: /a: required"})
	l.stored(inbound.Event{ID: "no", Webhook: "slack", EventID: "n", Type: "test"},
		inbound.Placement{Target: "slack/one", State: inbound.Ignored, Reason: "not accepted: body.live at hooks.hcl:7"}, inbound.Placement{Target: "slack/two"})
	l.says("/", `<td class="bad"><a href="/inbox?webhook=github&amp;status=quarantined&amp;misfit=f00d">1</a></td>`, "does not fit push.json: /a: required", `<a href="/inbox/item">newest</a>`)
	l.says("/inbox", "not accepted: body.live at hooks.hcl:7", "does not fit push.json", `href="/inbox?status=ignored"`, "!Only ", "!batch")
	l.says("/inbox?webhook=slack&status=ignored", `<a href="/inbox?status=ignored&amp;webhook=slack" aria-current="true">ignored</a>`, "Only webhook <bdi>slack</bdi> (<a href=\"/inbox?status=ignored\">any</a>)", "slack/one: ", "!push.json")
	l.says("/inbox?limit=1", `<a href="/inbox?cursor=`, "&amp;limit=1\" rel=\"next\">Older ones</a>")
	l.says("/inbox?type=none", "<p>None.</p>")
	l.says("/inbox/item", `<a href="/inbox/batch"><code>batch</code></a>, of which`, "0a1b2c3d", "2026-11-29 12:00:00 UTC, 2s before it was received", "not the whole body", "should not be in use", "(weak:", `<a href="/inbox?misfit=f00d">`)
	l.says("/inbox/batch", "2: it brought so many events", "Not verified", "!Deliveries", "!weak")
	l.says("/inbox/no", "not accepted: body.live", "!Parent")
	for path, status := range map[string]int{"/inbox/none": 404, "/inbox?status=lost": 400, "/inbox?colour=red": 400, "/inbox?cursor=x": 400} {
		a := l.ask("GET", path, "")
		if a.StatusCode != status || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.body, `<p class="bad">`) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// TestEventPageOfALane: what has stepped aside, and what waits behind it.
func TestEventPageOfALane(t *testing.T) {
	l := serve(t, `admin {}`)
	for i := range 3 {
		l.insert(inbound.Event{ID: fmt.Sprintf("k%d", i), Webhook: "github", EventID: fmt.Sprint(i), Lane: "a"}, "github")
	}
	items, _, err := l.store.Claim(t.Context(), map[string]int{"github": 10}, time.Minute)
	if err != nil || len(items) != 1 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	if err := l.store.Finish(t.Context(), items[0].Lease, inbound.Move{To: inbound.Retrying, Stand: inbound.Aside, Due: time.Now().Add(time.Hour), Status: 503, Reason: "503", Detail: "<b>locked"}); err != nil {
		t.Fatal(err)
	}
	l.says("/inbox/k0", "<td>aside</td>", "<code><bdi>&lt;b&gt;locked</bdi></code>")
	l.says("/inbox/k2", "behind others of its lane")
	l.says("/inbox", "<strong>aside</strong>: ")
}

// TestPagesOfEvil: whatever a webhook holds is text in a page.
func TestPagesOfEvil(t *testing.T) {
	l := serve(t, `admin {}`)
	for i, body := range evil {
		name := body[:min(len(body), 2000)]
		l.stored(inbound.Event{
			ID: fmt.Sprintf("x%d", i), Webhook: "github", EventID: name, Type: name, Account: name, Key: name, Misfit: "f00d", Verified: true,
			Proof: inbound.Proof{Scheme: name, Key: name}, Header: http.Header{"X-Kept": {name}},
		}, inbound.Placement{Target: "github", State: inbound.Quarantined, Reason: name})
		l.says(fmt.Sprintf("/inbox/x%d", i), "!\x00")
		l.says("/inbox?webhook=github&account="+url.QueryEscape(name), "Only ")
	}
	l.says("/", "Quarantine", "!alert(1)>")
	l.says("/inbox", "&lt;script&gt;alert(1)")
}

// TestPagesWithoutStore: a page says that the store does not answer.
func TestPagesWithoutStore(t *testing.T) {
	l := serve(t, `admin {}`)
	l.opt.Inbox = inbound.New(inbound.Options{Store: lost{l.store}})
	for path, status := range map[string]int{"/": 200, "/inbox": 503, "/inbox/x": 503} {
		if a := l.ask("GET", path, ""); a.StatusCode != status || !strings.Contains(a.body, "The store does not answer") || strings.Contains(a.body, errDown.Error()) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

// lost is a store that cannot be read.
type lost struct{ inbound.Store }

func (lost) List(context.Context, inbound.Filter) (inbound.Page, error) {
	return inbound.Page{}, errDown
}

func (lost) Show(context.Context, string) (*inbound.Record, error) { return nil, errDown }

func (lost) Stats(context.Context) ([]inbound.Stat, error) { return nil, errDown }
