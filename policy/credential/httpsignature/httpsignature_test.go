package httpsignature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// TestRefusedBlocks: what would not do what it says is no policy.
func TestRefusedBlocks(t *testing.T) {
	for src, want := range map[string]string{
		`alg = "hs2019"`:                               `Unknown algorithm "hs2019"`,
		`digest = "sha-1"`:                             `Unknown digest "sha-1"`,
		`components = []`:                              "covers nothing",
		`components = ["@method", "@METHOD"]`:          "@method is there twice",
		`components = ["@status"]`:                     `no component "@status"`,
		`components = ["@signature-params"]`:           `no component "@signature-params"`,
		`components = ["@query-param"]`:                "needs the name of one",
		`components = ["@query-param;name="]`:          "needs the name of one",
		`components = ["@query-param;id"]`:             "needs the name of one",
		`components = ["x-list;sf"]`:                   "parameters of a component",
		`components = ["@method;req"]`:                 "parameters of a component",
		`components = ["x y"]`:                         "neither a header nor a derived component",
		`components = ["TE"]`:                          "may be changed on the way",
		`components = ["Signature-Input"]`:             "cannot be signed",
		`key_id = ["a", "b"]`:                          "2 ids do not go with 1 keys",
		"alg = \"ed25519\"\nkey_encoding = \"hex\"":    "a private key is PEM",
		`key_encoding = "pem"`:                         "unknown encoding of a key",
		`label = "Sig"`:                                "is no label",
		`label = ""`:                                   "is no label",
		`tag = "é"`:                                    "printable ASCII",
		`expires = "-1s"`:                              "expires",
		`parameters = ["keyid"]`:                       "without created",
		`parameters = ["created", "created"]`:          "created is there twice",
		`parameters = ["created", "keyid"]`:            "keyid needs a value: set key_id",
		`parameters = ["created", "expires"]`:          "expires needs a value: set expires",
		`parameters = ["created", "tag"]`:              "tag needs a value: set tag",
		"parameters = [\"created\"]\nkey_id = \"a\"":   "parameters does not have keyid",
		"parameters = [\"created\"]\nexpires = \"1m\"": "parameters does not have expires",
		`parameters = ["created", "algorithm"]`:        `unknown parameter "algorithm"`,
		`rotate_on = ["timeout"]`:                      "says nothing about the key",
		"components = [\"@query-param;name=a\", \"@query-param;name=\\\"a\\\"\"]": "is there twice",
	} {
		_, diags := decode(t, src)
		if text := diags.Error(); !diags.HasErrors() || !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("%q: %s, want %q", src, text, want)
		}
	}
}

