package inbound_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound/keys"
)

// TestCircle: the key is asked for by its name, once, and only what it has signed is
// taken.
func TestCircle(t *testing.T) {
	key, other := curveKey(t), curveKey(t)
	const id, another, rsaID, gone, down = "879dc113-5ca4-4ff7-a6b7-54652083fcf8", "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003", "00000000-0000-4000-8000-000000000004"
	given := func(algorithm string, pub any) string {
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"data":{"id":"x","algorithm":%q,"publicKey":%q,"createDate":"2023-06-01T18:18:06.931526Z"}}`, algorithm, base64.StdEncoding.EncodeToString(der))
	}
	answers := map[string]string{id: given("ECDSA_SHA_256", key.Public()), another: given("ECDSA_SHA_512", key.Public()), rsaID: given("ECDSA_SHA_256", rsaKey().Public())}
	asked := map[string]int{}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/v2/cpn/notifications/publicKey/")
		asked[name]++
		switch text := answers[name]; {
		case !ok || r.Method != http.MethodGet:
			t.Errorf("%s %s", r.Method, r.URL)
		case name == down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case text == "":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, text)
		}
	}))
	defer api.Close()
	at, _ := url.Parse(api.URL)
	ask := func(provider, _ string) func(*http.Request) (*http.Response, error) {
		if provider != "circle" {
			t.Errorf("asked %q", provider)
		}
		return func(r *http.Request) (*http.Response, error) {
			r.URL.Scheme, r.URL.Host = at.Scheme, at.Host
			return http.DefaultClient.Do(r)
		}
	}
	made, diags := loadWith(schemes(keys.New(keys.Options{}), ask), hooked("verify \"circle\" {\npath = \"/v2/cpn/notifications/publicKey\"\nhandshake \"head\" { method = \"HEAD\" }\n}"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	signed := func(by *ecdsa.PrivateKey, id, body string) http.Header {
		sum := sha256.Sum256([]byte(body))
		sig, err := ecdsa.SignASN1(rand.Reader, by, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return set("X-Circle-Signature", base64.StdEncoding.EncodeToString(sig), "X-Circle-Key-Id", id)
	}
	without := func(name string) http.Header { h := signed(key, id, "{}"); h.Del(name); return h }
	twice := signed(key, id, "{}")
	twice.Add("X-Circle-Key-Id", id)
	b := serve(t, made)
	b.each([]one{
		{"as it is", "", `{"n":1}`, signed(key, id, `{"n":1}`), "accepted", false},
		{"another", "", `{"n":2}`, signed(key, id, `{"n":2}`), "accepted", false},
		{"once more", "", `{"n":2}`, signed(key, id, `{"n":2}`), "duplicate", false},
		{"another body", "", `{"n":4}`, signed(key, id, `{"n":3}`), "bad_signature", false},
		{"a newline more", "", "{}\n", signed(key, id, "{}"), "bad_signature", false},
		{"another's key under this name", "", "{}", signed(other, id, "{}"), "bad_signature", false},
		{"a key for another algorithm", "", "{}", signed(key, another, "{}"), "bad_signature", false},
		{"a key of another kind", "", "{}", signed(key, rsaID, "{}"), "bad_signature", false},
		{"a key that Circle does not have", "", "{}", signed(key, gone, "{}"), "bad_signature", false},
		{"a key that cannot be asked for", "", "{}", signed(key, down, "{}"), "unavailable", false},
		{"a path for a name", "", "{}", signed(key, "../../x", "{}"), "bad_signature", false},
		{"two names", "", "{}", twice, "bad_signature", false},
		{"no name", "", "{}", without("X-Circle-Key-Id"), "unsigned", false},
		{"no signature", "", "{}", without("X-Circle-Signature"), "unsigned", false},
		{"hex", "", "{}", set("X-Circle-Signature", "30450221", "X-Circle-Key-Id", id), "bad_signature", false},
	})
	if got := b.send(http.MethodHead, "/hook", nil, nil); got.status != http.StatusOK {
		t.Errorf("HEAD: %d", got.status)
	}
	if e := b.stored()[0]; e.Proof.Scheme != "circle" || e.Proof.Key == "" || len(b.stored()) != 2 || asked[id] != 1 {
		t.Errorf("%+v, asked %v", e.Proof, asked)
	}
	if _, diags := loadWith(schemes(keys.New(keys.Options{}), nil), hooked("verify \"circle\" { path = \"/v2/../x\" }")); !diags.HasErrors() {
		t.Error("a path that leads elsewhere was accepted")
	}
}
