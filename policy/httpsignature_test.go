package policy_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
)

// inputOf is what Signature-Input says of sig1, and the bytes of Signature.
func inputOf(t testing.TB, h http.Header) (input string, signature []byte) {
	t.Helper()
	input, ok := strings.CutPrefix(h.Get("Signature-Input"), "sig1=")
	text, found := strings.CutPrefix(h.Get("Signature"), "sig1=:")
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, ":"))
	if !ok || !found || err != nil || len(h["Signature"]) != 1 || len(h["Signature-Input"]) != 1 {
		t.Fatalf("%v, %v", h, err)
	}
	return input, signature
}

// TestP29SignatureAfresh: each attempt has a signature of its own, of what leaves:
// what other credentials put, the version, and the key of the call.
func TestP29SignatureAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503, header: map[string]string{"Retry-After": "2"}}, step{status: 200})
		h := compile(t, s.RoundTrip, `
			idempotency { header = "Idempotency-Key" }
			credential "http_signature" {
				key        = env("NEW")
				key_id     = "k"
				alg        = "hmac-sha256"
				components = ["@method", "@target-uri", "authorization", "idempotency-key", "content-digest", "content-length"]
				parameters = ["created", "nonce", "keyid"]
			}
			version {
				path = "v{version}"
				pin  = "7"
			}
			credential "bearer" { token = env("OLD") }`)
		x, resp, err := h.do(call{method: "POST", path: "/v1/a%2Fb?b=%20+&a", body: "x=1", header: http.Header{
			"Signature": {"sig1=:AAAA:", "other=:AAAA:"}, "Signature-Input": {"sig1=();created=1"}, "Content-Digest": {"sha-256=:AAAA:"}, "Authorization": {"dummy"},
		}})
		finish(t, resp, err)
		if len(s.sent) != 2 {
			t.Fatalf("sent %d times", len(s.sent))
		}
		sum := sha256.Sum256([]byte("x=1"))
		seen := map[string]bool{}
		for i, r := range s.sent {
			key := r.Header.Get("Idempotency-Key")
			input, signature := inputOf(t, r.Header)
			base := `"@method": POST
"@target-uri": https://p.example/v7/a%2Fb?b=%20+&a
"authorization": Bearer old-key-9876543210
"idempotency-key": ` + key + `
"content-digest": sha-256=:` + base64.StdEncoding.EncodeToString(sum[:]) + `:
"content-length": 3
"@signature-params": ` + input
			mac := hmac.New(sha256.New, []byte("new-key-0123456789"))
			mac.Write([]byte(base))
			if !hmac.Equal(mac.Sum(nil), signature) || key == "" || key != s.sent[0].Header.Get("Idempotency-Key") {
				t.Errorf("attempt %d: not the signature of\n%s\nbut of %v", i, base, r.Header)
			}
			created := strings.TrimPrefix(strings.Split(input, ";")[1], "created=")
			nonce := strings.Split(input, ";")[2]
			if seen[created] || seen[nonce] || !strings.HasPrefix(nonce, `nonce="`) {
				t.Errorf("attempt %d is said to be of %s, %s", i, created, nonce)
			}
			seen[created], seen[nonce] = true, true
		}
		if x.Request.Header.Get("Signature-Input") != "sig1=();created=1" {
			t.Error("what is kept of the call was signed")
		}
	})
}

