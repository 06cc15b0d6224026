package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Reconcile is a reconcile block: how a provider is asked what it has sent.
// Package oversight asks.
type Reconcile struct {
	Range    hcl.Range              `hcl:",def_range"`
	Every    block.Duration         `hcl:"every,optional"`
	List     *block.Expr            `hcl:"list" scope:"reconcile" encode:"path"` // path and query of the first page
	Method   string                 `hcl:"method,optional"`
	JSON     *block.Expr            `hcl:"json,optional" scope:"reconcile"` // body of the question
	Header   map[string]*block.Expr `hcl:"header,optional" scope:"reconcile"`
	Host     *block.Expr            `hcl:"host,optional" scope:"reconcile"` // where the provider has many
	Events   *block.Expr            `hcl:"events" scope:"reconcile"`        // the items of a page
	Next     *block.Expr            `hcl:"next,optional" scope:"reconcile" encode:"url"`
	Cursor   *block.Expr            `hcl:"cursor,optional" scope:"reconcile"`              // kept for the next run
	Expired  *block.Expr            `hcl:"expired,optional" scope:"reconcile" type:"bool"` // the provider does not know the cursor any more
	Wake     *block.Expr            `hcl:"wake,optional" scope:"event" type:"bool"`        // the event says only that there is something new
	Unit     Unit                   `hcl:"unit,optional"`                                  // how since is written
	Overlap  block.Duration         `hcl:"overlap,optional"`
	Settle   block.Duration         `hcl:"settle,optional"` // what is younger is not missing yet
	Window   block.Duration         `hcl:"window,optional"` // how far back the provider's list goes; 0 is for ever
	Pages    int                    `hcl:"pages,optional"`  // in one run, at most
	Types    []string               `hcl:"types,optional"`  // what the list has; a star at the end stands for anything
	Accounts bool                   `hcl:"accounts,optional"`
	Params   map[string]string      `hcl:"params,optional"`
	Get      *block.Expr            `hcl:"get,optional" scope:"item" encode:"path"`
	Body     *block.Expr            `hcl:"body,optional" scope:"item"`
	Event    *ListedEvent           `hcl:"event,block"`
}

// ListedEvent is an event block in a reconcile block: what a list says of an event
// in words other than those of the webhook.
type ListedEvent struct {
	ID      *block.Expr            `hcl:"id,optional" scope:"item"`
	Type    *block.Expr            `hcl:"type,optional" scope:"item"`
	Account *block.Expr            `hcl:"account,optional" scope:"item"`
	Time    *block.Expr            `hcl:"time,optional" scope:"item"`
	Key     *block.Expr            `hcl:"key,optional" scope:"item"`
	Unit    Unit                   `hcl:"unit,optional"`
	Header  map[string]*block.Expr `hcl:"header,optional" scope:"item"` // that a push would have had
}

// Default sets how often, how far back and how much.
func (r *Reconcile) Default() {
	r.Every.Duration, r.Overlap.Duration, r.Settle.Duration = 15*time.Minute, time.Hour, 2*time.Minute
	r.Method, r.Unit, r.Pages = "GET", Seconds, 100
}

// Default sets the unit.
func (e *ListedEvent) Default() { e.Unit = RFC3339 }

// Check implements [block.Checker].
func (r *Reconcile) Check() error {
	var errs []error
	if r.Every.Duration < time.Second {
		errs = append(errs, block.At("every", "every must be a second at least"))
	}
	if r.Overlap.Duration < 0 || r.Settle.Duration < 0 || r.Window.Duration < 0 {
		errs = append(errs, errors.New("overlap, settle and window must not be less than nothing"))
	}
	if r.Window.Duration > 0 && r.Window.Duration <= r.Overlap.Duration+r.Settle.Duration {
		errs = append(errs, block.At("window", "window must be longer than overlap and settle together, or nothing new would be seen"))
	}
	if r.Pages < 1 || r.Pages > 10_000 {
		errs = append(errs, block.At("pages", "pages must be between 1 and 10000"))
	}
	if r.Method != "GET" && r.Method != "POST" {
		errs = append(errs, block.At("method", "method must be GET or POST"))
	}
	if r.JSON != nil && r.Method != "POST" {
		errs = append(errs, block.At("json", `json is the body of a POST: write method = "POST"`))
	}
	for attr, x := range map[string]*block.Expr{"expired": r.Expired, "wake": r.Wake} {
		if x != nil && r.Cursor == nil {
			errs = append(errs, block.At(attr, "%s is for a list that goes on from a position: say by cursor where that is", attr))
		}
	}
	if r.Get != nil && r.Body == nil {
		errs = append(errs, block.At("get", "get fetches what the list does not have: say where the body is by body, such as response.body.payload"))
	}
	return errors.Join(append(errs, missingParams(r.Params, r.exprs())...)...)
}

