package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/postern-proxy/postern/connection"
)

const (
	defaultConnections = 50
	maxConnections     = 1000
	historyShown       = 50
)

// connectSession asks for a link.
func (s *Server) connectSession(r *http.Request) (any, error) {
	var ask NewConnectSession
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	session, err := s.opt.Connect(r.Context(), ask, by(r))
	if err != nil {
		return nil, connectionProblem(err)
	}
	return session, nil
}

// connections answers one page of them.
func (s *Server) connections(r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, connectionParams); err != nil {
		return nil, err
	}
	f := connection.Filter{Provider: q.Get("provider"), Account: q.Get("account"), State: connection.State(q.Get("state")), Limit: defaultConnections}
	if f.State != "" && !f.State.Valid() {
		return nil, refuse(http.StatusBadRequest, "", "state is none of %v", connection.States())
	}
	var err error
	if text := q.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxConnections {
			return nil, refuse(http.StatusBadRequest, "", "limit is not a number from 1 to %d", maxConnections)
		}
	}
	if f.After, err = readKey(q.Get("cursor")); err != nil {
		return nil, err
	}
	views, err := s.opt.Keeper.Views(r.Context(), f)
	if err != nil {
		return nil, err
	}
	page := ConnectionPage{Connections: []Connection{}}
	for i := range views {
		page.Connections = append(page.Connections, grant(&views[i], nil))
	}
	if len(views) == f.Limit {
		page.Next = writeKey(views[len(views)-1].Key)
	}
	return page, nil
}

// connection answers one.
func (s *Server) connection(r *http.Request) (any, error) {
	key, err := s.pick(r)
	if err != nil {
		return nil, err
	}
	return s.shown(r.Context(), key)
}

func (s *Server) shown(ctx context.Context, key connection.Key) (any, error) {
	v, history, err := s.opt.Keeper.View(ctx, key, historyShown)
	if err != nil {
		return nil, connectionProblem(err)
	}
	return grant(&v, history), nil
}

