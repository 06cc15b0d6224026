package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// headers go with every answer: nothing here is to be framed, sniffed, cached or
// read by another origin, and a page may load its own style sheet only.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cache-Control":                "no-store",
}

// maxRequest is how long the body of a request may be, in bytes.
const maxRequest = 1 << 20

// ServeHTTP serves a request that comes under a name of ours (claim C65), from
// no other origin if it changes anything, and with the token if there is one
// and the route is not open (C64). What does not exist needs the token, too.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	c := s.config.Load()
	if !c.called(r.Host) {
		s.fail(w, r, refuse(http.StatusMisdirectedRequest, "Use an address, localhost, or a name in admin.names.", "this listener is not called %q", r.Host))
		return
	}
	if err := s.cross.Check(r); err != nil {
		s.fail(w, r, refuse(http.StatusForbidden, "", "a page of another origin may not change anything here"))
		return
	}
	_, pattern := s.mux.Handler(r)
	known := s.routes[pattern]
	if known == nil || !known.open {
		if err := c.admit(r); err != nil {
			if err.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="postern admin", Basic realm="postern admin"`)
			}
			s.fail(w, r, err)
			return
		}
	}
	if known == nil || known.debug && !c.Pprof {
		s.missing(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	s.mux.ServeHTTP(w, r)
}

// called reports whether the listener may be called by this Host. A page that
// was rebound to us comes under the name of its own host, never under an
// address; other than loopback ones they count where others can reach us.
func (c *Config) called(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || !c.local()
	}
	own, _, _ := net.SplitHostPort(c.Listen)
	return host != "" && slices.ContainsFunc(append([]string{"localhost", own}, c.Names...), func(name string) bool {
		return strings.EqualFold(name, host)
	})
}

// admit wants the token, as Bearer or as the password of Basic, which is what
// browsers ask for.
func (c *Config) admit(r *http.Request) *Problem {
	token, err := c.token()
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "", "%v", err)
	}
	if token == "" || matches(r, token) {
		return nil
	}
	return refuse(http.StatusUnauthorized, "Send Authorization: Bearer TOKEN; the command line takes it from POSTERN_ADMIN_TOKEN.", "the admin token is missing or wrong")
}

// matches compares in a time that tells nothing about the token. It is never empty.
func matches(r *http.Request, token string) bool {
	_, given, _ := r.BasicAuth()
	if scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(value)
	}
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// missing answers what has no route: 405 if the path has one under another
// method.
func (s *Server) missing(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := *r
		other.Method = method
		if _, pattern := s.mux.Handler(&other); s.routes[pattern] != nil && !s.routes[pattern].debug {
			allowed = append(allowed, method)
		}
	}
	if allowed != nil {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, refuse(http.StatusMethodNotAllowed, "", "%s takes %s", r.URL.Path, strings.Join(allowed, ", ")))
		return
	}
	s.fail(w, r, refuse(http.StatusNotFound, "The API is described by "+api+"/openapi.json.", "there is nothing here"))
}
