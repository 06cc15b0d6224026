package credential

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
)

// Server is what all kinds have that ask an authorization server for tokens:
// where and how it wants to be asked, and where the token goes. It is embedded
// in their blocks. URLs and parameters may use account, where each account has
// its own.
type Server struct {
	TokenURL     *block.Expr            `hcl:"token_url" scope:"account" encode:"url"`
	Auth         oauth.Auth             `hcl:"auth,optional"`
	ClientID     block.Secret           `hcl:"client_id,optional" literal:"allowed"`
	ClientSecret []block.Secret         `hcl:"client_secret,optional"` // newest first: the next is tried where the server refuses one
	TLSCert      block.Secret           `hcl:"tls_cert,optional"`      // PEM: the client's certificate (RFC 8705)
	TLSKey       block.Secret           `hcl:"tls_key,optional"`
	Scopes       []string               `hcl:"scopes,optional"`
	Separator    string                 `hcl:"scope_separator,optional"`
	Params       map[string]*block.Expr `hcl:"params,optional" scope:"account"` // of token requests
	Headers      map[string]string      `hcl:"headers,optional"`                // of token requests
	Format       string                 `hcl:"format,optional"`                 // of token requests: form or json
	TokenPath    string                 `hcl:"token_path,optional"`             // gjson path of the object in the answer that has the token
	ExpiresIn    oauth.ExpiryUnit       `hcl:"expires_in,optional"`
	BaseURL      *block.Expr            `hcl:"base_url,optional" scope:"token" encode:"url"` // where the account's API is, from the answer
	Header       string                 `hcl:"header,optional"`                              // that the token goes into
	Scheme       string                 `hcl:"scheme,optional"`                              // in front of it

	hosts    []policy.Host
	upstream *url.URL
	live     *Live
	provider string
	clock    *Clock
	fixed    []string // hosts that no account has a part in
	endpoint *url.URL // where tokens are asked for, nil where each account has its own
}

// Do sends a request to the authorization server: it is an [oauth.Do].
func (s *Server) Do(r *http.Request) (resp *http.Response, executed bool, err error) {
	if s.live.Do == nil {
		return nil, false, errors.New("there is no network here")
	}
	w := Way{Provider: s.provider, Named: slices.Contains(s.fixed, r.URL.Host)}
	if s.covers(r.URL) {
		w.Upstream = s.upstream
	}
	if w.Certificate, err = s.certificate(); err != nil {
		return nil, false, err
	}
	return s.live.Do(w, r)
}

// Now is the time at the provider, as far as it is known: what is signed for it
// is dated by that.
func (s *Server) Now() time.Time { return s.clock.Now() }

// Defaults sets what RFC 6749 and RFC 6750 say.
func (s *Server) Defaults() {
	s.Separator, s.Format, s.Header, s.Scheme = " ", "form", "Authorization", "Bearer"
}

// SetHosts tells which hosts the provider has.
func (s *Server) SetHosts(hosts []policy.Host) { s.hosts = hosts }

// SetUpstream tells what is called instead of those hosts; nil is themselves.
func (s *Server) SetUpstream(u *url.URL) { s.upstream = u }

// Wrong lists what is wrong with the attributes.
func (s *Server) Wrong() (errs []error) {
	if s.Format != "form" && s.Format != "json" {
		errs = append(errs, block.At("format", "%q is neither \"form\" nor \"json\"", s.Format))
	}
	if s.Header == "" || strings.ContainsFunc(s.Header, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) {
		errs = append(errs, block.At("header", "%q is not the name of a header", s.Header))
	}
	if strings.ContainsFunc(s.Scheme, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ',' || c == '"' }) {
		errs = append(errs, block.At("scheme", "%q is not a word such as \"Bearer\"", s.Scheme))
	}
	if s.TLSCert.IsZero() != s.TLSKey.IsZero() {
		errs = append(errs, block.At("tls_cert", "tls_cert and tls_key go together"))
	}
	for _, scope := range s.Scopes {
		if scope == "" || strings.Contains(scope, s.Separator) {
			errs = append(errs, block.At("scopes", "%q is not one scope: write them as a list", scope))
		}
	}
	if s.TokenURL == nil {
		errs = append(errs, block.At("token_url", "token_url is missing: where tokens are asked for"))
	} else if server, err := s.OAuth(Sample); err != nil {
		errs = append(errs, err)
	} else if err := server.Check(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// Sample stands for an account while a policy is checked.
const Sample = "sample"

// At is the URL that e yields for an account. Where the account has a part in
// its host, that has to be one of the provider's: a name that somebody sends must
// not say where secrets go.
func (s *Server) At(e *block.Expr, name, account string) (string, error) {
	if e == nil {
		return "", nil
	}
	text, ok := e.String(Account(account))
	u, err := url.Parse(text)
	if !ok || err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", block.At(name, "it is not a URL such as \"https://auth.example.com/oauth/token\"")
	}
	if other, ok := e.String(Account("x" + account)); ok && hostOf(other) != u.Host && !s.covers(u) {
		return "", block.At(name, "%s is none of the provider's hosts, and the account says which host it is: add it to hosts", u.Host)
	}
	if u.Scheme == "http" && !Loopback(u.Hostname()) {
		return "", block.At(name, "secrets would go to %s in clear text: write https", u.Host)
	}
	return text, nil
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, "127.") || host == "::1"
}

