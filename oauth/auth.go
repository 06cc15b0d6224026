package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Auth is how a client says who it is (RFC 6749 §2.3). It is a closed set.
type Auth uint8

// The ways there are, by the names of the policy language.
const (
	Basic           Auth = iota // the Authorization header, id and secret form-encoded (RFC 6749 §2.3.1)
	BasicRaw                    // the same without the encoding, for servers that do not undo it
	Post                        // client_id and client_secret in the body
	None                        // a public client: client_id in the body
	PrivateKeyJWT               // a JWT signed with the client's key (RFC 7523 §2.2)
	ClientSecretJWT             // a JWT with an HS256 MAC by the client's secret (RFC 7523 §2.2)
	TLS                         // a client certificate, which is the Do's business; client_id in the body (RFC 8705 §2)
)

var authNames = [...]string{
	Basic: "basic", BasicRaw: "basic_raw", Post: "post", None: "none",
	PrivateKeyJWT: "private_key_jwt", ClientSecretJWT: "client_secret_jwt", TLS: "tls",
}

// registered are the names of RFC 7591 and RFC 8705 for what is called
// otherwise here.
var registered = map[string]Auth{
	"client_secret_basic": Basic, "client_secret_post": Post, "tls_client_auth": TLS, "self_signed_tls_client_auth": TLS,
}

// String returns the word that the policy language has for a.
func (a Auth) String() string {
	if int(a) < len(authNames) {
		return authNames[a]
	}
	return fmt.Sprintf("Auth(%d)", uint8(a))
}

// UnmarshalText accepts basic, basic_raw, post, none, private_key_jwt,
// client_secret_jwt and tls.
func (a *Auth) UnmarshalText(text []byte) error {
	for i, name := range authNames {
		if string(text) == name {
			*a = Auth(i)
			return nil
		}
	}
	if is, ok := registered[string(text)]; ok {
		return fmt.Errorf("unknown client authentication %q: it is called %s here", text, is)
	}
	return fmt.Errorf("unknown client authentication %q: use basic, basic_raw, post, none, private_key_jwt, client_secret_jwt or tls", text)
}

// assertionType is RFC 7523 §2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is how long a client's JWT is good for.
const assertionLife = 5 * time.Minute

// authenticate puts who c is into the header or the parameters of a request,
// and adds the secrets it used to m.
func (a Auth) authenticate(c *Client, audience string, h http.Header, params map[string]string, m *mask) error {
	if c.ID == "" {
		return errors.New("the client has no id: set client_id")
	}
	if broken(c.ID) || broken(c.Secret) {
		return errors.New("the client's id or secret holds a line break or a NUL byte: take it out")
	}
	m.hide(c.Secret)
	if c.Secret == "" && (a == Basic || a == BasicRaw || a == Post || a == ClientSecretJWT) {
		return fmt.Errorf("the client has no secret, which %s needs: set client_secret, or none as its authentication for a public client", a)
	}
	switch a {
	case Basic:
		h.Set("Authorization", m.basic(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)))
	case BasicRaw:
		h.Set("Authorization", m.basic(c.ID, c.Secret))
	case Post:
		params["client_id"], params["client_secret"] = c.ID, c.Secret
	case None, TLS:
		params["client_id"] = c.ID
	case PrivateKeyJWT, ClientSecretJWT:
		jwt, err := a.assertion(c, audience)
		if err != nil {
			return err
		}
		m.hide(jwt)
		params["client_id"], params["client_assertion_type"], params["client_assertion"] = c.ID, assertionType, jwt
	default:
		return fmt.Errorf("%s is no client authentication", a)
	}
	return nil
}

// assertion is the JWT of RFC 7523 §3 by which c says who it is.
func (a Auth) assertion(c *Client, audience string) (string, error) {
	now := time.Now().Add(c.Skew)
	claims := Claims{Issuer: c.ID, Subject: c.ID, Audience: audience, ID: NewVerifier(), IssuedAt: now, Expiry: now.Add(assertionLife)}
	if a == ClientSecretJWT {
		return signSecret(c.Secret, c.KeyID, claims)
	}
	if c.Key == nil {
		return "", errors.New("the client has no private key, which private_key_jwt needs: set its key")
	}
	return SignJWT(c.Key, c.Alg, c.KeyID, claims)
}

// basic is the value of an Authorization header (RFC 7617), remembered by m.
func (m *mask) basic(user, password string) string {
	pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	m.hide(pair)
	return "Basic " + pair
}
