package connect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
)

// A Request asks for a link by which a customer connects an account.
type Request struct {
	Provider   string
	Account    string // "" where the provider has only one
	Credential string // "" is the provider's own, or its only one that a person grants
	ReturnTo   string // where the browser goes at the end; "" is a page of ours
	By         string // who asks, for the history of the connection
}

// A Session is a link that works once.
type Session struct {
	URL             string // to be opened in the customer's browser, and shown to nobody else
	Expires         time.Time
	Provider        string
	Account         string
	Credential      string
	Scopes          []string // that the provider is asked for
	ReturnTo        string   // as it was accepted
	ReturnToIgnored string   // why ReturnTo of the request was not
}

// Open makes a link. What is known of the connection stays as it is until the
// customer has granted; if nothing is, the account is known from now on. An
// error is a [*connection.RequestError], or that of the store.
func (s *Server) Open(ctx context.Context, r Request) (Session, error) {
	src, err := s.opt.Keeper.Grantable(r.Provider, r.Credential)
	if err != nil {
		return Session{}, err
	}
	if err := connection.CheckAccount(r.Account); err != nil {
		return Session{}, err
	}
	c := s.config.Load()
	if _, err := asked(src, r.Account, c.callback(r.Provider)); err != nil {
		return Session{}, &connection.RequestError{Why: fmt.Sprintf("there is no way to the authorization server of %s: %v", r.Provider, err), Hint: "Where Postern runs, postern validate and postern status tell what is missing."}
	}
	out := Session{
		Provider: r.Provider, Account: r.Account, Credential: src.Credential, Scopes: slices.Clone(src.Scopes), Expires: time.Now().Add(lifetime).Truncate(time.Second),
	}
	if u, err := c.destination(r.ReturnTo); err != nil {
		out.ReturnToIgnored = err.Error()
	} else if u != nil {
		out.ReturnTo = u.String()
	}
	if err := s.opt.Keeper.Ask(ctx, src, r.Account, r.By); err != nil {
		return Session{}, err
	}
	secret := oauth.NewVerifier()
	behind := link{Provider: r.Provider, Account: r.Account, Credential: src.Credential, ReturnTo: out.ReturnTo, By: r.By}
	if err := s.keep(ctx, linkTicket, secret, &behind, out.Expires); err != nil {
		return Session{}, err
	}
	out.URL = c.PublicURL + "/connect/" + secret
	return out, nil
}

// asked is a digest of what is asked of whom: the authorization server, the
// client, the scopes. It is the same in every process with the same policy. An
// answer that comes after any of them has changed is not taken.
func asked(src *connection.Source, account, redirect string) ([]byte, error) {
	to, err := src.Link(account, redirect, "state", "verifier")
	if err == nil && to == "" {
		err = errors.New("the policy makes no link of its authorize_url")
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(to))
	return sum[:], nil
}

// unchanged reports whether the policy in force asks for what was asked.
func (t *trip) unchanged(src *connection.Source) bool {
	now, err := asked(src, t.Account, t.Redirect)
	return err == nil && bytes.Equal(now, t.Asked)
}
