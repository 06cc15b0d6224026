package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"sync"
	"testing"

	"github.com/remitly-oss/httpsig-go"
	"github.com/remitly-oss/httpsig-go/keyman"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// verifier answers 200 to requests that httpsig verifies, and 401 to others.
type verifier struct {
	keys    httpsig.KeyFetcher
	profile httpsig.VerifyProfile

	mu     sync.Mutex
	forged error // what it says of the last request, sent to another path
}

func (v *verifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, err := httpsig.Verify(r, v.keys, v.profile)
	other := r.Clone(r.Context())
	other.URL.Path += "x"
	_, forged := httpsig.Verify(other, v.keys, v.profile)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.forged = forged; err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
	}
}

// TestHTTPSignatures: what leaves, with and without a body, over HTTP/1.1 and HTTP/2, is verified by code that is not ours,
// by each algorithm.
func TestHTTPSignatures(t *testing.T) {
	harness.Binary(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const shared = "a-shared-secret-of-some-length"
	for _, tt := range []struct {
		alg httpsig.Algorithm
		key crypto.Signer
	}{
		{httpsig.Algo_HMAC_SHA256, nil},
		{httpsig.Algo_ED25519, ed},
		{httpsig.Algo_ECDSA_P256_SHA256, p256},
		{httpsig.Algo_ECDSA_P384_SHA384, p384},
		{httpsig.Algo_RSA_PSS_SHA512, long},
		{httpsig.Algo_RSA_v1_5_sha256, long},
	} {
		t.Run(string(tt.alg), func(t *testing.T) {
			text, spec := shared, httpsig.KeySpec{KeyID: "app \"1\"", Algo: tt.alg, Secret: []byte(shared)}
			if tt.key != nil {
				der, err := x509.MarshalPKCS8PrivateKey(tt.key)
				if err != nil {
					t.Fatal(err)
				}
				text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
				spec.Secret, spec.PubKey = nil, tt.key.Public()
			}
			v := &verifier{keys: keyman.NewKeyFetchInMemory(map[string]httpsig.KeySpec{spec.KeyID: spec}), profile: httpsig.VerifyProfile{
				SignatureLabel: "sig1", AllowedAlgorithms: []httpsig.Algorithm{tt.alg}, RequiredFields: httpsig.Fields("@method", "@authority", "@path", "@query", "authorization"),
				RequiredMetadata: []httpsig.Metadata{httpsig.MetaCreated, httpsig.MetaExpires, httpsig.MetaKeyID, httpsig.MetaNonce, httpsig.MetaTag},
			}}
			ca := authority(t)
			provider := upstream(t, faults.Config{CA: ca, Backend: v})
			p := harness.Start(t, harness.Files{"p.hcl": `provider "p" {
				hosts    = ["api.p.test"]
				upstream = "` + provider.URL() + `"
				credential "http_signature" {
					key        = env("SIGNING_KEY")
					key_id     = "app \"1\""
					alg        = "` + string(tt.alg) + `"
					components = ["@method", "@authority", "@path", "@query", "authorization", "content-type", "content-digest", "content-length"]
					parameters = ["created", "expires", "keyid", "nonce", "tag"]
					expires    = "1m"
					tag        = "postern"
				}
				credential "bearer" { token = env("TOKEN") }
			}`}, harness.WithEnv("SIGNING_KEY", text), harness.WithEnv("TOKEN", "t0ken-t0ken-t0ken"), harness.Trusting(ca.File))
			for _, h2 := range []bool{false, true} {
				for _, c := range []struct{ method, target, body string }{
					{"GET", "/a/b?x=1&y=%20", ""}, {"POST", "/a/b?x=+", `{"amount":1}`}, {"DELETE", "/", ""}, {"PUT", "/c", "text"},
				} {
					a := call(t, p.Client(h2), c.method, "https://api.p.test"+c.target, c.body, "Content-Type", "application/json", "Authorization", "dummy")
					if a.Status != http.StatusOK {
						t.Errorf("%s %s: %d %s", c.method, c.target, a.Status, a.Body)
					}
					v.mu.Lock()
					if v.forged == nil {
						t.Errorf("%s %s: it is verified at another path, too", c.method, c.target)
					}
					v.mu.Unlock()
				}
			}
			if got := len(provider.Requests()); got != 8 {
				t.Errorf("%d requests", got)
			}
		})
	}
}
