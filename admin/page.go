package admin

import (
	"bytes"
	"context"
	_ "embed" // for the page and its style
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/outbox"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText []byte

// pageTemplate is parsed once; it is never changed.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"state": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	// person says that a delivery in this state waits for somebody.
	"person": func(s inbound.State) bool {
		return s == inbound.Failed || s == inbound.Quarantined || s == inbound.Conflict
	},
	"for": func(seconds float64) string { return (time.Duration(seconds) * time.Second).String() },
}).Parse(pageText))

type view struct {
	Status    Status
	States    []inbound.State
	Providers []Provider
	Webhooks  []Webhook
	Trouble   string // why there are no webhooks and no connections

	Grants      []grants
	GrantStates []connection.State
	Calls       []keptCalls
	CallStates  []outbox.State
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

// page says what is running. It shows names of the policy and counts, never
// anything that came in from outside.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	v := view{Status: s.statusNow(r.Context()), States: inbound.States[:], CallStates: outbox.States[:], Providers: s.providersNow(), GrantStates: connection.States()}
	var err, failed error
	v.Grants, failed = s.grantsNow(r.Context())
	v.Webhooks, err = s.webhooksNow(r.Context())
	err = errors.Join(err, failed)
	v.Calls, failed = s.callsNow(r.Context())
	if err = errors.Join(err, failed); err != nil {
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
