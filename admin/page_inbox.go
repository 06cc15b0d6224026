package admin

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/postern-proxy/postern/inbound"
)

// inboxView is a page of the list of events.
type inboxView struct {
	frame
	States []stateLink
	Chosen []chosen
	Events []Event
	Next   string // address of the next page, "" on the last
}

// stateLink leads to the same list of one state, or of all.
type stateLink struct {
	Name, Target string
	Here         bool
}

// chosen is a condition of the list, and the address of the list without it.
type chosen struct{ Name, Value, Without string }

// inboxPage lists events, by the parameters that the API has.
func (s *Server) inboxPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := inboxView{frame: frame{Title: "inbox", Status: s.statusNow(r.Context())}}
	f, err := s.listFilter(q)
	var page inbound.Page
	if err == nil {
		v.States, v.Chosen = stateLinks(q), conditions(q)
		page, err = s.opt.Inbox.List(r.Context(), f)
		if err != nil {
			err = badCursor("list", err)
		}
	}
	status := s.trouble(&v.frame, err)
	for i := range page.Events {
		v.Events = append(v.Events, event(&page.Events[i]))
	}
	if page.Next != "" {
		v.Next = inboxAt(q, "cursor", page.Next)
	}
	s.write(w, r, status, "page_inbox.html", &v)
}

// trouble puts on a page why it shows nothing, and returns its status.
func (s *Server) trouble(f *frame, err error) int {
	p := (*Problem)(nil)
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &p):
		f.Trouble = p.Detail
		return p.Status
	}
	s.opt.Log.Error("the admin page is incomplete", "error", err)
	f.Trouble = noStore
	return http.StatusServiceUnavailable
}

// inboxAt is the address of a list with one parameter changed, "" for none, from its
// beginning if that is not the cursor.
func inboxAt(q url.Values, name, value string) string {
	out := url.Values{}
	for k, v := range q {
		if k != name && k != "cursor" {
			out[k] = v
		}
	}
	if value != "" {
		out.Set(name, value)
	}
	if len(out) == 0 {
		return "/inbox"
	}
	return "/inbox?" + out.Encode()
}

func stateLinks(q url.Values) []stateLink {
	links := []stateLink{{"all", inboxAt(q, "status", ""), q.Get("status") == ""}}
	for _, s := range inbound.States {
		links = append(links, stateLink{string(s), inboxAt(q, "status", string(s)), q.Get("status") == string(s)})
	}
	return links
}

// conditions are those of a list beside the state, which has links of its own.
func conditions(q url.Values) (list []chosen) {
	for _, p := range filterParams {
		if p.name == "status" || p.name == "limit" || p.name == "cursor" {
			continue
		}
		for _, value := range q[p.name] {
			list = append(list, chosen{p.name, value, inboxAt(q, p.name, "")})
		}
	}
	return list
}

// eventView is the page of one event.
type eventView struct {
	frame
	Event *Event
}

// eventPage shows one event: how it was verified, where its deliveries stand, and
// all that happened to it.
func (s *Server) eventPage(w http.ResponseWriter, r *http.Request) {
	v := eventView{frame: frame{Title: "event", Status: s.statusNow(r.Context())}}
	rec, err := s.opt.Inbox.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		s.write(w, r, s.trouble(&v.frame, missingEvent(err)), "page_event.html", &v)
		return
	}
	e := event(rec)
	v.Event = &e
	s.write(w, r, http.StatusOK, "page_event.html", &v)
}
