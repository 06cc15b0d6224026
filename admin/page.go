package admin

import (
	"bytes"
	_ "embed" // for the page and its style
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText []byte

// pageTemplate is parsed once; it is never changed.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"state": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"for":   func(seconds float64) string { return (time.Duration(seconds) * time.Second).String() },
}).Parse(pageText))

type view struct {
	Status    Status
	States    []inbound.State
	Providers []Provider
	Webhooks  []Webhook
	Trouble   string // why there are no webhooks
}

// Keys reports whether there are any.
func (v *view) Keys() bool {
	return slices.ContainsFunc(v.Providers, func(p Provider) bool { return len(p.Keys) > 0 })
}

// page says what is running. It shows names of the policy and counts, never
// anything that came in from outside.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	v := view{Status: s.statusNow(r.Context()), States: inbound.States[:], Providers: s.providersNow()}
	var err error
	if v.Webhooks, err = s.webhooksNow(r.Context()); err != nil {
		s.opt.Log.Error("the admin page is incomplete", "error", err)
		v.Trouble = "The store does not answer; the log says why."
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, &v); err != nil {
		s.fail(w, r, fmt.Errorf("make the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleText)
}
