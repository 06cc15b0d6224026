package oauth

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAuth says who the client is, in each way there is.
func TestAuth(t *testing.T) {
	odd := &Client{ID: "a b:c", Secret: "p%s+/= ü"}
	for _, tt := range []struct {
		auth   Auth
		header string
		form   []string
	}{
		{Basic, "Basic YStiJTNBYzpwJTI1cyUyQiUyRiUzRCslQzMlQkM=", nil}, // a+b%3Ac:p%25s%2B%2F%3D+%C3%BC
		{BasicRaw, "Basic YSBiOmM6cCVzKy89IMO8", nil},
		{Post, "", []string{"client_id", odd.ID, "client_secret", odd.Secret}},
		{None, "", []string{"client_id", odd.ID}},
		{TLS, "", []string{"client_id", odd.ID}},
	} {
		t.Run(tt.auth.String(), func(t *testing.T) {
			s := server()
			s.Auth = tt.auth
			w := &wire{body: good}
			if _, err := s.ClientCredentials(t.Context(), w.do, odd, nil); err != nil {
				t.Fatal(err)
			}
			if got := w.sent[0].Header.Get("Authorization"); got != tt.header {
				t.Errorf("Authorization %q, want %q", got, tt.header)
			}
			want(t, w.form(t), append(tt.form, "grant_type", "client_credentials")...)
		})
	}
}

// TestAuthJWT is RFC 7523 §2.2 and §3: by a key and by a secret.
func TestAuthJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, auth := range []Auth{PrivateKeyJWT, ClientSecretJWT} {
			s := server()
			s.Auth = auth
			c := &Client{ID: "me", Secret: strings.Repeat("s", 32), Key: rsaKey(t), KeyID: "k1", Skew: time.Minute}
			w := &wire{body: good}
			if _, err := s.ClientCredentials(t.Context(), w.do, c, nil); err != nil {
				t.Fatal(err)
			}
			form := w.form(t)
			var key any = c.Key.Public()
			alg := "RS256"
			if auth == ClientSecretJWT {
				key, alg = []byte(c.Secret), "HS256"
			}
			claims := verify(t, key, alg, form.Get("client_assertion"))
			now := float64(time.Now().Add(time.Minute).Unix())
			if id, _ := claims["jti"].(string); len(id) < 22 {
				t.Errorf("jti %q", id)
			}
			delete(claims, "jti")
			if !reflect.DeepEqual(claims, map[string]any{"iss": "me", "sub": "me", "aud": "https://as.example/token", "iat": now, "exp": now + 300}) {
				t.Errorf("claims %v", claims)
			}
			form.Del("client_assertion")
			want(t, form, "grant_type", "client_credentials", "client_id", "me", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")

			s.Audience = "https://issuer.example"
			w = &wire{body: good}
			if _, err := s.ClientCredentials(t.Context(), w.do, c, nil); err != nil {
				t.Fatal(err)
			}
			if got := verify(t, key, alg, w.form(t).Get("client_assertion"))["aud"]; got != s.Audience {
				t.Errorf("aud %v", got)
			}
		}
	})
}
