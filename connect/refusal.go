package connect

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/postern-proxy/postern/oauth"
)

// A refusal is what a customer reads when it does not work, and what the
// operator is told.
type refusal struct {
	status  int
	heading string
	text    string     // what happened, and what to do
	quiet   bool       // nothing is told: it is no callback, and anybody can cause it
	back    bool       // the customer may go back to the application
	level   slog.Level // a warning where a customer's browser does not do that by itself, an error where it is for the operator to mend

	at  *link // nil if it is not known
	err error
}

// of is r, told about l.
func (r refusal) of(l *link, err error) refusal {
	r.at, r.err = l, err
	return r
}

const again = "Ask for a new link where you got this one."

// The refusals. A link that is unknown, has expired or was used looks like an
// address that never was one.
var (
	notFound      = refusal{status: http.StatusNotFound, heading: "This link is not valid", text: "It has expired, was used already, or was not copied whole. " + again, quiet: true}
	misdirected   = refusal{status: http.StatusMisdirectedRequest, heading: "Wrong address", text: "This server is not called by that name.", quiet: true}
	method        = refusal{status: http.StatusMethodNotAllowed, heading: "Not possible", text: "This address is made to be opened in a browser.", quiet: true}
	busy          = refusal{status: http.StatusServiceUnavailable, heading: "Please try again", text: "Too many requests are being served. Try again in a moment; your link stays valid.", quiet: true}
	troubled      = refusal{status: http.StatusServiceUnavailable, heading: "Please try again", text: "It does not work at the moment. Try again in a few minutes, with a new link if this one has expired by then.", level: slog.LevelError}
	crossOrigin   = refusal{status: http.StatusForbidden, heading: "Not from here", text: "Another page asked for this in your name. Nothing was done. If you meant it, open the link itself.", level: slog.LevelWarn}
	policyChanged = refusal{status: http.StatusConflict, heading: "Please start again", text: "What is asked for has changed since the link was made. Nothing was connected. " + again, back: true}
	unknownState  = refusal{status: http.StatusBadRequest, heading: "This sign-in is over", text: "It took too long, was finished already, or was not begun here. Nothing was connected. " + again}
	otherProvider = refusal{status: http.StatusBadRequest, heading: "This sign-in does not fit", text: "The answer came by the wrong way. Nothing was connected. " + again, level: slog.LevelWarn}
	otherBrowser  = refusal{status: http.StatusForbidden, heading: "Another browser began this", text: "Begin and finish in the same browser, with cookies allowed for this site. Nothing was connected. " + again}
	denied        = refusal{status: http.StatusForbidden, heading: "Not connected", text: "Access was declined, so nothing was connected. If that was a mistake, ask for a new link where you got this one.", back: true}
	wrongAnswer   = refusal{status: http.StatusBadRequest, heading: "Not connected", text: "The answer is not one that the provider gives. Nothing was connected. " + again, level: slog.LevelWarn, back: true}
	providerSaid  = refusal{status: http.StatusBadGateway, heading: "Not connected", text: "The provider could not complete the sign-in. Nothing was connected. Try again later, with a new link.", back: true, level: slog.LevelWarn}
	notGranted    = refusal{status: http.StatusBadGateway, heading: "Not connected", text: "The provider was asked for access and did not give it. Try again with a new link; if that does not help, tell whoever gave you the link the number below.", back: true, level: slog.LevelError}
)

// stateRefusal is about a browser that did not bring what it was given.
func stateRefusal(t *trip, err error) refusal {
	var l *link
	if t != nil {
		l = &t.link
	}
	switch {
	case errors.Is(err, errNoState), errors.Is(err, errSpent):
		return unknownState.of(l, err)
	case errors.Is(err, errPath):
		return otherProvider.of(l, err)
	case errors.Is(err, errBrowser), errors.Is(err, errNoCookie):
		f := otherBrowser.of(l, err)
		if errors.Is(err, errBrowser) { // one without the cookie may be the one that a provider's app has opened
			f.level = slog.LevelWarn
		}
		return f
	}
	return troubled.of(l, err)
}

// answerRefusal is about what the provider, or somebody in its name, answered.
func answerRefusal(t *trip, err error) refusal {
	var said *oauth.Error
	switch {
	case !errors.As(err, &said):
		return wrongAnswer.of(&t.link, err)
	case said.Denied():
		return denied.of(&t.link, err)
	}
	return providerSaid.of(&t.link, err)
}

// refuse answers with a page that says what to do, and tells why.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f refusal) {
	id := w.Header().Get("Postern-Id")
	if !f.quiet {
		step := Step{ID: id, What: "a customer was told: " + f.heading, Err: f.err, Level: f.level}
		if f.at != nil {
			step.Provider, step.Account = f.at.Provider, f.at.Account
		}
		s.opt.Step(step)
	}
	v := &view{Heading: f.heading, Text: f.text, ID: id}
	if f.quiet {
		v.ID = ""
	}
	if f.at != nil && f.back {
		if u, err := s.config.Load().destination(f.at.ReturnTo); err == nil && u != nil {
			v.Back = arrived(u, false, f.at)
		}
	}
	s.show(w, f.status, pageRefusal, v)
}

// step tells that a browser got on.
func (s *Server) step(w http.ResponseWriter, l *link, what string) {
	s.opt.Step(Step{ID: w.Header().Get("Postern-Id"), Provider: l.Provider, Account: l.Account, What: what})
}
