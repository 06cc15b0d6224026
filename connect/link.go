package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
)

// link answers the address that an application was given. To look at it changes
// nothing, because mail scanners and messengers look at every link; to say yes
// spends it.
func (s *Server) link(w http.ResponseWriter, r *http.Request) {
	if !s.allows(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return
	}
	secret := r.PathValue("link")
	var l link
	if err := s.look(r.Context(), linkTicket, secret, &l); err != nil {
		s.refuse(w, r, linkRefusal(err))
		return
	}
	src := s.opt.Keeper.Source(l.key())
	if src == nil || !src.Person {
		s.refuse(w, r, policyChanged.of(&l, errors.New("the policy has no such credential any more")))
		return
	}
	if r.Method == http.MethodPost {
		s.agreed(w, r, secret, &l, src)
		return
	}
	s.offer(w, r, &l, src)
}

func (l *link) key() connection.Key {
	return connection.Key{Provider: l.Provider, Account: l.Account, Credential: l.Credential}
}

// linkRefusal is what a customer reads whose link cannot be read.
func linkRefusal(err error) refusal {
	if errors.Is(err, errSpent) {
		return notFound // the same, whatever it was
	}
	return troubled.of(nil, err)
}

// offer shows who will get access to what.
func (s *Server) offer(w http.ResponseWriter, r *http.Request, l *link, src *connection.Source) {
	c := s.config.Load()
	to, err := s.authorization(src, l, c, "state", "verifier")
	if err != nil {
		s.refuse(w, r, troubled.of(l, err))
		return
	}
	// Chromium holds the redirect that answers a form, and every one after it, to
	// form-action. A provider that knows the customer sends the browser back at
	// once, and so on to the application; where else it sends it is not known here.
	form := "'self' https:"
	last, _ := c.destination(l.ReturnTo) // nil for one that is not taken
	for _, u := range []*url.URL{to, last} {
		if u != nil && u.Scheme == "http" {
			form += " " + originOf(u)
		}
	}
	w.Header().Set("Content-Security-Policy", c.policy(form))
	w.Header().Set("Referrer-Policy", "same-origin") // with no-referrer, browsers hide from us that the form is ours
	name := c.shown(l.Provider)
	s.show(w, http.StatusOK, pageLink, &view{
		Heading: "Connect " + name, Provider: name, Initial: string([]rune(name)[:1]), Account: l.Account, Scopes: src.Scopes, At: to.Hostname(),
	})
}

// agreed spends the link and sends the browser to the provider, bound to it by a
// cookie.
func (s *Server) agreed(w http.ResponseWriter, r *http.Request, secret string, l *link, src *connection.Source) {
	c := s.config.Load()
	cross := http.NewCrossOriginProtection()
	if err := errors.Join(cross.AddTrustedOrigin(c.PublicURL), cross.Check(r)); err != nil {
		s.refuse(w, r, crossOrigin.of(l, err))
		return
	}
	state, browser := oauth.NewVerifier(), oauth.NewVerifier()
	t := trip{link: *l, Verifier: oauth.NewVerifier(), Redirect: c.callback(l.Provider)}
	sum := sha256.Sum256([]byte(browser))
	t.Browser = sum[:]
	to, err := s.authorization(src, l, c, state, t.Verifier)
	if err == nil {
		t.Asked, err = asked(src, l.Account, t.Redirect)
	}
	if err != nil {
		s.refuse(w, r, troubled.of(l, err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeWithin)
	defer cancel()
	if err := s.keep(ctx, stateTicket, state, &t, time.Now().Add(lifetime)); err != nil { // before the link is spent: nobody else knows it
		s.refuse(w, r, troubled.of(l, err))
		return
	}
	if err := s.spend(ctx, linkTicket, secret, l); err != nil {
		s.refuse(w, r, linkRefusal(err))
		return
	}
	http.SetCookie(w, c.cookie(state, browser, lifetime))
	s.step(w, l, "the customer was sent to the provider")
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// storeWithin is how long the store may take.
const storeWithin = 5 * time.Second

// authorization is where the provider asks the customer.
func (s *Server) authorization(src *connection.Source, l *link, c *Config, state, verifier string) (*url.URL, error) {
	text, err := src.Link(l.Account, c.callback(l.Provider), state, verifier)
	if err != nil {
		return nil, fmt.Errorf("make the link to the provider: %w", err)
	}
	to, err := url.Parse(text)
	if err != nil || to.Host == "" {
		return nil, errors.New("make the link to the provider: the policy's authorize_url is not a URL")
	}
	return to, nil
}

// cookie binds a state to one browser. Each state has its own, so that two
// windows do not disturb each other. A cookie of the prefix __Host- cannot be
// set by other hosts of the same domain (RFC 6265bis section 4.1.3.2); browsers
// take it by TLS only.
func (c *Config) cookie(state, value string, life time.Duration) *http.Cookie {
	sum := sha256.Sum256([]byte(state))
	name := "postern-connect-" + hex.EncodeToString(sum[:8])
	if c.secure() {
		name = "__Host-" + name
	}
	k := &http.Cookie{Name: name, Value: value, Path: "/", Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life.Seconds())}
	if life <= 0 {
		k.MaxAge = -1
	}
	return k
}