// TestHTTPSignatureRotation: a key that is refused is followed by the next one,
// with its own name.
func TestHTTPSignatureRotation(t *testing.T) {
	s := play(t, step{status: 401}, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "http_signature" {
		key    = [env("NEW"), env("OLD")]
		key_id = ["first", "second"]
		alg    = "hmac-sha256"
	}`)
	_, resp, err := h.do(call{method: "GET", path: "/x"})
	finish(t, resp, err)
	if len(s.sent) != 2 {
		t.Fatalf("sent %d times", len(s.sent))
	}
	for i, want := range []struct{ id, key string }{{"first", "new-key-0123456789"}, {"second", "old-key-9876543210"}} {
		input, signature := inputOf(t, s.sent[i].Header)
		mac := hmac.New(sha256.New, []byte(want.key))
		mac.Write([]byte("\"@method\": GET\n\"@target-uri\": https://p.example/x\n\"@signature-params\": " + input))
		if !strings.HasSuffix(input, `keyid="`+want.id+`"`) || !hmac.Equal(mac.Sum(nil), signature) {
			t.Errorf("attempt %d: %v", i, s.sent[i].Header)
		}
	}
}

// TestHTTPSignatureKeys: a private key has line breaks, whether or not its name is
// a secret; of these only the name is masked in answers.
func TestHTTPSignatureKeys(t *testing.T) {
	const private = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"
	signer, err := oauth.ParsePrivateKey([]byte("-----BEGIN PRIVATE KEY-----\n" + private + "\n-----END PRIVATE KEY-----"))
	if err != nil {
		t.Fatal(err)
	}
	for id, masked := range map[string]string{`"the-user-name"`: "the-user-name", `env("USER_NAME")`: "*************"} {
		s := play(t, step{status: 200, body: "the-user-name " + private})
		h := compile(t, s.RoundTrip, "credential \"http_signature\" {\nkey = env(\"SIGNING\")\nalg = \"ed25519\"\nkey_id = "+id+"\n}")
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		if got := finish(t, resp, err); got != masked+" "+private {
			t.Errorf("%s: %s", id, got)
		}
		input, signature := inputOf(t, s.sent[0].Header)
		base := "\"@method\": GET\n\"@target-uri\": https://p.example/x\n\"@signature-params\": " + input
		if !ed25519.Verify(signer.Public().(ed25519.PublicKey), []byte(base), signature) {
			t.Errorf("%s: %v", id, s.sent[0].Header)
		}
	}
}

// TestHTTPSignatureFailsClosed: what cannot be signed does not leave.
func TestHTTPSignatureFailsClosed(t *testing.T) {
	for _, c := range []struct {
		name, src string
		code      policy.Code
		hint      string
	}{
		{"no key", "key = env(\"NONE\")\nalg = \"ed25519\"", policy.CredentialUnavailable, ""},
		{"no PEM", "key = env(\"NEW\")\nalg = \"ed25519\"", policy.CredentialUnavailable, "as PEM"},
		{"another algorithm", "key = env(\"SIGNING\")\nalg = \"rsa-pss-sha512\"", policy.CredentialUnavailable, "write alg to go with it"},
		{"a header that is not there", "key = env(\"NEW\")\nalg = \"hmac-sha256\"\ncomponents = [\"x-tenant\"]", policy.BadRequest, "take it out of components"},
		{"a parameter that is there twice", "key = env(\"NEW\")\nalg = \"hmac-sha256\"\ncomponents = [\"@query-param;name=a\"]", policy.BadRequest, "take it out of components"},
	} {
		s := play(t, step{status: 200})
		_, _, err := compile(t, s.RoundTrip, "credential \"http_signature\" {\n"+c.src+"\n}").do(call{method: "GET", path: "/x?a=1&a=2"})
		if d := denied(t, err, c.code); len(s.sent) != 0 || !strings.Contains(d.Hint, c.hint) || strings.Contains(d.Error()+d.Hint, "0123456789") {
			t.Errorf("%s: sent %d times: %v, %s", c.name, len(s.sent), d, d.Hint)
		}
	}
}

// TestHTTPSignatureClock: a refusal that shows the clock to be wrong is followed by
// a signature of the provider's time, which expires then.
func TestHTTPSignatureClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(-10 * time.Minute).UTC().Format(http.TimeFormat)
		s := play(t, step{status: 401, header: map[string]string{"Date": date}}, step{status: 200})
		h := compile(t, s.RoundTrip, "credential \"http_signature\" {\nkey = env(\"NEW\")\nalg = \"hmac-sha256\"\nexpires = \"1m\"\n}")
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if len(s.sent) != 2 {
			t.Fatalf("sent %d times", len(s.sent))
		}
		first, _ := inputOf(t, s.sent[0].Header)
		second, _ := inputOf(t, s.sent[1].Header)
		if first != `("@method" "@target-uri");created=946684800;expires=946684860` || second != `("@method" "@target-uri");created=946684200;expires=946684260` {
			t.Errorf("%s, then %s", first, second)
		}
	})
}
