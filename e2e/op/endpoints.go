package op

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/ory/fosite"
)

func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /authorize", s.ask)
	m.HandleFunc("POST /authorize", s.answer)
	m.HandleFunc("POST /token", s.token)
	m.HandleFunc("POST /revoke", s.revoke)
	m.HandleFunc("POST /introspect", s.introspect)
	m.HandleFunc("GET /me", s.me)
	return m
}

// ServeHTTP is the backend of the front door: one request at a time.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mux.ServeHTTP(w, r)
}

// ask shows what a client wants.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) {
	ar, err := s.provider.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.provider.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	show(w, question{Client: ar.GetClient().GetID(), Scopes: ar.GetRequestedScopes()})
}

// answer is what the person said: the same question once more, with user, allow or deny, and the scopes that stay.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ar, err := s.provider.NewAuthorizeRequest(ctx, r)
	switch {
	case err == nil && r.PostFormValue("user") == "":
		err = fosite.ErrAccessDenied.WithHint("Nobody has signed in.")
	case err == nil && r.PostFormValue("answer") != "allow":
		err = fosite.ErrAccessDenied
	}
	w = named{w, s.Issuer()}
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	for _, scope := range r.PostForm["granted"] {
		if ar.GetRequestedScopes().Has(scope) {
			ar.GrantScope(scope)
		}
	}
	resp, err := s.provider.NewAuthorizeResponse(ctx, ar, session(r.PostFormValue("user")))
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, ar, err)
		return
	}
	s.provider.WriteAuthorizeResponse(ctx, w, ar, resp)
}

// named adds to a redirect who sends it (RFC 9207), which fosite does not do, be it a success or an error.
type named struct {
	http.ResponseWriter
	issuer string
}

// WriteHeader implements http.ResponseWriter.
func (n named) WriteHeader(status int) {
	if to, err := url.Parse(n.Header().Get("Location")); err == nil && to.Host != "" {
		q := to.Query()
		q.Set("iss", n.issuer)
		to.RawQuery = q.Encode()
		n.Header().Set("Location", to.String())
	}
	n.ResponseWriter.WriteHeader(status)
}

func session(subject string) *fosite.DefaultSession { return &fosite.DefaultSession{Subject: subject} }

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	req, err := s.provider.NewAccessRequest(ctx, r, session(""))
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	if req.GetGrantTypes().ExactOne("client_credentials") {
		for _, scope := range req.GetRequestedScopes() { // the client's own: nobody is there to be asked
			req.GrantScope(scope)
		}
	}
	resp, err := s.provider.NewAccessResponse(ctx, req)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, req, resp)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	s.provider.WriteRevocationResponse(r.Context(), w, s.provider.NewRevocationRequest(r.Context(), r))
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	resp, err := s.provider.NewIntrospectionRequest(r.Context(), r, session(""))
	if err != nil {
		s.provider.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(r.Context(), w, resp)
}

// Me is what the API answers to whoever shows a token that is good.
type Me struct {
	Subject string   `json:"sub"`
	Client  string   `json:"client"`
	Scopes  []string `json:"scopes"`
}

// me is the API (RFC 6750).
func (s *Server) me(w http.ResponseWriter, r *http.Request) {
	who, err := s.bearer(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "the token is not good", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(who)
}

// bearer asks fosite what a token is good for. The caller holds mu.
func (s *Server) bearer(ctx context.Context, token string, use fosite.TokenUse) (Me, error) {
	_, ar, err := s.provider.IntrospectToken(ctx, token, use, session(""))
	if err != nil {
		return Me{}, err
	}
	return Me{Subject: ar.GetSession().GetSubject(), Client: ar.GetClient().GetID(), Scopes: ar.GetGrantedScopes()}, nil
}

// Good reports whether an access token or, with refresh, a refresh token would be taken now. It is not counted.
func (s *Server) Good(token string, refresh bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	use := fosite.AccessToken
	if refresh {
		use = fosite.RefreshToken
	}
	_, err := s.bearer(context.Background(), token, use)
	return err == nil
}
