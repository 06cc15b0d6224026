// Package browser drives Debian's Chromium, headless and cut off from all but this machine, as a person would: it
// visits, types and clicks.
package browser

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/postern-proxy/postern/e2e/harness"
)

// within is how long one step may take.
const within = 30 * time.Second

// Browser is one person's browser. It has no cookies of any other.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Open starts Chromium with an empty profile. The test is skipped where it is not installed. It ends with the test.
func Open(t testing.TB) *Browser {
	t.Helper()
	allocator, cancel := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(harness.NeedCommand(t, "chromium")), chromedp.NoInheritEnv,
		chromedp.Env("PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "LANG=C.UTF-8"),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"), // no name is looked up
	)
	t.Cleanup(cancel)
	return open(t, allocator)
}

// Another is somebody else's browser, in the same process.
func (b *Browser) Another() *Browser {
	b.t.Helper()
	return open(b.t, b.ctx, chromedp.WithNewBrowserContext())
}

func open(t testing.TB, parent context.Context, opts ...chromedp.ContextOption) *Browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, opts...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, and lives as long as its context
		t.Fatalf("starting chromium: %v", err)
	}
	return &Browser{t: t, ctx: ctx}
}

// Visit goes to an address, returns when the page to which that leads is there, and says with which status.
func (b *Browser) Visit(address string) int {
	b.t.Helper()
	return b.arrive("visiting "+address, chromedp.Navigate(address))
}

// Click clicks what a CSS selector finds, and is otherwise like Visit.
func (b *Browser) Click(selector string) int {
	b.t.Helper()
	return b.arrive("clicking "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

func (b *Browser) arrive(what string, action chromedp.Action[chromedp.Void]) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, action)
	if err != nil {
		b.t.Fatalf("browser: %s: %v", what, err)
	}
	return int(resp.Status)
}

// Type writes into the field that a CSS selector finds.
func (b *Browser) Type(selector, text string) {
	b.t.Helper()
	do(b, "typing into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// At is the address that the browser shows.
func (b *Browser) At() string {
	b.t.Helper()
	return do(b, "reading the address", chromedp.Location())
}

// Text is what the page says.
func (b *Browser) Text() string {
	b.t.Helper()
	return strings.TrimSpace(do(b, "reading the page", chromedp.Text(chromedp.CSS("body"))))
}

func do[T any](b *Browser, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	got, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("browser: %s: %v", what, err)
	}
	return got
}

// Resize makes the window so wide and high, in CSS pixels.
func (b *Browser) Resize(width, height int64) {
	b.t.Helper()
	do(b, "resizing the window", chromedp.EmulateViewport(width, height))
}

// Holds reports what a condition in JavaScript is on the page.
func (b *Browser) Holds(condition string) bool {
	b.t.Helper()
	return do(b, "evaluating "+condition, chromedp.Evaluate[bool]("Boolean("+condition+")"))
}
