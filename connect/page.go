package connect

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed *.html
var pageFiles embed.FS

// pageTemplates are parsed once and never changed.
var pageTemplates = template.Must(template.ParseFS(pageFiles, "*.html"))

// The pages.
const (
	pageLink    = "link.html"
	pageDone    = "done.html"
	pageRefusal = "refusal.html"
)

// view is what a page shows. What comes from outside is the account's name, and
// the names in a policy.
type view struct {
	Title   string // of the application; may be ""
	Heading string

	Provider, Account string
	Initial           string // of Provider
	Scopes            []string
	At                string // the host of the provider that comes next

	Text string
	Back string // where the application is
	ID   string // correlation id
}

// show answers with a page.
func (s *Server) show(w http.ResponseWriter, status int, page string, v *view) {
	v.Title = s.config.Load().Title
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, page, v); err != nil {
		s.opt.Log.Error("a page of the connect listener cannot be made", "error", err)
		status = http.StatusInternalServerError
		b.Reset()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