// refresh has a new token asked for, in the caller's time but not at its mercy.
func (s *Server) refresh(r *http.Request) (any, error) {
	key, err := s.pick(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.opt.Keeper.Renew(context.WithoutCancel(r.Context()), key); err != nil {
		if p := connectionProblem(err); errors.As(p, new(*Problem)) {
			return nil, p
		}
		return nil, refuse(http.StatusBadGateway, "The history of the connection says what the provider answered.", "%v", err)
	}
	return s.shown(r.Context(), key)
}

// revoke ends a connection here, and at the provider as soon as it can be.
func (s *Server) revoke(r *http.Request) (any, error) {
	key, err := s.pick(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.opt.Keeper.Revoke(context.WithoutCancel(r.Context()), key, "revoked on request", by(r)); err != nil {
		return nil, connectionProblem(err)
	}
	return s.shown(r.Context(), key)
}

// pick finds the connection that a request is about.
func (s *Server) pick(r *http.Request) (connection.Key, error) {
	q := r.URL.Query()
	if err := known(q, pickParams); err != nil {
		return connection.Key{}, err
	}
	var account *string
	if q.Has("account") {
		name := q.Get("account")
		account = &name
	}
	key, err := s.opt.Keeper.Pick(r.Context(), r.PathValue("provider"), account, q.Get("credential"))
	if err != nil {
		return key, connectionProblem(err)
	}
	return key, nil
}

// exported answers one page of sealed connections.
func (s *Server) exported(r *http.Request) (any, error) {
	var ask Export
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	if ask.Limit < 0 || ask.Limit > maxConnections {
		return nil, refuse(http.StatusBadRequest, "", "limit is not a number from 0 to %d", maxConnections)
	}
	if ask.Limit == 0 {
		ask.Limit = defaultConnections
	}
	after, err := readKey(ask.Cursor)
	if err != nil {
		return nil, err
	}
	parcels, last, err := s.opt.Keeper.Export(r.Context(), ask.Key, ask.Provider, after, ask.Limit)
	if err != nil {
		return nil, connectionProblem(err)
	}
	out := Exported{Connections: []Parcel{}, Next: writeKey(last)}
	for i := range parcels {
		out.Connections = append(out.Connections, parcel(&parcels[i]))
	}
	return out, nil
}

// imported brings connections in, one by one: what cannot be is refused, and
// holds up no other.
func (s *Server) imported(r *http.Request) (any, error) {
	var ask Import
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	out := Imported{Refused: []Refused{}}
	for i := range ask.Connections {
		c := &ask.Connections[i]
		err := s.importOne(r, &ask, c)
		if bad := (*connection.RequestError)(nil); errors.As(err, &bad) {
			out.Refused = append(out.Refused, Refused{c.Provider, c.Account, bad.Why, bad.Hint})
		} else if err != nil {
			return nil, fmt.Errorf("after %d were imported: %w", out.Imported, err)
		} else {
			out.Imported++
		}
	}
	return out, nil
}

func (s *Server) importOne(r *http.Request, ask *Import, c *Incoming) error {
	src, err := s.opt.Keeper.Grantable(c.Provider, c.Credential)
	if err != nil {
		return err
	}
	carried, err := c.carried(ask.Key)
	if err != nil {
		return err
	}
	return s.opt.Keeper.Import(r.Context(), src, c.Account, carried, ask.Overwrite, by(r))
}

// reseal brings a page of what is sealed under the newest key.
func (s *Server) reseal(r *http.Request) (any, error) {
	var ask Reseal
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	after, err := readKey(ask.Cursor)
	if err != nil {
		return nil, err
	}
	changed, last, err := s.opt.Keeper.Reseal(r.Context(), connection.Filter{Provider: ask.Provider, After: after, Limit: defaultConnections}, ask.Hosts)
	if err != nil {
		return nil, err
	}
	return Resealed{Changed: changed, Next: writeKey(last)}, nil
}

// connectionProblem words what the keeper says no to.
func connectionProblem(err error) error {
	var bad *connection.RequestError
	var state *connection.StateError
	var none *connection.UnavailableError
	switch {
	case errors.As(err, &bad) && bad.Unknown:
		return refuse(http.StatusNotFound, bad.Hint, "%s", bad.Why)
	case errors.As(err, &bad) && bad.Exists:
		return refuse(http.StatusConflict, bad.Hint, "%s", bad.Why)
	case errors.As(err, &bad):
		return refuse(http.StatusUnprocessableEntity, bad.Hint, "%s", bad.Why)
	case errors.As(err, &state):
		return refuse(http.StatusConflict, "Have the account connected again: POST /api/v1/connect-sessions, or postern connections connect.", "%v", state)
	case errors.As(err, &none):
		return refuse(http.StatusServiceUnavailable, "Nothing is lost; try again later.", "%v", none)
	case errors.Is(err, connection.ErrUnknown):
		return refuse(http.StatusNotFound, "postern connections list shows those that there are.", "%v", err)
	}
	return err
}

// known refuses a query with a parameter that is not known, or is given twice:
// leaving it out would mean something else.
func known(q url.Values, params []param) error {
	for name, values := range q {
		switch {
		case !slices.ContainsFunc(params, func(p param) bool { return p.name == name }):
			return refuse(http.StatusBadRequest, "", "there is no parameter %q", name)
		case len(values) > 1:
			return refuse(http.StatusBadRequest, "", "%s is given more than once", name)
		}
	}
	return nil
}

// writeKey is the cursor of what stands behind a connection; "" for none.
func writeKey(k connection.Key) string {
	if k == (connection.Key{}) {
		return ""
	}
	text, _ := json.Marshal([]string{k.Provider, k.Account, k.Credential}) // strings can always be
	return base64.RawURLEncoding.EncodeToString(text)
}

func readKey(cursor string) (k connection.Key, err error) {
	if cursor == "" {
		return k, nil
	}
	var parts []string
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &parts)
	}
	if err != nil || len(parts) != 3 {
		return k, refuse(http.StatusBadRequest, "Take it from next of the page before, or leave it out to begin.", "cursor is none that a page named")
	}
	return connection.Key{Provider: parts[0], Account: parts[1], Credential: parts[2]}, nil
}
