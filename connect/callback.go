package connect

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
)

// exchangeWithin is how long a provider may take to answer for a code.
const exchangeWithin = 25 * time.Second

// callback is where a provider sends the browser back to. Nothing is asked of
// the provider unless everything about the request is as it has to be (claims
// C57, C58). It is answered by a redirect, so that code and state do not stay in
// the address of a page.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	if !s.allows(w, r, http.MethodGet) { // a look by HEAD would spend the state
		return
	}
	t, query, err := s.back(r)
	if err != nil {
		s.refuse(w, r, stateRefusal(t, err))
		return
	}
	c := s.config.Load()
	state := query.Get("state")
	http.SetCookie(w, c.cookie(state, "", 0))
	src := s.opt.Keeper.Source(t.key())
	if src == nil || !src.Person || !t.unchanged(src) {
		s.refuse(w, r, policyChanged.of(&t.link, errors.New("the policy asks for something else now")))
		return
	}
	code, err := oauth.CheckCallback(query, state, src.Issuer)
	if err != nil {
		s.refuse(w, r, answerRefusal(t, err))
		return
	}
	// A code that was exchanged is gone, whether the browser waits or not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), exchangeWithin)
	defer cancel()
	if err := s.grant(ctx, t, src, code); err != nil {
		s.refuse(w, r, notGranted.of(&t.link, err))
		return
	}
	s.step(w, &t.link, "the customer has connected the account")
	to := c.PublicURL + "/connect/done"
	if u, err := c.destination(t.ReturnTo); err == nil && u != nil { // once more: the policy may allow less now
		to = arrived(u, true, &t.link)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// Why a state is not taken.
var (
	errNoState  = errors.New("the callback brings no state, or several")
	errPath     = errors.New("the state is of an authorization at another provider")
	errBrowser  = errors.New("the state was given to another browser")
	errNoCookie = errors.New("the browser did not bring the cookie that goes with the state")
)

// back finds what the browser was on its way for. The state is spent before
// anything that it says is looked at. t is nil if there is none.
func (s *Server) back(r *http.Request) (t *trip, query url.Values, err error) {
	query, err = url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["state"]) != 1 {
		return nil, nil, errNoState
	}
	state := query.Get("state")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeWithin)
	defer cancel()
	t = new(trip)
	if err := s.spend(ctx, stateTicket, state, t); err != nil {
		return nil, nil, err
	}
	if t.Provider != r.PathValue("provider") {
		return t, nil, errPath
	}
	cookie, err := r.Cookie(s.config.Load().cookie(state, "", 0).Name)
	if err != nil {
		return t, nil, errNoCookie
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	if subtle.ConstantTimeCompare(sum[:], t.Browser) != 1 {
		return t, nil, errBrowser
	}
	return t, query, nil
}

// grant makes a connection of the code.
func (s *Server) grant(ctx context.Context, t *trip, src *connection.Source, code string) error {
	token, err := src.Exchange(ctx, t.Account, code, t.Verifier, t.Redirect)
	if err != nil {
		return err
	}
	// Fewer or more scopes than were asked for are told by the keeper.
	if _, err := s.opt.Keeper.Grant(ctx, src, t.Account, token, t.By); err != nil {
		return fmt.Errorf("the customer has granted, and it could not be stored: %w", err)
	}
	return nil
}
