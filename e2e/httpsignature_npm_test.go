package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// signed is a request as it reached the provider, and the key to verify it by: what node/verify.mjs reads.
type signed struct {
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Body     []byte            `json:"body"`
	Alg      string            `json:"alg"`
	Key      string            `json:"key"` // PEM, or the shared secret
	Required []string          `json:"required"`
}

// verify asks the verifier about all of them at once, and returns what it says.
func verify(t *testing.T, all []signed) (verdicts []struct {
	OK    bool
	Error string
},
) {
	t.Helper()
	var in bytes.Buffer
	for _, s := range all {
		json.NewEncoder(&in).Encode(s)
	}
	cmd := exec.CommandContext(t.Context(), "node", "verify.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = harness.NeedNode(t, "http-message-signatures"), &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		verdicts = append(verdicts, struct {
			OK    bool
			Error string
		}{})
		if err := json.Unmarshal([]byte(line), &verdicts[len(verdicts)-1]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if len(verdicts) != len(all) {
		t.Fatalf("%d verdicts on %d requests", len(verdicts), len(all))
	}
	return verdicts
}

// signatureKey makes a key for an algorithm of RFC 9421: what Postern is given, and what the verifier is.
func signatureKey(t *testing.T, alg string) (ours, theirs string) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case "hmac-sha256":
		secret := rand.Text()
		return secret, secret
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa-p256-sha256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384-sha384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("PRIVATE KEY", private), text("PUBLIC KEY", public)
}

// TestHTTPSignaturesFromNpm: a second library checks what the first one does not: @target-uri, the digest of the body, and
// a header that stands there twice. And it does check.
func TestHTTPSignaturesFromNpm(t *testing.T) {
	const origin = "https://api.p.test"
	var policy strings.Builder
	files := harness.Files{}
	keys := map[string]string{}
	algs := []string{"hmac-sha256", "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"}
	provider := upstream(t, faults.Config{})
	fmt.Fprintf(&policy, "provider \"p\" {\n hosts = [\"api.p.test\"]\n upstream = %q\n", provider.URL())
	for _, alg := range algs {
		files[alg+".key"], keys[alg] = signatureKey(t, alg)
		fmt.Fprintf(&policy, ` route "/%[1]s/**" {
  credential "http_signature" {
    key        = [file("%[1]s.key")]
    key_id     = ["key of %[1]s"]
    alg        = %[1]q
    components = ["@method", "@target-uri", "@authority", "@query", "content-digest", "content-type", "x-trace"]
    parameters = ["created", "keyid", "alg", "nonce"]
  }
 }
`, alg)
	}
	files["p.hcl"] = policy.String() + "}\n"
	p := harness.Start(t, files)
	c := p.Client(false)

	var all []signed
	for _, alg := range algs {
		for _, body := range []string{"", `{"name":"Ünï ✓"}`} {
			method, header := http.MethodGet, []string{"X-Trace", "one  two", "X-Trace", "three", "Signature", "theirs=:AAAA:"}
			if body != "" {
				method, header = http.MethodPost, append(header, "Content-Type", "application/json")
			}
			provider.Forget()
			target := "/" + alg + "/a%20b/c?q=1&r=%C3%A9+x"
			if a := call(t, c, method, origin+target, body, header...); a.Status != http.StatusOK {
				t.Fatalf("%s: %d %s", alg, a.Status, a.Body)
			}
			for _, r := range provider.Requests() {
				s := signed{Method: r.Method, URL: origin + r.Target, Headers: map[string]string{}, Body: r.Body, Alg: alg, Key: keys[alg], Required: []string{"@method", "@target-uri", "x-trace"}}
				for name, values := range r.Header {
					s.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
				}
				all = append(all, s)
			}
		}
	}
	if len(all) != 2*len(algs) {
		t.Fatalf("%d requests", len(all))
	}
	for i, v := range verify(t, all) {
		if !v.OK {
			t.Errorf("%s %s: %s; %v", all[i].Method, all[i].URL, v.Error, all[i].Headers)
		}
	}
	for i := range all { // and what somebody changed on the way is refused
		switch i % 4 {
		case 0:
			all[i].URL += "1"
		case 1:
			all[i].Body = []byte("another")
		case 2:
			all[i].Headers["x-trace"] = "one two, three"
		default:
			all[i].Method = http.MethodPut
		}
	}
	for i, v := range verify(t, all) {
		if v.OK {
			t.Errorf("accepted: %d, %s %s", i%4, all[i].Method, all[i].URL)
		}
	}
}
