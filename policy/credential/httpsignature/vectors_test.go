package httpsignature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys of RFC 9421, appendix B.1. Everybody knows them.
const (
	sharedSecret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

	ed25519Key = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
`

	p256Key = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIFKbhfNZfpDsW43+0+JjUr9K+bTeuxopu653+hBaXGA7oAoGCCqGSM49
AwEHoUQDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM
4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END EC PRIVATE KEY-----
`

	pssKey = `-----BEGIN PRIVATE KEY-----
MIIEvgIBADALBgkqhkiG9w0BAQoEggSqMIIEpgIBAAKCAQEAr4tmm3r20Wd/Pbqv
P1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry5
3mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7Oyr
FAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUA
AN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw
9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oy
c6XI2wIDAQABAoIBAQCUB8ip+kJiiZVKF8AqfB/aUP0jTAqOQewK1kKJ/iQCXBCq
pbo360gvdt05H5VZ/RDVkEgO2k73VSsbulqezKs8RFs2tEmU+JgTI9MeQJPWcP6X
aKy6LIYs0E2cWgp8GADgoBs8llBq0UhX0KffglIeek3n7Z6Gt4YFge2TAcW2WbN4
XfK7lupFyo6HHyWRiYHMMARQXLJeOSdTn5aMBP0PO4bQyk5ORxTUSeOciPJUFktQ
HkvGbym7KryEfwH8Tks0L7WhzyP60PL3xS9FNOJi9m+zztwYIXGDQuKM2GDsITeD
2mI2oHoPMyAD0wdI7BwSVW18p1h+jgfc4dlexKYRAoGBAOVfuiEiOchGghV5vn5N
RDNscAFnpHj1QgMr6/UG05RTgmcLfVsI1I4bSkbrIuVKviGGf7atlkROALOG/xRx
DLadgBEeNyHL5lz6ihQaFJLVQ0u3U4SB67J0YtVO3R6lXcIjBDHuY8SjYJ7Ci6Z6
vuDcoaEujnlrtUhaMxvSfcUJAoGBAMPsCHXte1uWNAqYad2WdLjPDlKtQJK1diCm
rqmB2g8QE99hDOHItjDBEdpyFBKOIP+NpVtM2KLhRajjcL9Ph8jrID6XUqikQuVi
4J9FV2m42jXMuioTT13idAILanYg8D3idvy/3isDVkON0X3UAVKrgMEne0hJpkPL
FYqgetvDAoGBAKLQ6JZMbSe0pPIJkSamQhsehgL5Rs51iX4m1z7+sYFAJfhvN3Q/
OGIHDRp6HjMUcxHpHw7U+S1TETxePwKLnLKj6hw8jnX2/nZRgWHzgVcY+sPsReRx
NJVf+Cfh6yOtznfX00p+JWOXdSY8glSSHJwRAMog+hFGW1AYdt7w80XBAoGBAImR
NUugqapgaEA8TrFxkJmngXYaAqpA0iYRA7kv3S4QavPBUGtFJHBNULzitydkNtVZ
3w6hgce0h9YThTo/nKc+OZDZbgfN9s7cQ75x0PQCAO4fx2P91Q+mDzDUVTeG30mE
t2m3S0dGe47JiJxifV9P3wNBNrZGSIF3mrORBVNDAoGBAI0QKn2Iv7Sgo4T/XjND
dl2kZTXqGAk8dOhpUiw/HdM3OGWbhHj2NdCzBliOmPyQtAr770GITWvbAI+IRYyF
S7Fnk6ZVVVHsxjtaHy1uJGFlaZzKR4AGNaUTOJMs6NadzCmGPAxNQQOCqoUjn4XR
rOjr9w349JooGXhOxbu8nOxX
-----END PRIVATE KEY-----
`
)

// decode reads a block; keys are secrets of the environment.
func decode(t testing.TB, src string, environ ...string) (*Block, hcl.Diagnostics) {
	t.Helper()
	for name, line := range map[string]string{"key": `env("K")`, "alg": `"hmac-sha256"`} {
		if !strings.Contains("\n"+src, "\n"+name+" =") {
			src += "\n" + name + " = " + line
		}
	}
	b := &Block{live: credential.NewLive()}
	return b, block.Decode(parse(t, src), block.NewContext("test", block.NewSecrets(environ)), b)
}

func parse(t testing.TB, src string) hcl.Body {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(src+"\n"), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", src, diags)
	}
	return f.Body
}

// signing is a compiled block.
func signing(t testing.TB, src string) *Block {
	t.Helper()
	b, diags := decode(t, src, "K=0123456789")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, err := b.Stage(policy.Scope{Provider: "p"}); err != nil {
		t.Fatal(err)
	}
	return b
}

// request is that of RFC 9421, appendix B.2.
func request() (*http.Request, *policy.Exchange) {
	r := &http.Request{
		Method: "POST", Host: "example.com", URL: &url.URL{Scheme: "https", Host: "example.com", Path: "/foo", RawQuery: "param=Value&Pet=dog"},
		Header: http.Header{"Date": {"Tue, 20 Apr 2021 02:07:55 GMT"}, "Content-Type": {"application/json"}},
	}
	const body = `{"hello": "world"}`
	return r, &policy.Exchange{Body: policy.NewBody(strings.NewReader(body), int64(len(body)), 1<<10)}
}

const digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"

// examples are those of RFC 9421, appendix B.2, that sign a request. A signature
// of RSASSA-PSS is another each time: that of the RFC has to be one of our base.
var examples = []struct{ name, src, key, base, signature string }{
	{"B.2.1", `alg = "rsa-pss-sha512"
		key_id     = "test-key-rsa-pss"
		parameters = ["created", "keyid", "nonce"]
		label      = "sig-b21"`, pssKey, `"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`, "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q=="},
	{"B.2.2", `alg = "rsa-pss-sha512"
		key_id     = "test-key-rsa-pss"
		components = ["@authority", "content-digest", "@query-param;name=Pet"]
		tag        = "header-example"
		label      = "sig-b22"`, pssKey, `"@authority": example.com
"content-digest": ` + digest + `
"@query-param";name="Pet": dog
"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`, "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw=="},
	{"B.2.3", `alg = "rsa-pss-sha512"
		key_id     = "test-key-rsa-pss"
		components = ["date", "@method", "@path", "@query", "@authority", "content-type", "content-digest", "content-length"]
		label      = "sig-b23"`, pssKey, `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": ` + digest + `
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`, "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA=="},
	{"B.2.5", `alg = "hmac-sha256"
		key_encoding = "base64"
		key_id       = "test-shared-secret"
		components   = ["date", "@authority", "content-type"]
		label        = "sig-b25"`, sharedSecret, `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="},
	{"B.2.6", `alg = "ed25519"
		key_id     = "test-key-ed25519"
		components = ["date", "@method", "@path", "@authority", "content-type", "content-length"]
		label      = "sig-b26"`, ed25519Key, `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`, "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="},
}

// TestExamples signs the examples of RFC 9421 at their time.
func TestExamples(t *testing.T) {
	for _, c := range examples {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(1618884473, 0)))
				b := signing(t, c.src+"\ndigest = \"sha-512\"")
				b.live.Nonce = func() string { return "b3k2pp5k7z-50gnwp.yemd" }
				id, _ := b.KeyID[0].Literal()
				if c.name == "B.2.1" {
					b.Components = nil // which no policy may say
				}
				r, x := request()
				if err := b.sign(r, x, c.key, id); err != nil {
					t.Fatal(err)
				}
				if got := r.Header.Get("Content-Digest"); got != digest {
					t.Errorf("digest %s", got)
				}
				var made texts
				if err := b.write(&made, r, x.Outgoing().Len(), false, id, b.clock.Now()); err != nil || string(made.base) != c.base {
					t.Fatalf("base\n%s\nwant\n%s\n%v", made.base, c.base, err)
				}
				_, params, _ := strings.Cut(c.base, `"@signature-params": `)
				if got := r.Header.Get("Signature-Input"); got != b.Label+"="+params || got != string(made.input) {
					t.Errorf("input %s, want %s", got, params)
				}
				text, ok := strings.CutPrefix(r.Header.Get("Signature"), b.Label+"=:")
				ours := bytesIn(t, strings.TrimSuffix(text, ":"))
				if !ok || !strings.HasSuffix(text, ":") {
					t.Errorf("signature %s", r.Header.Get("Signature"))
				}
				if b.Alg != PSS {
					if base64.StdEncoding.EncodeToString(ours) != c.signature {
						t.Errorf("signature %s, want %s", text, c.signature)
					}
					return
				}
				for whose, s := range map[string][]byte{"the RFC": bytesIn(t, c.signature), "this program": ours} {
					if err := verified(t, PSS, c.key, made.base, s); err != nil {
						t.Errorf("the signature of %s: %v", whose, err)
					}
				}
			})
		})
	}
}

func bytesIn(t testing.TB, text string) []byte {
	t.Helper()
	p, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// verified checks a signature with the public half of a key.
func verified(t testing.TB, alg Alg, private string, base, signature []byte) error {
	t.Helper()
	key, err := oauth.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	long, short, middle := sha512.Sum512(base), sha256.Sum256(base), sha512.Sum384(base)
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		if alg == PSS {
			return rsa.VerifyPSS(k, crypto.SHA512, long[:], signature, &rsa.PSSOptions{SaltLength: 64})
		}
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, short[:], signature)
	case ed25519.PublicKey:
		if !ed25519.Verify(k, base, signature) {
			return errors.New("it does not fit")
		}
	case *ecdsa.PublicKey:
		sum, half := short[:], 32
		if alg == P384 {
			sum, half = middle[:], 48
		}
		if len(signature) != 2*half || !ecdsa.Verify(k, sum, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
			return fmt.Errorf("%d bytes do not fit", len(signature))
		}
	}
	return nil
}

// TestECDSA has the form of example B.2.4, which signs an answer.
func TestECDSA(t *testing.T) {
	base := []byte(`"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`)
	if err := verified(t, P256, p256Key, base, bytesIn(t, "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")); err != nil {
		t.Fatalf("that of the RFC: %v", err)
	}
}
