package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/op"
)

// authServer starts an authorization server that ends with the test.
func authServer(t *testing.T, cfg op.Config) *op.Server {
	t.Helper()
	s, err := op.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// grants counts what was asked of a token endpoint, by grant_type.
func grants(s *faults.Server) map[string]int {
	n := map[string]int{}
	for _, r := range s.RequestsTo("/token") {
		form, _ := url.ParseQuery(string(r.Body)) // "" for what cannot be read
		n[form.Get("grant_type")]++
	}
	return n
}

// statuses counts what an API answered.
func statuses(s *faults.Server) map[int]int {
	n := map[int]int{}
	for _, r := range s.RequestsTo("/me") {
		n[r.Status]++
	}
	return n
}

// opPolicy is the API behind an authorization server, with one credential.
func opPolicy(s interface{ URL() string }, credential string) string {
	return "provider \"op\" {\n  hosts = [\"api.op.test\"]\n  upstream = \"" + s.URL() + "\"\n" + credential + "\n}\n"
}

// me asks the API who the call is from.
func me(t *testing.T, c *http.Client, header ...string) (op.Me, harness.Answer) {
	t.Helper()
	a := call(t, c, http.MethodGet, "https://api.op.test/me", "", header...)
	var who op.Me
	if a.Status == http.StatusOK {
		if err := json.Unmarshal([]byte(a.Body), &who); err != nil {
			t.Fatalf("%q: %v", a.Body, err)
		}
	}
	return who, a
}

// TestGrantsWithoutAPerson: every way to be given a token that no person has a part in, at a server that nobody here wrote.
func TestGrantsWithoutAPerson(t *testing.T) {
	harness.Binary(t)
	s := authServer(t, op.Config{})
	const id, secret = "an app: 100 %", "s3cret:/+&=é 漢" // RFC 6749 §2.3.1 has both form-encoded
	if err := s.Client(id, secret); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.SigningClient("signer", key.Public(), "k1", jose.ES256)
	s.Issues("robot@example.com", "ada", key.Public(), "k2", jose.ES256)
	clientCredentials := func(attributes string) string {
		return fmt.Sprintf("credential \"oauth2_client_credentials\" {\n token_url = %q\n scopes = [\"orders.read\"]\n%s\n}", s.At("/token"), attributes)
	}
	quotedID := fmt.Sprintf("client_id = %q\n", id)
	for _, tt := range []struct {
		name, credential string
		want             op.Me
	}{
		{"basic", clientCredentials(quotedID + `client_secret = [env("SECRET")]`), op.Me{Client: id}},
		{"post", clientCredentials(quotedID + "auth = \"post\"\n" + `client_secret = [env("SECRET")]`), op.Me{Client: id}},
		{"the older secret", clientCredentials(quotedID + `client_secret = [env("WRONG"), env("SECRET")]`), op.Me{Client: id}},
		{
			"private_key_jwt", clientCredentials("client_id = \"signer\"\n auth = \"private_key_jwt\"\n key = [file(\"key.pem\")]\n key_id = \"k1\""),
			op.Me{Client: "signer"},
		},
		{"assertion", fmt.Sprintf(`credential "jwt_bearer" {
			token_url = %q
			issuer    = "robot@example.com"
			subject   = "ada"
			key       = [file("key.pem")]
			key_id    = "k2"
			scopes    = ["orders.read"]
		}`, s.At("/token")), op.Me{Subject: "ada"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := harness.Start(t, harness.Files{
				"op.hcl": opPolicy(s, tt.credential), "key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
			}, harness.WithEnv("SECRET", secret), harness.WithEnv("WRONG", "not-"+secret))
			s.Forget()
			for range 3 {
				who, a := me(t, p.Client(false))
				if a.Status != http.StatusOK || who.Client != tt.want.Client || who.Subject != tt.want.Subject || fmt.Sprint(who.Scopes) != "[orders.read]" {
					t.Fatalf("%d %s %+v", a.Status, a.Body, who)
				}
			}
			good := 0
			for _, r := range s.RequestsTo("/token") {
				if r.Status == http.StatusOK {
					good++
				}
			}
			if good != 1 || statuses(s.Server)[http.StatusUnauthorized] != 0 {
				t.Errorf("%d tokens were given, the API answered %v", good, statuses(s.Server))
			}
		})
	}
	t.Run("nothing goes without a token", func(t *testing.T) {
		p := harness.Start(t, harness.Files{"op.hcl": opPolicy(s, clientCredentials(quotedID+`client_secret = [env("WRONG")]`))}, harness.WithEnv("WRONG", "not-"+secret))
		s.Forget()
		for range 5 {
			_, a := me(t, p.Client(false))
			if pr, err := a.Problem(); err != nil || pr.Code != "credential_unavailable" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
		if n := len(s.RequestsTo("/me")); n != 0 {
			t.Errorf("%d calls reached the API", n)
		}
		if n := len(s.RequestsTo("/token")); n != 1 {
			t.Errorf("the token endpoint was asked %d times for what it had refused", n)
		}
	})
}

// TestTokensAreRenewedInTime: over several lives of a token no call is refused, and none waits for an answer that is late.
func TestTokensAreRenewedInTime(t *testing.T) {
	harness.Binary(t)
	s := authServer(t, op.Config{Life: 2 * time.Second})
	if err := s.Client("app", "s3cret"); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, harness.Files{"op.hcl": opPolicy(s, fmt.Sprintf(`credential "oauth2_client_credentials" {
		token_url     = %q
		client_id     = "app"
		client_secret = [env("SECRET")]
	}`, s.At("/token")))}, harness.WithEnv("SECRET", "s3cret"))
	c := p.Client(false)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, a := me(t, c); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if n := statuses(s.Server); n[http.StatusUnauthorized] != 0 || n[http.StatusOK] < 100 {
		t.Errorf("the API answered %v", n)
	}
	if n := grants(s.Server)["client_credentials"]; n < 3 || n > 8 { // fosite rounds: a life is one second or two
		t.Errorf("%d tokens in five seconds", n)
	}
}
