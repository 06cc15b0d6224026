package admin

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

// list answers one page of events.
func (s *Server) list(r *http.Request) (any, error) {
	f, err := s.listFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Inbox.List(r.Context(), f)
	if err != nil {
		return nil, badCursor("list", err)
	}
	out := EventPage{Events: []Event{}, Next: page.Next}
	for i := range page.Events {
		out.Events = append(out.Events, event(&page.Events[i]))
	}
	return out, nil
}

// onlyKnown refuses a parameter that is not known: leaving it out would show more
// than was asked for.
func onlyKnown(q url.Values, known []param) error {
	for name, values := range q {
		if !slices.ContainsFunc(known, func(p param) bool { return p.name == name }) {
			return refuse(http.StatusBadRequest, "", "there is no parameter %q", name)
		}
		if len(values) > 1 && name != "webhook" {
			return refuse(http.StatusBadRequest, "", "%s is given more than once", name)
		}
	}
	return nil
}

// listFilter reads the parameters of a list.
func (s *Server) listFilter(q url.Values) (inbound.Filter, error) {
	f, err := s.queryFilter(q, filterParams)
	if err != nil {
		return inbound.Filter{}, err
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > inbound.MaxPage {
			return inbound.Filter{}, refuse(http.StatusBadRequest, "", "limit is not a number from 1 to %d", inbound.MaxPage)
		}
	}
	return s.filter(f, limit, q.Get("cursor"))
}

// filter words f for the inbox.
func (s *Server) filter(f *Filter, limit int, cursor string) (inbound.Filter, error) {
	out := inbound.Filter{
		IDs: f.IDs, Webhooks: f.Webhooks, Account: f.Account, Type: f.Type, EventID: f.EventID, Misfit: f.Misfit, State: inbound.State(f.Status),
		Since: f.Since, Until: f.Until, Error: f.Error, Limit: limit, Cursor: cursor,
	}
	if f.IDs != nil && len(f.IDs) == 0 || f.Webhooks != nil && len(f.Webhooks) == 0 {
		return out, refuse(http.StatusBadRequest, "Leave the list out to mean any.", "a list of ids or webhooks is empty, so no event matches")
	}
	if f.Status != "" && !slices.Contains(inbound.States[:], out.State) {
		return out, refuse(http.StatusBadRequest, "", "status is none of %v", inbound.States)
	}
	if f.Provider == "" {
		return out, nil
	}
	out.Webhooks = nil
	for _, h := range s.opt.Inbox.Webhooks() {
		if h.Provider == f.Provider && (len(f.Webhooks) == 0 || slices.Contains(f.Webhooks, h.Name)) {
			out.Webhooks = append(out.Webhooks, h.Name)
		}
	}
	if out.Webhooks == nil {
		return out, refuse(http.StatusBadRequest, "", "no webhook that is asked for has the provider %q", f.Provider)
	}
	return out, nil
}

// badCursor words the failure of something that was to be done to a page.
func badCursor(doing string, err error) error {
	if errors.Is(err, inbound.ErrCursor) {
		return refuse(http.StatusBadRequest, "Take it from next of the page before, or leave it out to begin.", "cursor is none that a page named")
	}
	return fmt.Errorf("%s the events: %w", doing, err)
}

// show answers one event.
func (s *Server) show(r *http.Request) (any, error) {
	rec, err := s.opt.Inbox.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, missingEvent(err)
	}
	return event(rec), nil
}

func missingEvent(err error) error {
	if errors.Is(err, inbound.ErrNotFound) {
		return refuse(http.StatusNotFound, "postern inbox list shows the ids.", "there is no event of this id")
	}
	if errors.Is(err, inbound.ErrEmptied) {
		return refuse(http.StatusGone, "store.retain_bodies and store.retain_size say how long bodies are kept.", "the body of this event was removed; what is known of it besides is there")
	}
	return fmt.Errorf("read the event: %w", err)
}

// raw answers the bytes of one event, as a file: whoever sent them must never
// decide how a browser treats them (claim C66).
func (s *Server) raw(w http.ResponseWriter, r *http.Request) {
	e, err := s.opt.Inbox.Body(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, missingEvent(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": e.ID + ".bin"}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(e.Body)))
	_, _ = w.Write(e.Body)
}

// act does a to one page of the events that match, or counts them all.
func (s *Server) act(a inbound.Action, r *http.Request) (any, error) {
	var ask Act
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	if reflect.ValueOf(ask.Filter).IsZero() && !ask.All {
		return nil, refuse(http.StatusBadRequest, `Name some, or send "all": true.`, "a filter without a condition means every event")
	}
	if ask.Limit < 0 || ask.Limit > inbound.MaxPage {
		return nil, refuse(http.StatusBadRequest, "", "limit is not a number from 0 to %d", inbound.MaxPage)
	}
	f, err := s.filter(&ask.Filter, ask.Limit, ask.Cursor)
	if err != nil {
		return nil, err
	}
	if ask.AsNew && a != inbound.ActReplay {
		return nil, refuse(http.StatusBadRequest, "", "as_new is for replay")
	}
	f.Until, f.Unmoved = bounded(f.Until, ask.Began), ask.Began
	if ask.DryRun {
		return s.dryRun(r.Context(), f)
	}
	do, name := func() (inbound.Acted, error) { return s.opt.Inbox.Act(r.Context(), a, f, by(r)) }, string(a)
	if ask.AsNew {
		do, name = func() (inbound.Acted, error) { return s.opt.Inbox.Anew(r.Context(), f, by(r)) }, "replay as new"
	}
	if ask.Force && a != inbound.ActRelease {
		return nil, refuse(http.StatusBadRequest, "Leave it out.", "force is for release")
	}
	misfits := 0
	if a == inbound.ActRelease {
		do = func() (inbound.Acted, error) {
			done, err := s.opt.Inbox.Release(r.Context(), f, by(r), ask.Force)
			misfits = done.Misfits
			return done.Acted, err
		}
	}
	done, err := do()
	if err != nil {
		return nil, badCursor(string(a), err)
	}
	did := Acted{Events: done.Events, Moved: len(done.Moved), Skipped: done.Skipped, Emptied: done.Emptied, Misfits: misfits, Next: done.Next}
	s.tellBulk(r.Context(), name, &ask, did, by(r))
	return did, nil
}

// by is who asked, for the audit trail.
func by(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "admin API, from " + host
}

// readJSON reads a body that is one JSON value, with no name in it that is not
// known.
func readJSON(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Send Content-Type: application/json.", "the body is not said to be JSON")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		err = errors.New("something follows the value")
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "", "the body is longer than %d bytes", tooLarge.Limit)
	}
	return refuse(http.StatusBadRequest, "", "the body is not what is asked for: %s", strings.TrimPrefix(err.Error(), "json: "))
}

func digest(sum [32]byte) string {
	if sum == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(sum[:])
}