// exprs are the expressions of r by attribute.
func (r *Reconcile) exprs() map[string][]*block.Expr {
	all := map[string][]*block.Expr{
		"list": {r.List}, "json": {r.JSON}, "host": {r.Host}, "events": {r.Events}, "next": {r.Next}, "cursor": {r.Cursor}, "expired": {r.Expired}, "get": {r.Get}, "body": {r.Body},
		"header": slices.Collect(maps.Values(r.Header)),
	}
	if e := r.Event; e != nil {
		all["event"] = append(slices.Collect(maps.Values(e.Header)), e.ID, e.Type, e.Account, e.Time, e.Key)
	}
	return all
}

// Asks tells one way of asking from another: where, and how it goes on.
func (r *Reconcile) Asks() string {
	words := []string{r.Method}
	add := func(x *block.Expr) {
		if x == nil {
			words = append(words, "")
			return
		}
		words = append(words, x.Source())
	}
	for _, x := range []*block.Expr{r.List, r.JSON, r.Host, r.Next, r.Cursor} {
		add(x)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		words = append(words, name)
		add(r.Header[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		words = append(words, name, r.Params[name])
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", words))
	return hex.EncodeToString(sum[:8])
}

// missingParams says which params expressions use that are not given: a catalogue
// entry cannot know them.
func missingParams(given map[string]string, all map[string][]*block.Expr) (errs []error) {
	told := map[string]bool{}
	for _, attr := range slices.Sorted(maps.Keys(all)) {
		for _, x := range all[attr] {
			if x == nil {
				continue
			}
			for _, ref := range x.Refs() {
				if ref.Name != "params" || ref.Key == "" || told[ref.Key] || given[ref.Key] != "" {
					continue
				}
				told[ref.Key] = true
				at := attr
				if given != nil {
					at = "params"
				}
				errs = append(errs, block.At(at, "%s uses params.%s, which only you know: write params = { %s = \"...\" }, with all that it needs", attr, ref.Key, ref.Key))
			}
		}
	}
	return errs
}

// checkReconcile checks what r needs of its webhook.
func (w *Webhook) checkReconcile() (errs []error) {
	r := w.Reconcile
	if r == nil {
		return nil
	}
	if w.Provider == "" {
		errs = append(errs, block.At("reconcile", "reconcile asks a provider: say whose webhook this is by provider"))
	}
	if (w.Event == nil || w.Event.ID == nil) && (r.Event == nil || r.Event.ID == nil) {
		errs = append(errs, block.At("reconcile", "events of a list are told from those that were sent by their id: say where it is by id in an event block"))
	}
	return errs
}

// Covers reports whether the list has events of this type.
func (r *Reconcile) Covers(kind string) bool {
	return len(r.Types) == 0 || slices.ContainsFunc(r.Types, func(p string) bool {
		prefix, star := strings.CutSuffix(p, "*")
		return p == kind || star && strings.HasPrefix(kind, prefix)
	})
}

// Format writes a time as a provider does.
func (u Unit) Format(t time.Time) string {
	switch u {
	case RFC3339:
		return t.UTC().Format(time.RFC3339)
	case Millis:
		return fmt.Sprint(t.UnixMilli())
	}
	return fmt.Sprint(t.Unix())
}

// Parse reads a time as a provider writes it; zero if it is none.
func (u Unit) Parse(s string) time.Time { return u.parse(s) }