// covers reports whether u is at one of the provider's hosts.
func (s *Server) covers(u *url.URL) bool {
	return slices.ContainsFunc(s.hosts, func(h policy.Host) bool { return h.Covers(strings.ToLower(u.Hostname()), u.Port()) })
}

// Account answers the name account.
type Account string

// Lookup implements [block.Source].
func (a Account) Lookup(ref *block.Ref) block.Value {
	if ref.Name != "account" || a == "" {
		return block.Value{}
	}
	return block.Value{Kind: block.String, Str: string(a)}
}

// OAuth is the server for an account.
func (s *Server) OAuth(account string) (*oauth.Server, error) {
	at, err := s.At(s.TokenURL, "token_url", account)
	if err != nil {
		return nil, err
	}
	out := &oauth.Server{TokenURL: at, Auth: s.Auth, JSON: s.Format == "json", Separator: s.Separator, Header: s.Headers, TokenField: s.TokenPath, ExpiryUnit: s.ExpiresIn}
	for name, e := range s.Params {
		if out.TokenParams == nil {
			out.TokenParams = map[string]string{}
		}
		value, ok := e.String(Account(account))
		if !ok {
			return nil, block.At("params", "the parameter %q has no value for account %q", name, account)
		}
		out.TokenParams[name] = value
	}
	return out, nil
}

// Asks reports whether r is what an SDK sends that asks for a token by itself.
func (s *Server) Asks(r *http.Request, account string) bool {
	u := s.endpoint
	if u == nil {
		text, _ := s.TokenURL.String(Account(account))
		if u, _ = url.Parse(text); u == nil {
			return false
		}
	}
	if u.Path != r.URL.Path || u.Host != r.URL.Host && r.URL.Host != policy.Nowhere { // nearly all: every POST is asked
		return false
	}
	_, err := s.At(s.TokenURL, "token_url", account)
	return err == nil
}

// answered answers the names of base_url: the provider's answer.
type answered struct {
	account string
	body    []byte
}

func (a answered) Lookup(ref *block.Ref) block.Value {
	if ref.Name == "response.body" {
		return block.JSONValue(a.body, ref.Path)
	}
	return Account(a.account).Lookup(ref)
}

// placed reads from an answer where the account's API is. It has to be a host of
// the provider: a token goes nowhere else.
func (s *Server) placed(account string, body []byte) (string, error) {
	text, ok := s.BaseURL.String(answered{account, body})
	if !ok {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "", errors.New("the provider's answer names no https URL where base_url says that the account's API is")
	}
	if !s.covers(u) {
		return "", fmt.Errorf("the provider says that the account's API is at %s, which is none of the provider's hosts: nothing is sent there; if it is right, add it to hosts", u.Host)
	}
	return "https://" + strings.ToLower(u.Host), nil
}

// Source fills in what every source has. urls are all that mint and its like send
// to.
func (s *Server) Source(l *Live, scope policy.Scope, kind string, mint func(ctx context.Context, account, refresh string) (*oauth.Token, error), urls ...*block.Expr) *connection.Source {
	s.live, s.provider, s.clock = l, scope.Provider, l.Clock(scope.Provider)
	for _, e := range urls {
		if e == nil {
			continue
		}
		one, _ := e.String(Account(Sample))
		if two, _ := e.String(Account("x" + Sample)); hostOf(one) == hostOf(two) {
			s.fixed = append(s.fixed, hostOf(one))
		}
	}
	if s.TokenURL != nil && !s.TokenURL.Reads("account") {
		text, _ := s.TokenURL.String(Account(""))
		s.endpoint, _ = url.Parse(text) // was checked
	}
	src := &connection.Source{Provider: scope.Provider, Credential: kind, Scopes: s.Scopes, Mint: mint}
	if scope.Route != "" {
		src.Credential += " " + scope.Route
	}
	for _, h := range s.hosts {
		src.Hosts = append(src.Hosts, string(h))
	}
	slices.Sort(src.Hosts)
	if s.BaseURL != nil {
		src.BaseURL = s.placed
	}
	return src
}

// PerAccount reports whether what is asked for depends on the account.
func (s *Server) PerAccount() bool {
	return s.TokenURL.Reads("account") || slices.ContainsFunc(slices.Collect(maps.Values(s.Params)), func(e *block.Expr) bool { return e.Reads("account") })
}