// TestComponents: the values of RFC 9421 §2, as the request leaves.
func TestComponents(t *testing.T) {
	r := func(method, target, host string, h http.Header) *http.Request {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{Method: method, URL: u, Host: host, Header: h}
	}
	// §2.2.8 has these.
	const query = "https://www.example.com/path?param=value&foo=bar&baz=batman&qux="
	const coded = "https://www.example.com/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something"
	const absent = "\x00"
	for _, c := range []struct {
		component string
		r         *http.Request
		want      string
	}{
		{"@method", r("POST", query, "", nil), "POST"},
		{"@target-uri", r("GET", "https://www.example.com/path?param=value", "", nil), "https://www.example.com/path?param=value"},
		{"@target-uri", r("GET", "https://www.example.com", "", nil), "https://www.example.com/"},
		{"@target-uri", r("GET", "https://127.0.0.1/a%2Fb?", "api.example", nil), "https://api.example/a%2Fb?"},
		{"@authority", r("GET", query, "", nil), "www.example.com"},
		{"@authority", r("GET", query, "WWW.Example.com:443", nil), "www.example.com"},
		{"@authority", r("GET", query, "www.example.com:80", nil), "www.example.com:80"},
		{"@authority", r("GET", "http://x/", "www.example.com:80", nil), "www.example.com"},
		{"@scheme", r("GET", query, "", nil), "https"},
		{"@request-target", r("GET", query, "", nil), "/path?param=value&foo=bar&baz=batman&qux="},
		{"@path", r("GET", query, "", nil), "/path"},
		{"@path", r("GET", "https://www.example.com", "", nil), "/"},
		{"@path", r("GET", "https://www.example.com/a%2fb/%7Ec", "", nil), "/a%2fb/%7Ec"},
		{"@query", r("GET", query, "", nil), "?param=value&foo=bar&baz=batman&qux="},
		{"@query", r("GET", "https://www.example.com/path?queryString", "", nil), "?queryString"},
		{"@query", r("GET", "https://www.example.com/path", "", nil), "?"},
		{"@query-param;name=baz", r("GET", query, "", nil), "batman"},
		{"@query-param;name=qux", r("GET", query, "", nil), ""},
		{"@query-param;name=none", r("GET", query, "", nil), absent},
		{"@query-param;name=a", r("GET", "https://x/?a=1&%61=2", "", nil), absent},
		{"@query-param;name=a", r("GET", "https://x/?a=%zz", "", nil), absent},
		{"@query-param;name=a", r("GET", "https://x/?b=1;a=2&a=x;y~*.-_!", "", nil), "x%3By%7E*.-_%21"},
		{"@query-param;name=var", r("GET", coded, "", nil), "this%20is%20a%20big%0Amultiline%20value"},
		{"@query-param;name=bar", r("GET", coded, "", nil), "with%20plus%20whitespace"},
		{`@query-param;name=façade": `, r("GET", coded, "", nil), "something"},
		{"host", r("GET", query, "Www.example.com:8443", nil), "Www.example.com:8443"},
		{"X-OWS", r("GET", query, "", http.Header{"X-Ows": {" Leading and trailing whitespace. \t"}}), "Leading and trailing whitespace."},
		{"cache-control", r("GET", query, "", http.Header{"Cache-Control": {"max-age=60", "   must-revalidate "}}), "max-age=60, must-revalidate"},
		{"x-empty-header", r("GET", query, "", http.Header{"X-Empty-Header": {""}}), ""},
		{"x-none", r("GET", query, "", http.Header{}), absent},
	} {
		var name Component
		if err := name.UnmarshalText([]byte(c.component)); err != nil {
			t.Errorf("%s: %v", c.component, err)
			continue
		}
		got, ok := name.value(c.r, 0)
		if !ok {
			got = absent
		}
		if got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.component, c.r.URL, got, c.want)
		}
	}
	var facade Component
	if err := facade.UnmarshalText([]byte(`@query-param;name=façade": `)); err != nil || facade.id != `"@query-param";name="fa%C3%A7ade%22%3A%20"` {
		t.Errorf("%s, %v", facade.id, err)
	}
}

