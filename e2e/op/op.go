// Package op is an authorization server, and an API that takes its tokens, for tests. The protocol is ory/fosite's, and
// so is the memory in which it is kept: who may ask, PKCE, codes that are good once, refresh tokens that rotate, and
// whose reuse ends the whole grant, revocation, introspection, client authentication, assertions. Ours are the routes and
// the page that a person sees.
//
// Read op.go first, then endpoints.go, page.go.
package op

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"

	"github.com/postern-proxy/postern/e2e/faults"
)

// Config says how a Server is to be.
type Config struct {
	// Life is how long access tokens are good, in whole seconds; 0 means an hour.
	Life time.Duration
	// CA has the server speak TLS; nil means plain HTTP.
	CA *faults.CA
	// Hosts are names in its certificate beside 127.0.0.1 and localhost.
	Hosts []string
}

// Scopes are what any client of a Server may ask for. With the last of them it is given a refresh token.
var Scopes = []string{"orders.read", "orders.write", "offline_access"}

// Server is an authorization server with an API. Its front door records each request, and breaks what it is told to.
// Its methods may be called at any time from any goroutine.
type Server struct {
	*faults.Server

	mux http.Handler
	mu  sync.Mutex // fosite's memory is an example: what happens to a refresh token is not atomic by itself

	config   *fosite.Config
	memory   *storage.MemoryStore
	provider fosite.OAuth2Provider
}

// Start starts a server on a free loopback port. It ends with Close.
func Start(cfg Config) (*Server, error) {
	if cfg.Life == 0 {
		cfg.Life = time.Hour
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	s := &Server{memory: storage.NewMemoryStore(), config: &fosite.Config{
		GlobalSecret:        secret,
		HashCost:            4, // bcrypt's least
		AccessTokenLifespan: cfg.Life,
		ScopeStrategy:       fosite.ExactScopeStrategy,
		EnforcePKCE:         true, // S256: plain is off
		// Assertions are shown without a client beside them (RFC 7523 §2.1), as at Google and Salesforce.
		GrantTypeJWTBearerCanSkipClientAuth: true,
		GrantTypeJWTBearerMaxDuration:       time.Hour,
	}}
	s.provider = compose.Compose(s.config, s.memory, &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(s.config)},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2PKCEFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2ClientCredentialsGrantFactory, compose.RFC7523AssertionGrantFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory)
	s.mux = s.routes()
	front, err := faults.Listen(faults.Config{CA: cfg.CA, Hosts: cfg.Hosts, Backend: s})
	if err != nil {
		return nil, err
	}
	s.Server = front
	s.config.TokenURL = s.At("/token") // the audience of what clients sign
	return s, nil
}

// At is the URL of a path: /authorize, /token, /revoke, /introspect and, of the API, /me.
func (s *Server) At(path string) string { return s.URL() + path }

// Issuer is what the server calls itself in its answers (RFC 9207).
func (s *Server) Issuer() string { return s.URL() }

// Client registers a client that shows its secret, in whichever way, and may be sent back to redirects alone.
func (s *Server) Client(id, secret string, redirects ...string) error {
	hash, err := (&fosite.BCrypt{Config: s.config}).Hash(context.Background(), []byte(secret))
	if err != nil {
		return fmt.Errorf("hashing a client's secret: %w", err)
	}
	s.register(&fosite.DefaultClient{
		ID: id, Secret: hash, RedirectURIs: redirects, Scopes: Scopes, ResponseTypes: []string{"code"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
	})
	return nil
}

// SigningClient registers a client that shows who it is by a signature (private_key_jwt) and by nothing else.
func (s *Server) SigningClient(id string, key crypto.PublicKey, keyID string, alg jose.SignatureAlgorithm) {
	s.register(&fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{ID: id, Scopes: Scopes, GrantTypes: []string{"client_credentials"}},
		JSONWebKeys: &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: key, KeyID: keyID, Algorithm: string(alg), Use: "sig"},
		}},
		TokenEndpointAuthMethod: "private_key_jwt", TokenEndpointAuthSigningAlgorithm: string(alg),
	})
}

func (s *Server) register(c fosite.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.Clients[c.GetID()] = c
}

// Issues has assertions of an issuer about a subject accepted (RFC 7523 §2.1).
func (s *Server) Issues(issuer, subject string, key crypto.PublicKey, keyID string, alg jose.SignatureAlgorithm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.IssuerPublicKeys[issuer] = storage.IssuerPublicKeys{Issuer: issuer, KeysBySub: map[string]storage.SubjectPublicKeys{
		subject: {Subject: subject, Keys: map[string]storage.PublicKeyScopes{
			keyID: {Key: &jose.JSONWebKey{Key: key, KeyID: keyID, Algorithm: string(alg), Use: "sig"}, Scopes: Scopes},
		}},
	}}
}
