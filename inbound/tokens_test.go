package inbound_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
)

const jwksURL = "https://id.example.com/jwks.json"

// policyJWT is verified by keys that are published.
const policyJWT = "verify \"jwt\" {\nalg = \"RS256\"\nissuer = \"https://id.example.com\"\naudience = [\"hooks\"]\njwks_url = \"" + jwksURL + "\"\n}"

func jwk(kid string, key any) jose.JSONWebKey { return jose.JSONWebKey{KeyID: kid, Key: key} }

func jwks(t testing.TB, list ...jose.JSONWebKey) []byte {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: list})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claims(extra map[string]any) map[string]any {
	c := map[string]any{"iss": "https://id.example.com", "aud": "hooks", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	for name, v := range extra {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// signJWT signs as a provider does; header says more than alg.
func signJWT(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[string]any, body map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{})
	for name, v := range header {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(body)
	sig, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// part is a part of a token that nobody has signed rightly.
func part(v any) string {
	text, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(text)
}

// TestC37AlgorithmConfusion: the algorithm and the source of keys are those of the
// policy, whatever a token says (CVE-2026-30223: issuer and audience are required).
func TestC37AlgorithmConfusion(t *testing.T) {
	p, key, evil := publish(t), rsaKey(), curveKey(t)
	p.put("id.example.com/jwks.json", jwks(t, jwk("k1", key.Public()), jwk("ec", curveKey(t).Public())))
	p.put("evil.example.com/jwks.json", jwks(t, jwk("k1", evil.Public())))
	b := room(t, p.fetcher(), policyJWT)
	good := signJWT(t, jose.RS256, key, map[string]any{"kid": "k1"}, claims(nil))
	parts := strings.Split(good, ".")
	spki, _ := x509.MarshalPKIXPublicKey(key.Public())
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	confused := part(map[string]any{"alg": "HS256", "kid": "k1"}) + "." + parts[1]
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(confused))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(extra map[string]any) string {
		return signJWT(t, jose.RS256, key, map[string]any{"kid": "k1"}, claims(extra))
	}
	for name, tt := range map[string]struct{ token, result string }{
		"alg none":                 {part(map[string]any{"alg": "none", "kid": "k1"}) + "." + parts[1] + ".", "bad_signature"},
		"alg None":                 {part(map[string]any{"alg": "None", "kid": "k1"}) + "." + parts[1] + "." + parts[2], "bad_signature"},
		"HS256 with the RSA key":   {confused + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), "bad_signature"},
		"ES256, a key of the set":  {signJWT(t, jose.ES256, evil, map[string]any{"kid": "ec"}, claims(nil)), "bad_signature"},
		"RS384":                    {signJWT(t, jose.RS384, key, map[string]any{"kid": "k1"}, claims(nil)), "bad_signature"},
		"unknown kid":              {signJWT(t, jose.RS256, key, map[string]any{"kid": "k2"}, claims(nil)), "bad_signature"},
		"no kid":                   {signJWT(t, jose.RS256, key, nil, claims(nil)), "bad_signature"},
		"kid with a path":          {signJWT(t, jose.RS256, key, map[string]any{"kid": "../../k1"}, claims(nil)), "bad_signature"},
		"kid with SQL":             {signJWT(t, jose.RS256, key, map[string]any{"kid": "k1' OR '1'='1"}, claims(nil)), "bad_signature"},
		"kid is a URL":             {signJWT(t, jose.RS256, other, map[string]any{"kid": "https://evil.example.com/jwks.json"}, claims(nil)), "bad_signature"},
		"jku":                      {signJWT(t, jose.RS256, other, map[string]any{"kid": "k1", "jku": "https://evil.example.com/jwks.json"}, claims(nil)), "bad_signature"},
		"x5u":                      {signJWT(t, jose.RS256, other, map[string]any{"kid": "k1", "x5u": "https://evil.example.com/x.pem"}, claims(nil)), "bad_signature"},
		"jwk":                      {signJWT(t, jose.RS256, other, map[string]any{"kid": "k1", "jwk": jwk("k1", other.Public())}, claims(nil)), "bad_signature"},
		"crit":                     {signJWT(t, jose.RS256, key, map[string]any{"kid": "k1", "crit": []string{"x"}, "x": 1}, claims(nil)), "bad_signature"},
		"another key, same kid":    {signJWT(t, jose.RS256, other, map[string]any{"kid": "k1"}, claims(nil)), "bad_signature"},
		"other issuer":             {with(map[string]any{"iss": "https://evil.example.com"}), "bad_signature"},
		"no issuer":                {with(map[string]any{"iss": nil}), "bad_signature"},
		"other audience":           {with(map[string]any{"aud": "others"}), "bad_signature"},
		"no audience":              {with(map[string]any{"aud": nil}), "bad_signature"},
		"ended":                    {with(map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()}), "stale"},
		"not yet":                  {with(map[string]any{"nbf": time.Now().Add(2 * time.Minute).Unix()}), "stale"},
		"issued in the future":     {with(map[string]any{"iat": time.Now().Add(2 * time.Minute).Unix()}), "stale"},
		"undated":                  {with(map[string]any{"exp": nil, "iat": nil}), "bad_signature"},
		"exp is a text":            {with(map[string]any{"exp": "tomorrow"}), "bad_signature"},
		"white space":              {parts[0] + ".\t" + parts[1] + "." + parts[2], "bad_signature"},
		"four parts":               {good + ".x", "bad_signature"},
		"claims changed":           {parts[0] + "." + part(claims(map[string]any{"sub": "x"})) + "." + parts[2], "bad_signature"},
		"JSON serialisation":       {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "bad_signature"},
		"empty":                    {"", "bad_signature"},
		"as it is":                 {good, "accepted"},
		"audience in a list":       {with(map[string]any{"aud": []string{"others", "hooks"}}), "accepted"},
		"clocks differ by seconds": {with(map[string]any{"exp": time.Now().Add(-10 * time.Second).Unix()}), "accepted"},
	} {
		b.post("/hook", fmt.Sprintf("{%q:1}", name), set("Authorization", "Bearer "+tt.token))
		if r := b.newest(); r.Result != tt.result {
			t.Errorf("%s: %s (%s), want %s", name, r.Result, r.Why, tt.result)
		}
	}
	for _, at := range p.requests() {
		if !strings.HasPrefix(at, "id.example.com/") {
			t.Errorf("a token made us fetch %s", at)
		}
	}
	for name, h := range map[string]http.Header{"no prefix": set("Authorization", good), "Basic": set("Authorization", "Basic "+good), "twice": {"Authorization": {"Bearer " + good, "Bearer " + good}}} {
		if got := b.post("/hook", "{}", h); got.status != 401 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}

// newest is the last reception, once there are as many as requests were made.
func (b *box) newest() inbound.Reception {
	b.t.Helper()
	b.mu.Lock()
	b.sent++
	n := b.sent
	b.mu.Unlock()
	return b.last(n)
}

// TestC37UnknownKeyFlood: names that nobody knows make a set be fetched once, and
// not again within the minute; many at once are one request (CVE-2026-49998: what is
// kept is kept by source and name).
func TestC37UnknownKeyFlood(t *testing.T) {
	p, key := publish(t), rsaKey()
	p.put("id.example.com/jwks.json", jwks(t, jwk("k1", key.Public())))
	f := p.fetcher()
	done := make(chan error)
	for i := range 200 {
		go func() {
			_, err := f.Key(t.Context(), jwksURL, fmt.Sprint("unknown", i))
			done <- err
		}()
	}
	for range 200 {
		if err := <-done; err == nil || !strings.Contains(err.Error(), keys.ErrUnknown.Error()) {
			t.Errorf("%v", err)
		}
	}
	if n := len(p.requests()); n != 1 {
		t.Errorf("fetched %d times, want once", n)
	}
	p.put("other.example.com/jwks.json", jwks(t, jwk("k9", key.Public())))
	if _, err := f.Key(t.Context(), "https://other.example.com/jwks.json", "k1"); err == nil {
		t.Error("the key of one source was that of another")
	}
}

// TestC37KeysOfAnyKind: CVE-2026-42576: a set may hold whatever it likes.
func TestC37KeysOfAnyKind(t *testing.T) {
	key := rsaKey()
	good, _ := json.Marshal(jwk("k1", key.Public()))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := json.Marshal(jwk("weak", small.Public()))
	for _, odd := range []string{
		`{"kty":"oct","k":"c2VjcmV0","kid":"k1","alg":"HS256"}`, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"x"}`, `{"kty":"OKP","crv":"X25519","x":"AA"}`, `{"kty":"RSA","n":"","e":""}`,
		`{"kty":"RSA"}`, `{"kty":"PQC"}`, `{}`, `null`, `[]`, `1`, `"x"`, `{"kty":1}`, `{"kty":"RSA","n":"AQAB","e":"AAAA","x5c":["!"]}`, string(weak), strings.Replace(string(good), `{`, `{"use":"enc",`, 1),
	} {
		s, err := keys.Parse([]byte(`{"keys":[` + odd + `,` + string(good) + `]}`))
		if err != nil {
			t.Errorf("%.60s: %v", odd, err)
			continue
		}
		if found := s.Find("k1"); len(found) != 1 || len(s.Find("")) != 1 {
			t.Errorf("%.60s: %d keys", odd, len(s.Find("")))
		}
	}
	for _, text := range []string{``, `[]`, `{}`, `{"keys":[]}`, `{"keys":{}}`, `{"keys":[` + strings.Repeat(`{},`, 200) + `{}]}`} {
		if _, err := keys.Parse([]byte(text)); err == nil {
			t.Errorf("%.40q is a set", text)
		}
	}
}

// TestPlaid: the key is asked for by its name, under a policy, and kept.
func TestPlaid(t *testing.T) {
	var v vector
	for _, v = range vectors(t) {
		if v.Name == "plaid" {
			break
		}
	}
	asked := 0
	ask := func(provider, account string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			asked++
			body, _ := io.ReadAll(r.Body)
			answer, status := `{"key":`+v.Secret+`}`, 200
			switch {
			case provider != "bank" || r.URL.Path != "/webhook_verification_key/get" || r.Method != http.MethodPost:
				t.Errorf("%s %s %s", provider, r.Method, r.URL)
			case !bytes.Contains(body, []byte("bfbd5111")):
				answer, status = `{"error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}`, 400
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer))}, nil
		}
	}
	set, diags := loadWith(schemes(keys.New(keys.Options{}), ask), hooked("verify \"plaid\" { provider = \"bank\" }"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b := serve(t, set)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
		result string
	}{
		{"the vector is too old", headers(v.Headers), v.Body, "stale"},
		{"another body", headers(v.Headers), v.Body + "\n", "bad_signature"},
		{"a key that Plaid does not know", stamped(t, jose.ES256, curveKey(t), "someone", "{}"), "{}", "bad_signature"},
		{"RS256", stamped(t, jose.RS256, rsaKey(), "bfbd5111-8e33-4643-8ced-b2e642a72f3c", "{}"), "{}", "bad_signature"},
		{"the name of a file", stamped(t, jose.ES256, curveKey(t), "../etc/passwd", "{}"), "{}", "bad_signature"},
		{"nothing", http.Header{}, "{}", "unsigned"},
	} {
		b.post("/hook", tt.body, tt.header)
		if r := b.newest(); r.Result != tt.result {
			t.Errorf("%s: %s (%s), want %s", tt.name, r.Result, r.Why, tt.result)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want for each of two names once", asked)
	}
	for i := range 20 {
		b.post("/hook", "{}", stamped(t, jose.ES256, curveKey(t), fmt.Sprint("flood", i), "{}"))
		b.newest()
	}
	if asked > 11 {
		t.Errorf("a flood of names made us ask %d times", asked)
	}

	own, diags := loadWith(schemes(keys.New(keys.Options{}), nil), hooked("verify \"plaid\" { jwks = [env(\"KEY\")] }"), "KEY="+string(jwks(t, jwk("mine", curveKey(t).Public()))))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b = serve(t, own)
	b.post("/hook", v.Body, headers(v.Headers))
	if r := b.newest(); r.Result != "bad_signature" {
		t.Errorf("a key that is not in the policy's set: %s", r.Result)
	}
}
