package jws

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
)

// FuzzToken: no token is accepted that nobody has signed, and none panics.
func FuzzToken(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA", "..", "a.b.c", "eyJhbGciOiJSUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9..AAAA", `{"payload":"e30"}`,
	} {
		f.Add(seed, []byte("{}"))
	}
	from := func(context.Context, string) ([]keys.Key, error) {
		return []keys.Key{{ID: "k1", Public: key.Public(), Text: []byte("k1")}}, nil
	}
	f.Fuzz(func(t *testing.T, token string, payload []byte) {
		for _, alg := range []Algorithm{"RS256", "ES256", "EdDSA"} {
			if _, v := Open(t.Context(), token, alg, from); v.Result == inbound.Accepted {
				t.Fatalf("%q was accepted", token)
			}
			if v := Detached(t.Context(), token, payload, alg, from); v.Result == inbound.Accepted {
				t.Fatalf("%q was accepted", token)
			}
		}
		e := Expect{Issuers: []string{"x"}, Audience: []string{"y"}, MaxAge: time.Minute}
		e.Check(inbound.Verdict{Result: inbound.Accepted}, payload, &inbound.Request{Received: time.Now()})
	})
}
