package admin

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/outbox"
)

//go:embed frame.html page.html page_inbox.html page_event.html
var pageFiles embed.FS

//go:embed style.css
var styleText []byte

// pages are parsed once; they are never changed. Whatever came from outside is text
// in them, and isolated (bdi), so that it cannot turn the text around it.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"when":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"moment": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
	"state":  func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	// person says that a delivery in this state waits for somebody.
	"person": func(s string) bool {
		return slices.Contains([]inbound.State{inbound.Failed, inbound.Quarantined, inbound.Conflict}, inbound.State(s))
	},
	"open":  func(s string) bool { return inbound.State(s).Open() },
	"for":   func(seconds float64) string { return (time.Duration(seconds) * time.Second).String() },
	"brief": brief,
	"ago":   ago,
}).ParseFS(pageFiles, "*.html"))

// brief is text of others, as much of it as a page has room for.
func brief(s string) string {
	const most = 300
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// ago words how long before b a was, or after.
func ago(b, a time.Time) string {
	if d := b.Sub(a).Round(100 * time.Millisecond); d >= 0 {
		return d.String() + " before it was received"
	}
	return a.Sub(b).Round(100*time.Millisecond).String() + " after it was received, by the sender's clock"
}

// frame is what all pages show.
type frame struct {
	Title   string
	Status  Status
	Trouble string // why the rest is missing
}

type view struct {
	frame
	States    []inbound.State
	Providers []Provider
	Webhooks  []Webhook

	Grants      []grants
	GrantStates []connection.State
	Calls       []keptCalls
	CallStates  []outbox.State

	Groups     []Group // of what is in quarantine
	MoreGroups int     // that are not shown
	Oversight  Oversight
}

// grants is how the connections of one provider stand.
type grants struct {
	Provider string
	Counts   map[connection.State]int
}

// grantsNow counts the connections of the providers that have any, or could.
func (s *Server) grantsNow(ctx context.Context) ([]grants, error) {
	stats, err := s.opt.Keeper.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("count the connections: %w", err)
	}
	counts := map[string]map[connection.State]int{}
	of := func(provider string) map[connection.State]int {
		if counts[provider] == nil {
			counts[provider] = map[connection.State]int{}
		}
		return counts[provider]
	}
	for _, name := range s.opt.Policy().Providers() {
		if len(s.opt.Keeper.Sources(name)) > 0 {
			of(name)
		}
	}
	for _, st := range stats {
		of(st.Provider)[st.State] += st.Count
	}
	list := []grants{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, grants{name, counts[name]})
	}
	return list, nil
}

// keptCalls says how the calls of a provider that the outbox keeps stand.
type keptCalls struct {
	Provider string
	Counts   map[outbox.State]int
}

// callsNow counts the calls of each provider; callbacks are not counted.
func (s *Server) callsNow(ctx context.Context) (list []keptCalls, err error) {
	stats, err := s.opt.Outbox.Stats(ctx)
	if err != nil {
		return nil, err
	}
	for _, st := range stats {
		if st.Kind == outbox.Callback {
			continue
		}
		i := slices.IndexFunc(list, func(k keptCalls) bool { return k.Provider == st.Provider })
		if i < 0 {
			i = len(list)
			list = append(list, keptCalls{st.Provider, map[outbox.State]int{}})
		}
		list[i].Counts[st.State] += st.Count
	}
	return list, nil
}

// Keys reports whether there are any.
func (v *view) Keys() bool {
	return slices.ContainsFunc(v.Providers, func(p Provider) bool { return len(p.Keys) > 0 })
}

// noStore is what a page says that could not be filled in.
const noStore = "The store does not answer; the log says why."

// page says what is running.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	v := view{frame: frame{Status: s.statusNow(r.Context())}, States: inbound.States[:], CallStates: outbox.States[:], Providers: s.providersNow(), GrantStates: connection.States()}
	if err := s.fill(r.Context(), &v); err != nil {
		s.opt.Log.Error("the admin page is incomplete", "error", err)
		v.Trouble = noStore
	}
	s.write(w, r, http.StatusOK, "page.html", &v)
}

// mostGroups is how many groups of misfits the first page shows.
const mostGroups = 10

// fill reads what the first page shows of the store.
func (s *Server) fill(ctx context.Context, v *view) error {
	var errs [5]error
	v.Grants, errs[0] = s.grantsNow(ctx)
	v.Webhooks, errs[1] = s.webhooksNow(ctx)
	v.Calls, errs[2] = s.callsNow(ctx)
	v.Groups, errs[3] = s.groupsNow(ctx, inbound.Filter{})
	v.Oversight, errs[4] = s.oversightNow(ctx)
	v.MoreGroups = max(0, len(v.Groups)-mostGroups)
	v.Groups = v.Groups[:len(v.Groups)-v.MoreGroups]
	return errors.Join(errs[:]...)
}

// write makes a page of a file and what it shows.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, file string, v any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, file, v); err != nil {
		s.fail(w, r, fmt.Errorf("make the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleText)
}
