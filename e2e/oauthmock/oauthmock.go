// Package oauthmock runs oauth2-mock-server from npm, an authorization server that asks nobody, and an API that takes its
// tokens. Its refresh tokens rotate, but it does not mind one that is used again.
package oauthmock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-proxy/postern/e2e/faults"
)

// Server is a running server. Its front door records each request.
type Server struct {
	*faults.Server

	node   http.Handler
	origin string // of the process
	cmd    *exec.Cmd
}

// Start runs node in dir, the folder with the modules, and returns once it listens. Access tokens are good for life, in
// whole seconds. The child dies with its parent.
func Start(dir string, life time.Duration) (*Server, error) {
	s := new(Server)
	var err error
	if s.Server, err = faults.Listen(faults.Config{Backend: s}); err != nil {
		return nil, err
	}
	s.cmd = exec.Command("node", "oauth2_server.mjs", s.URL(), fmt.Sprint(int(life.Seconds())))
	s.cmd.Dir, s.cmd.Stderr = dir, os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting oauth2-mock-server: %w", err)
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.Close()
		return nil, errors.New("oauth2-mock-server ended before it listened")
	}
	s.origin = "http://127.0.0.1:" + strings.TrimSpace(port)
	s.node, err = faults.Proxy(s.origin)
	return s, err
}

// At is the URL of a path: /authorize, /token, /revoke and, of the API, /me.
func (s *Server) At(path string) string { return s.URL() + path }

// ServeHTTP is the backend of the front door.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/me" {
		s.node.ServeHTTP(w, r)
		return
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims := jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(token, &claims, s.key, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(s.URL()), jwt.WithExpirationRequired())
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"sub": claims.Subject})
}

// key is the server's own, as it publishes it.
func (s *Server) key(t *jwt.Token) (any, error) {
	resp, err := http.Get(s.origin + "/jwks")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	id, _ := t.Header["kid"].(string)
	for _, k := range set.Key(id) {
		return k.Key, nil
	}
	return nil, fmt.Errorf("no key %q", id)
}

// Close ends both.
func (s *Server) Close() {
	s.Server.Close()
	s.cmd.Process.Kill()
	s.cmd.Wait()
}