// TestBodies: a request without a body has no digest and needs none, and what says
// how long a body is is what leaves.
func TestBodies(t *testing.T) {
	const all = `components = ["@method", "content-digest", "content-type", "content-length", "content-encoding"]`
	for _, c := range []struct {
		name, src, body string
		length, limit   int64
		header          http.Header
		want            string // what is signed
		code            policy.Code
	}{
		{"none", all, "", 0, 100, nil, `("@method")`, ""},
		{"none, as it turns out", all, "", -1, 100, nil, `("@method")`, ""},
		{"none, with a type", all, "", 0, 100, http.Header{"Content-Type": {"a/b"}}, `("@method" "content-type")`, ""},
		{"announced", all, "abc", 3, 100, http.Header{"Content-Type": {"a/b"}, "Content-Encoding": {"x"}}, `("@method" "content-digest" "content-type" "content-length" "content-encoding")`, ""},
		{"not announced", all, "abc", -1, 100, http.Header{"Content-Type": {"a/b"}, "Content-Encoding": {"x"}}, `("@method" "content-digest" "content-type" "content-length" "content-encoding")`, ""},
		{"of no type", all, "abc", 3, 100, nil, "", policy.BadRequest},
		{"long", "", "abcd", 4, 3, nil, "", policy.BodyTooLarge},
		{"long, not announced", "", "abcd", -1, 3, nil, "", policy.BodyTooLarge},
		{"long, and not read", "digest = \"none\"\ncomponents = [\"@method\", \"content-length\"]", "abcd", 4, 3, nil, `("@method" "content-length")`, ""},
		{"long, not announced, and the length is signed", "digest = \"none\"\ncomponents = [\"content-length\"]", "abcd", -1, 3, nil, "", policy.BodyTooLarge},
		{"the application's digest", "digest = \"none\"", "abc", -1, 3, http.Header{"Content-Digest": {"md5=:kAFQmDzST7DWlj99KOF/cg==:"}}, `("@method" "@target-uri" "content-digest")`, ""},
		{"nobody's digest", "digest = \"none\"", "abc", 3, 100, nil, "", policy.BadRequest},
		{"length of a body with trailers", all, "abc", 3, 100, http.Header{"Content-Type": {"a/b"}, "Content-Encoding": {"x"}, "Trailer": {"X"}}, "", policy.BadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := signing(t, c.src)
			r := &http.Request{Method: "PUT", URL: &url.URL{Scheme: "https", Host: "p.example", Path: "/x"}, Header: http.Header{}}
			for name, v := range c.header {
				if name == "Trailer" {
					r.Trailer = http.Header{"X": nil}
				} else {
					r.Header[name] = v
				}
			}
			x := &policy.Exchange{Body: policy.NewBody(strings.NewReader(c.body), c.length, c.limit)}
			err := b.sign(r, x, "0123456789", "")
			var d *policy.Denial
			if c.code != "" {
				if !errors.As(err, &d) || d.Code != c.code || r.Header.Get("Signature") != "" {
					t.Errorf("%v, want %s", err, c.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Header.Get("Signature-Input"); !strings.HasPrefix(got, "sig1="+c.want+";created=") {
				t.Errorf("%s, want %s", got, c.want)
			}
			if strings.Contains(c.want, contentLength) && x.Outgoing().Len() != int64(len(c.body)) {
				t.Errorf("the length that is signed will not be announced: %d", x.Outgoing().Len())
			}
			if wants := b.Digest != None && c.body != ""; wants != strings.HasPrefix(r.Header.Get("Content-Digest"), "sha-256=:") {
				t.Errorf("digest %q", r.Header.Get("Content-Digest"))
			}
		})
	}
}

// TestDate: one that is signed is put if the application sends none.
func TestDate(t *testing.T) {
	b := signing(t, `components = ["date"]`)
	for _, sent := range []string{"", "Tue, 20 Apr 2021 02:07:55 GMT"} {
		r, x := request()
		r.Header.Del("Date")
		if sent != "" {
			r.Header.Set("Date", sent)
		}
		if err := b.sign(r, x, "0123456789", ""); err != nil {
			t.Fatal(err)
		}
		at, err := http.ParseTime(r.Header.Get("Date"))
		if err != nil || sent != "" && r.Header.Get("Date") != sent || sent == "" && b.clock.Now().Sub(at).Abs().Minutes() > 1 {
			t.Errorf("%q: %q, %v", sent, r.Header.Get("Date"), err)
		}
	}
}

// TestParameters: what is said of the signature, in the order that is written.
func TestParameters(t *testing.T) {
	b := signing(t, `components = ["@method"]
		parameters = ["tag", "alg", "nonce", "keyid", "expires", "created"]
		tag        = "a \"b\\"
		key_id     = "k"
		expires    = "5m"`)
	b.live.Nonce = func() string { return "n" }
	r, x := request()
	if err := b.sign(r, x, "0123456789", `"\`); err != nil {
		t.Fatal(err)
	}
	got := r.Header.Get("Signature-Input")
	head, times, _ := strings.Cut(got, ";expires=")
	if head != `sig1=("@method");tag="a \"b\\";alg="hmac-sha256";nonce="n";keyid="\"\\"` {
		t.Error(got)
	}
	expires, created, ok := strings.Cut(times, ";created=")
	if n := len(created) - 3; !ok || len(created) != 10 || expires == created || expires[:n-3] != created[:n-3] {
		t.Error(times)
	}
	r, x = request()
	var d *policy.Denial
	if err := b.sign(r, x, "0123456789", "schlüssel"); !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || strings.Contains(d.Error(), "schl") {
		t.Errorf("%v", err)
	}
}

// keys makes a private key of each kind, as PEM.
func keys(t testing.TB) map[Alg]string {
	t.Helper()
	out := map[Alg]string{}
	put := func(key any, err error, algs ...Alg) {
		der, wrong := x509.MarshalPKCS8PrivateKey(key)
		if err = errors.Join(err, wrong); err != nil {
			t.Fatal(err)
		}
		for _, a := range algs {
			out[a] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	put(ed, err, Ed25519)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	put(p256, err, P256)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	put(p384, err, P384)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	put(long, err, PSS, PKCS1)
	return out
}

// TestAlgorithms: each makes a signature that the public key verifies, with keys
// of its own kind only.
func TestAlgorithms(t *testing.T) {
	all := keys(t)
	for alg := range all {
		b := signing(t, `alg = "`+string(alg)+`"`)
		for of, key := range all {
			r, x := request()
			err := b.sign(r, x, key, "")
			fits := of == alg || (of == PSS || of == PKCS1) && (alg == PSS || alg == PKCS1)
			if !fits {
				var d *policy.Denial
				if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, string(alg)) || r.Header.Get("Signature") != "" {
					t.Errorf("%s with a key of %s: %v", alg, of, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			_, params, _ := strings.Cut(r.Header.Get("Signature-Input"), "=")
			base := "\"@method\": POST\n\"@target-uri\": https://example.com/foo?param=Value&Pet=dog\n\"content-digest\": " + r.Header.Get("Content-Digest") + "\n\"@signature-params\": " + params
			signature := bytesIn(t, strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Signature"), "sig1=:"), ":"))
			if err := verified(t, alg, key, []byte(base), signature); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
}

// TestKeysAreReadOnce: parsing takes longer than most signatures; keys of the past
// are forgotten.
func TestKeysAreReadOnce(t *testing.T) {
	b := signing(t, `alg = "ed25519"`)
	for _, key := range []string{keys(t)[Ed25519], keys(t)[Ed25519], ed25519Key} {
		for range 2 {
			r, x := request()
			if err := b.sign(r, x, key, ""); err != nil || !b.signers.Contains(key) {
				t.Fatal(err, b.signers.Len())
			}
		}
	}
	if n := b.signers.Len(); n != 2 { // the policy has one, and one may be in use still
		t.Errorf("%d are kept", n)
	}
}

// TestBrokenKeys: the reason is said, and nothing of the key.
func TestBrokenKeys(t *testing.T) {
	for _, c := range []struct{ src, key, want string }{
		{`alg = "ed25519"`, "hunter2", "no private key"},
		{`alg = "ed25519"`, strings.Replace(ed25519Key, "MC4C", "MC4D", 1), "cannot be read"},
		{`key_encoding = "base64"`, "hunter2 is no base64", "in base64"},
		{``, "", "in utf8"},
	} {
		r, x := request()
		var d *policy.Denial
		err := signing(t, c.src).sign(r, x, c.key, "")
		if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || !strings.Contains(d.Detail, c.want) || strings.Contains(d.Detail, "hunter2") || d.Hint == "" {
			t.Errorf("%s: %v", c.src, err)
		}
	}
}

// TestStandIns: in a test of a policy any text is a key, and a true one is used as
// it is.
func TestStandIns(t *testing.T) {
	for _, alg := range []Alg{HMAC, Ed25519, P256, P384, PSS, PKCS1} {
		b := &Block{live: credential.NewLive()}
		diags := block.Decode(parse(t, "key = env(\"K\")\nalg = \""+string(alg)+"\""), block.NewContext("test", block.StandIns()), b)
		if _, err := b.Stage(policy.Scope{}); err != nil || diags.HasErrors() {
			t.Fatal(err, diags)
		}
		for _, key := range []string{"stand-in-for-env-K", ed25519Key} {
			r, x := request()
			other := key == ed25519Key && alg != Ed25519 && alg != HMAC // a true key is used as it is
			if err := b.sign(r, x, key, ""); (err != nil) != other {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
	b := &Block{Alg: Ed25519} // signatures of a stand-in can be asserted
	one, _ := b.standIn("x")
	same, _ := b.standIn("x")
	other, _ := b.standIn("y")
	if is := one.(ed25519.PrivateKey); !is.Equal(same) || is.Equal(other) {
		t.Error("a stand-in is not always the same")
	}
}
