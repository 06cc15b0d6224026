// Package rotating is an authorization server that takes a refresh token once: one that comes again ends the grant, as
// RFC 9700 §4.14.2 advises. It keeps many accounts, counts what it is asked, and has an API that takes its access tokens.
package rotating

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Server is the authorization server with its API, on one address.
type Server struct {
	*httptest.Server
	// Asked is called when a token request has come, and Answered when its answer is out; either may be nil.
	Asked, Answered func(account string)

	mu     sync.Mutex
	made   int
	grants map[string]*grant // by account
}

type grant struct {
	refresh, access string // "" once the grant has ended
	asked           int
	ended           bool
}

// New starts a server.
func New() *Server {
	s := &Server{grants: map[string]*grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("/", s.api)
	s.Server = httptest.NewServer(mux)
	return s
}

// Grant is what a customer's consent yields.
func (s *Server) Grant(account string) (access, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{}
	s.grants[account] = g
	s.next(account, g)
	return g.access, g.refresh
}

func (s *Server) next(account string, g *grant) {
	s.made++
	g.access = fmt.Sprintf("access-%d-of-%s-0123456789", s.made, account)
	g.refresh = fmt.Sprintf("refresh-%d-of-%s-0123456789", s.made, account)
}

// Requests is how often a token of the account's grant was asked for.
func (s *Server) Requests(account string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants[account].asked
}

// Ended reports whether a grant was ended because a token of it came twice.
func (s *Server) Ended(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants[account].ended
}

func account(token string) string {
	_, rest, _ := strings.Cut(token, "-of-")
	return strings.TrimSuffix(rest, "-0123456789")
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	who, refresh := account(r.FormValue("refresh_token")), r.FormValue("refresh_token")
	s.mu.Lock()
	g := s.grants[who]
	if g == nil {
		s.mu.Unlock()
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	g.asked++
	s.mu.Unlock()
	if s.Asked != nil {
		s.Asked(who)
	}
	s.mu.Lock()
	w.Header().Set("Content-Type", "application/json")
	if g.refresh != refresh {
		g.refresh, g.access, g.ended = "", "", true
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"the refresh token was used before"}`)
		return
	}
	s.next(who, g)
	answer := fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":3600}`, g.access, g.refresh)
	s.mu.Unlock()
	fmt.Fprint(w, answer)
	if s.Answered != nil {
		_ = http.NewResponseController(w).Flush()
		s.Answered(who)
	}
}

func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	g := s.grants[account(token)]
	ok := g != nil && token == g.access
	s.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
	}
	time.Sleep(time.Millisecond)
}
