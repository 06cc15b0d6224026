package inbound_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme/apple"
	"github.com/postern-proxy/postern/inbound/scheme/form"
	"github.com/postern-proxy/postern/store"
)

// one is a request and what has to come of it.
type one struct {
	name, path, body string
	header           http.Header
	result           string
	partial          bool
}

func (b *box) each(list []one) {
	b.t.Helper()
	for _, tt := range list {
		if tt.path == "" {
			tt.path = "/hook"
		}
		if tt.result == "accepted" {
			b.refuses(tt)
		}
		got := b.post(tt.path, tt.body, tt.header)
		r := b.newest()
		if r.Result != tt.result || tt.result == "accepted" && r.Proof.Partial != tt.partial {
			b.t.Errorf("%s: %s, partial %v (%s), want %s", tt.name, r.Result, r.Proof.Partial, r.Why, tt.result)
		}
		if (got.status/100 == 2) != (tt.result == "accepted" || tt.result == "duplicate" || tt.result == "conflict" || tt.result == "handshake") {
			b.t.Errorf("%s: status %d", tt.name, got.status)
		}
		if (tt.result == "bad_signature" || tt.result == "unsigned") && (r.Why == "" || got.body != "signature not accepted\n") {
			b.t.Errorf("%s: why %q, told %q", tt.name, r.Why, got.body)
		}
	}
}

func offline() *keys.Fetcher { return keys.New(keys.Options{}) }

// TestV10Twilio: the vectors of twilio-go, with and without the port.
func TestV10Twilio(t *testing.T) {
	const fields = "Digits=1234&CallSid=CA1234567890ABCDE&To=%2B18005551212&Caller=%2B14158675309&From=%2B14158675309"
	const property = `{"property": "value", "boolean": true}`
	const hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
	h := func(sig, kind string) http.Header { return set("X-Twilio-Signature", sig, "Content-Type", kind) }
	const asForm = "application/x-www-form-urlencoded; charset=UTF-8"
	for public, list := range map[string][]one{
		"https://mycompany.com": {
			{"V10", "/myapp.php?foo=1&bar=2", fields, h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "accepted", true},
			{"signed with the port", "/myapp.php?foo=1&bar=2", fields, h("kvajT1Ptam85bY51eRf/AJRuM3w=", asForm), "duplicate", true},
			{"JSON", "/myapp.php?foo=1&bar=2&bodySHA256=" + hash, property, h("a9nBmqA0ju/hNViExpshrM61xv4=", "application/json"), "accepted", false},
			{"JSON, no other parameter", "/myapp.php?bodySHA256=" + hash, property, h("y77kIzt2vzLz71DgmJGsen2scGs=", "application/json"), "duplicate", false},
			{"JSON, another body", "/myapp.php?bodySHA256=" + hash, property + " ", h("y77kIzt2vzLz71DgmJGsen2scGs=", "application/json"), "bad_signature", false},
			{"JSON, the digest twice", "/myapp.php?bodySHA256=" + hash + "&bodySHA256=" + hash, property, h("y77kIzt2vzLz71DgmJGsen2scGs=", "application/json"), "bad_signature", false},
			{"JSON without a digest", "/myapp.php?foo=1&bar=2", property, h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", "application/json"), "bad_signature", false},
			{"another value", "/myapp.php?foo=1&bar=2", strings.Replace(fields, "1234&", "1235&", 1), h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "bad_signature", false},
			{"a field more", "/myapp.php?foo=1&bar=2", fields + "&X=1", h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "bad_signature", false},
			{"another query", "/myapp.php?foo=1&bar=3", fields, h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "bad_signature", false},
			{"a semicolon", "/myapp.php?foo=1&bar=2", fields + ";X=1", h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "bad_signature", false},
			{"hex", "/myapp.php?foo=1&bar=2", fields, h("4523980ede13d5c51374ad4f0ddf77fd556bf01f", asForm), "bad_signature", false},
			{"empty", "/myapp.php?foo=1&bar=2", fields, h("", asForm), "unsigned", false},
			{"twice", "/myapp.php?foo=1&bar=2", fields, http.Header{"X-Twilio-Signature": {"RSOYDt4T1cUTdK1PDd93/VVr8B8=", "x"}, "Content-Type": {asForm}}, "bad_signature", false},
		},
		"http://mycompany.com":       {{"http, signed with the port", "/myapp.php?foo=1&bar=2", fields, h("0ZXoZLH/DfblKGATFgpif+LLRf4=", asForm), "accepted", true}},
		"http://mycompany.com:1234":  {{"another port", "/myapp.php?foo=1&bar=2", fields, h("Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", asForm), "accepted", true}},
		"https://mycompany.com:443/": {{"V10, the policy has the port", "/myapp.php?foo=1&bar=2", fields, h("RSOYDt4T1cUTdK1PDd93/VVr8B8=", asForm), "accepted", true}},
	} {
		src := strings.NewReplacer("https://hooks.example.com", public, "/hook\"", "/myapp.php\"").Replace(hooked("verify \"twilio\" { secrets = [env(\"OLD\"), env(\"S\")] }"))
		made, diags := loadWith(schemes(offline(), nil), src, "S=12345", "OLD=98765")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		serve(t, made).each(list)
	}
	for raw, want := range map[string]int{"https://a.example/x": 2, "https://a.example:443": 2, "https://a.example:8443/x": 1, "http://[::1]/x": 2, "http://[::1]:80/x": 2, "x": 1, "https://a.example?x=:443": 2} {
		if got := form.Ports(raw); len(got) != want || got[0] != raw {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// TestC39Form: a name that is there twice counts once for each value, in order.
func TestC39Form(t *testing.T) {
	for body, want := range map[string]string{"b=2&a=1": "a1b2", "a=2&a=1&a=2": "a1a2", "a=%41&b=+": "aAb ", "": "", "a": "a", "=x": "x"} {
		if got, err := form.Sorted([]byte(body)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", body, got, err, want)
		}
	}
	for _, body := range []string{"a=1;b=2", "a=%zz", strings.Repeat("a=1&", 5000)} {
		if _, err := form.Sorted([]byte(body)); err == nil {
			t.Errorf("%.20q is a form", body)
		}
	}
}

func digest(key, text string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// TestC39Mailgun: the signature says nothing of the event, so its token is good for
// one body.
func TestC39Mailgun(t *testing.T) {
	b := room(t, offline(), "verify \"mailgun\" { secrets = [env(\"S\")] }", "S=key-of-mailgun")
	body := func(stamp time.Time, token, key, event string) string {
		s := strconv.FormatInt(stamp.Unix(), 10)
		return fmt.Sprintf(`{"signature":{"timestamp":%q,"token":%q,"signature":%q},"event-data":{"id":%q}}`, s, token, hex.EncodeToString(digest(key, s+token)), event)
	}
	now := time.Now()
	b.each([]one{
		{"as it is", "", body(now, "aa01", "key-of-mailgun", "1"), nil, "accepted", true},
		{"the same again", "", body(now, "aa01", "key-of-mailgun", "1"), nil, "duplicate", true},
		{"its token for another event", "", body(now, "aa01", "key-of-mailgun", "2"), nil, "bad_signature", false},
		{"another key", "", body(now, "aa02", "key-of-others", "1"), nil, "bad_signature", false},
		{"a token that begins with digits of the time", "", body(now, "9z", "key-of-mailgun", "1"), nil, "bad_signature", false},
		{"a day ago", "", body(now.Add(-24*time.Hour), "aa03", "key-of-mailgun", "1"), nil, "stale", false},
		{"tomorrow", "", body(now.Add(24*time.Hour), "aa03", "key-of-mailgun", "1"), nil, "stale", false},
		{"no signature", "", `{"event-data":{}}`, nil, "unsigned", false},
		{"no JSON", "", `x`, nil, "bad_signature", false},
		{"a field twice", "", strings.Replace(body(now, "aa04", "key-of-mailgun", "1"), "{", `{"event-data":{},`, 1), nil, "bad_signature", false},
	})
}

// TestC39MailgunRotated: a rotation gives a token no second body.
func TestC39MailgunRotated(t *testing.T) {
	for when, at := range map[string]time.Time{"before": time.Now().Add(time.Hour), "within": time.Now().Add(-time.Hour)} {
		for _, key := range []string{"the-new-key", "the-old-key"} {
			t.Run(when+" "+key, func(t *testing.T) {
				b := room(t, offline(), fmt.Sprintf("verify \"mailgun\" {\nsecrets = [env(\"NEW\"), env(\"OLD\")]\nrotated = %q\n}", at.UTC().Format(time.RFC3339)), "NEW=the-new-key", "OLD=the-old-key")
				stamp := strconv.FormatInt(time.Now().Unix(), 10)
				body := func(event string) string {
					return fmt.Sprintf(`{"signature":{"timestamp":%q,"token":"aa01","signature":%q},"event-data":{"id":%q}}`, stamp, hex.EncodeToString(digest(key, stamp+"aa01")), event)
				}
				b.each([]one{
					{"as it is", "", body("1"), nil, "accepted", true},
					{"its token for another event", "", body("2"), nil, "bad_signature", false},
					{"and for yet another", "", body("3"), nil, "bad_signature", false},
					{"the first again", "", body("1"), nil, "duplicate", true},
				})
			})
		}
	}
}

// TestC39Adyen: each item has to be signed, and no field may hold what divides them.
func TestC39Adyen(t *testing.T) {
	const key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
	raw, _ := hex.DecodeString(key)
	item := func(fields ...string) string {
		sig := base64.StdEncoding.EncodeToString(digest(string(raw), strings.Join(fields, ":")))
		return fmt.Sprintf(`{"NotificationRequestItem":{"pspReference":%q,"originalReference":%q,"merchantAccountCode":%q,"merchantReference":%q,"amount":{"value":%s,"currency":%q},"eventCode":%q,"success":%q,"additionalData":{"hmacSignature":%q}}}`,
			fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7], sig)
	}
	list := func(items ...string) string {
		return `{"live":"false","notificationItems":[` + strings.Join(items, ",") + `]}`
	}
	good := item("7914073381342284", "", "TestMerchant", "TestPayment-1407325143704", "1130", "EUR", "AUTHORISATION", "true")
	b := room(t, offline(), "verify \"adyen\" { secrets = [env(\"S\")] }", "S="+key)
	b.each([]one{
		{"as it is", "", list(good), nil, "accepted", true},
		{"two", "", list(good, item("2", "1", "TestMerchant", "r", "1", "EUR", "REFUND", "false")), nil, "accepted", true},
		{"a colon in the reference", "", list(item("3", "", "TestMerchant", "order:1", "1", "EUR", "CAPTURE", "true")), nil, "accepted", true},
		{"a colon elsewhere", "", list(item("3:", "", "TestMerchant", "r", "1", "EUR", "CAPTURE", "true")), nil, "bad_signature", false},
		{"one of two is wrong", "", list(good, strings.Replace(good, "1130", "1131", 1)), nil, "bad_signature", false},
		{"another success", "", list(strings.Replace(good, `"true"`, `"false"`, 1)), nil, "bad_signature", false},
		{"success twice", "", list(strings.Replace(good, `"success":"true"`, `"success":"true","success":"false"`, 1)), nil, "bad_signature", false},
		{"Success in another case", "", list(strings.Replace(good, `"success":"true"`, `"success":"true","Success":"false"`, 1)), nil, "bad_signature", false},
		{"unsigned", "", list(strings.Replace(good, "hmacSignature", "x", 1)), nil, "unsigned", false},
		{"no items", "", list(), nil, "bad_signature", false},
		{"not a list", "", `{"notificationItems":{}}`, nil, "bad_signature", false},
	})
	if got := b.post("/hook", list(good), nil); got.body != "[accepted]" {
		t.Errorf("answered %q", got.body)
	}
}

// TestGraph: each item repeats the secret, and items with data come with tokens.
func TestGraph(t *testing.T) {
	p, key := publish(t), rsaKey()
	const tenant, app = "72f988bf-86f1-41af-91ab-2d7cd011db47", "11111111-2222-3333-4444-555555555555"
	p.put("login.microsoftonline.com/"+tenant+"/discovery/v2.0/keys", jwks(t, jwk("k1", key.Public())))
	token := func(azp, aud string) string {
		return signJWT(t, jose.RS256, key, map[string]any{"kid": "k1"}, claims(map[string]any{"iss": "https://login.microsoftonline.com/" + tenant + "/v2.0", "aud": aud, "azp": azp}))
	}
	const publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086"
	rich := func(tokens string) string {
		return `{"value":[{"clientState":"state-of-mine","encryptedContent":{}}],"validationTokens":[` + tokens + `]}`
	}
	plain := room(t, p.fetcher(), "verify \"microsoft_graph\" { secrets = [env(\"S\")] }", "S=state-of-mine")
	plain.each([]one{
		{"as it is", "", `{"value":[{"clientState":"state-of-mine"},{"clientState":"state-of-mine"}]}`, nil, "accepted", true},
		{"one of two is wrong", "", `{"value":[{"clientState":"state-of-mine"},{"clientState":"state-of-yours"}]}`, nil, "bad_signature", false},
		{"one of two has none", "", `{"value":[{"clientState":"state-of-mine"},{}]}`, nil, "unsigned", false},
		{"twice", "", `{"value":[{"clientState":"state-of-mine","clientState":"x"}]}`, nil, "bad_signature", false},
		{"no items", "", `{"value":[]}`, nil, "bad_signature", false},
		{"a handshake", "/hook?validationToken=a%20token", "", nil, "handshake", false},
		{"a handshake of SharePoint", "/hook?validationtoken=a%20token", "", nil, "handshake", false},
	})
	if got := plain.post("/hook?validationToken=a%20token%3C", "", nil); got.body != "a token<" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
		t.Errorf("%q as %s", got.body, got.header.Get("Content-Type"))
	}
	room(t, p.fetcher(), "verify \"microsoft_graph\" {\nsecrets = [env(\"S\")]\ntenant = \""+tenant+"\"\naudience = [\""+app+"\"]\n}", "S=state-of-mine").each([]one{
		{"with a token", "", rich(`"` + token(publisher, app) + `"`), nil, "accepted", true},
		{"without", "", rich(""), nil, "bad_signature", false},
		{"of another application", "", rich(`"` + token(app, app) + `"`), nil, "bad_signature", false},
		{"for another application", "", rich(`"` + token(publisher, publisher) + `"`), nil, "bad_signature", false},
		{"a second that is wrong", "", rich(`"` + token(publisher, app) + `","x"`), nil, "bad_signature", false},
		{"a number", "", rich(`1`), nil, "bad_signature", false},
	})
}

// TestGoogleAndMicrosoft: who sends is in the token.
func TestGoogleAndMicrosoft(t *testing.T) {
	p, key := publish(t), rsaKey()
	p.put("www.googleapis.com/oauth2/v3/certs", jwks(t, jwk("k1", key.Public())))
	b := room(t, p.fetcher(), "verify \"google\" {\naudience = [\"https://hooks.example.com/hook\"]\nemail = \"push@project.iam.gserviceaccount.com\"\n}")
	with := func(extra map[string]any) http.Header {
		c := map[string]any{"iss": "https://accounts.google.com", "aud": "https://hooks.example.com/hook", "email": "push@project.iam.gserviceaccount.com", "email_verified": true}
		for name, v := range extra {
			c[name] = v
		}
		return set("Authorization", "Bearer "+signJWT(t, jose.RS256, key, map[string]any{"kid": "k1"}, claims(c)))
	}
	b.each([]one{
		{"as it is", "", "{}", with(nil), "accepted", true},
		{"somebody else's account", "", "{}", with(map[string]any{"email": "push@evil.iam.gserviceaccount.com"}), "bad_signature", false},
		{"not verified", "", "{}", with(map[string]any{"email_verified": false}), "bad_signature", false},
		{"for another", "", "{}", with(map[string]any{"aud": "https://hooks.example.com/other"}), "bad_signature", false},
		{"ended", "", "{}", with(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "stale", false},
	})
}

// TestDetached: Fireblocks and Neon.
func TestDetached(t *testing.T) {
	p, key := publish(t), rsaKey()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.put("keys.fireblocks.io/.well-known/jwks.json", jwks(t, jwk("k1", key.Public())))
	p.put("neon.example.com/.well-known/jwks.json", jwks(t, jwk("k1", pub)))
	detach := func(alg jose.SignatureAlgorithm, key any, payload string) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		out, err := sig.DetachedCompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	sign := func(payload string) http.Header {
		return set("Fireblocks-Webhook-Signature", detach(jose.RS512, key, payload))
	}
	attached := strings.Replace(detach(jose.RS512, key, "{}"), "..", ".e30.", 1)
	room(t, p.fetcher(), "verify \"fireblocks\" {}").each([]one{
		{"as it is", "", "{}", sign("{}"), "accepted", false},
		{"another body", "", "{ }", sign("{}"), "bad_signature", false},
		{"no body", "", "", sign(""), "accepted", false},
		{"not detached", "", "{}", set("Fireblocks-Webhook-Signature", attached), "bad_signature", false},
		{"another algorithm", "", "{}", set("Fireblocks-Webhook-Signature", detach(jose.RS256, key, "{}")), "bad_signature", false},
		{"nothing", "", "{}", nil, "unsigned", false},
	})
	neon := func(at time.Time, body string) http.Header {
		stamp := strconv.FormatInt(at.UnixMilli(), 10)
		return set("X-Neon-Timestamp", stamp, "X-Neon-Signature", detach(jose.EdDSA, private, stamp+"."+base64.RawURLEncoding.EncodeToString([]byte(body))))
	}
	twice := neon(time.Now(), "{}")
	twice.Add("X-Neon-Timestamp", "1")
	room(t, p.fetcher(), "verify \"neon\" { jwks_url = \"https://neon.example.com/.well-known/jwks.json\" }").each([]one{
		{"as it is", "", "{}", neon(time.Now(), "{}"), "accepted", false},
		{"another body", "", "{ }", neon(time.Now(), "{}"), "bad_signature", false},
		{"old", "", "{}", neon(time.Now().Add(-6*time.Minute), "{}"), "stale", false},
		{"two timestamps", "", "{}", twice, "bad_signature", false},
	})
}

// appStore is a trust whose root a test has.
func appStore(root *issued) apple.Trust {
	trust := apple.Apple()
	trust.Roots = x509.NewCertPool()
	trust.Roots.AddCert(root.Certificate)
	return trust
}

// TestApple: the chain that a token brings has to end at the root, and to be for
// notifications.
func TestApple(t *testing.T) {
	root, evil := issue(t, nil, authority, curveKey(t)), issue(t, nil, authority, curveKey(t))
	made := apple.Apple()
	purpose := func(id []int, change func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			change(c)
			if id != nil {
				c.ExtraExtensions = []pkix.Extension{{Id: id, Value: []byte{5, 0}}}
			}
		}
	}
	key := curveKey(t)
	token := func(by *issued, between, leaf []int, signer *ecdsa.PrivateKey, extra map[string]any) string {
		b := issue(t, by, purpose(between, authority), curveKey(t))
		l := issue(t, b, purpose(leaf, named("Prod ECC Mac App Store")), key)
		c := map[string]any{"notificationUUID": "u-1", "signedDate": time.Now().UnixMilli(), "data": map[string]any{"bundleId": "com.example.app"}}
		for name, v := range extra {
			c[name] = v
		}
		chain := []string{}
		for _, x := range []*issued{l, b, by} {
			chain = append(chain, base64.StdEncoding.EncodeToString(x.Raw))
		}
		out, _ := json.Marshal(map[string]string{"signedPayload": signJWT(t, jose.ES256, signer, map[string]any{"x5c": chain}, c)})
		return string(out)
	}
	all := schemes(offline(), nil)
	all["apple"] = apple.Scheme(appStore(root))
	set, diags := loadWith(all, hooked("verify \"apple\" { bundle_id = [\"com.example.app\"] }"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	in, end := made.Intermediate, made.Leaf
	serve(t, set).each([]one{
		{"as it is", "", token(root, in, end, key, nil), nil, "accepted", false},
		{"something beside the token", "", strings.Replace(token(root, in, end, key, map[string]any{"notificationUUID": "u-2"}), "{", `{"data":{"bundleId":"com.example.app"},`, 1), nil, "accepted", true},
		{"another root", "", token(evil, in, end, key, nil), nil, "bad_signature", false},
		{"a leaf for another purpose", "", token(root, in, nil, key, nil), nil, "bad_signature", false},
		{"an authority for another purpose", "", token(root, nil, end, key, nil), nil, "bad_signature", false},
		{"another signer", "", token(root, in, end, curveKey(t), nil), nil, "bad_signature", false},
		{"another app", "", token(root, in, end, key, map[string]any{"data": map[string]any{"bundleId": "com.evil"}}), nil, "bad_signature", false},
		{"the last repeat", "", token(root, in, end, key, map[string]any{"notificationUUID": "u-3", "signedDate": time.Now().Add(-157 * time.Hour).UnixMilli()}), nil, "accepted", false},
		{"eight days ago", "", token(root, in, end, key, map[string]any{"signedDate": time.Now().Add(-8 * 24 * time.Hour).UnixMilli()}), nil, "stale", false},
		{"without an id", "", token(root, in, end, key, map[string]any{"notificationUUID": ""}), nil, "bad_signature", false},
		{"unsigned", "", `{}`, nil, "unsigned", false},
		{"no chain", "", `{"signedPayload":"` + signJWT(t, jose.ES256, key, nil, claims(nil)) + `"}`, nil, "bad_signature", false},
	})
}

// TestPinnedRoot: the root that is built in is the one that Apple publishes.
func TestPinnedRoot(t *testing.T) {
	//lint:ignore SA1019 it is not the system's pool
	subjects := apple.Apple().Roots.Subjects()
	if len(subjects) != 1 || apple.Root() != "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179" {
		t.Errorf("%d roots, %s", len(subjects), apple.Root())
	}
}

// TestKeyPairs: curves, forms and paddings, with rotation.
func TestKeyPairs(t *testing.T) {
	ec, rs := curveKey(t), rsaKey()
	pemOf := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	const body = "[{\"sg_event_id\":\"1\"}]\r\n"
	digestOf := func(text string) []byte { s := sha256.Sum256([]byte(text)); return s[:] }
	signEC := func(key *ecdsa.PrivateKey, text string) string {
		sig, err := ecdsa.SignASN1(rand.Reader, key, digestOf(text))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(sig)
	}
	grid := func(key *ecdsa.PrivateKey, stamp, text string) http.Header {
		return set("X-Twilio-Email-Event-Webhook-Signature", signEC(key, stamp+text), "X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	}
	old := curveKey(t)
	room(t, offline(), "verify \"sendgrid\" { keys = [env(\"NEW\"), env(\"OLD\")] }", "NEW="+pemOf(ec.Public()), "OLD="+pemOf(old.Public())).each([]one{
		{"as it is", "", body, grid(ec, stamp, body), "accepted", false},
		{"the key before", "", body + " ", grid(old, stamp, body+" "), "accepted", false},
		{"another key", "", body, grid(curveKey(t), stamp, body), "bad_signature", false},
		{"CRLF cut off", "", strings.TrimSpace(body), grid(ec, stamp, body), "bad_signature", false},
		{"another timestamp", "", body, set("X-Twilio-Email-Event-Webhook-Signature", signEC(ec, stamp+body), "X-Twilio-Email-Event-Webhook-Timestamp", stamp+"0"), "bad_signature", false},
		{"old", "", body, grid(ec, "1700000000", body), "stale", false},
		{"+t", "", body, grid(ec, "+"+stamp, body), "bad_signature", false},
		{"-t", "", body, grid(ec, "-"+stamp, body), "bad_signature", false},
		{"empty", "", body, set("X-Twilio-Email-Event-Webhook-Signature", "", "X-Twilio-Email-Event-Webhook-Timestamp", stamp), "unsigned", false},
	})
	retired := room(t, offline(), "verify \"sendgrid\" {\nkeys = [env(\"NEW\"), env(\"OLD\")]\nrotated = \"2020-01-01T00:00:00Z\"\n}", "NEW="+pemOf(ec.Public()), "OLD="+pemOf(old.Public()))
	if got := retired.post("/hook", body, grid(ec, stamp, body)); got.status != 200 {
		t.Errorf("the new key: %d", got.status)
	}
	if got := retired.post("/hook", body, grid(old, stamp, body)); got.status != 401 {
		t.Errorf("the old key after its window: %d", got.status)
	}
	topic := func(topic, body string) http.Header {
		return set("X-Topic", topic, "X-Sig", signEC(ec, topic+"."+body))
	}
	room(t, offline(), "verify \"ecdsa\" {\nkeys = [env(\"K\")]\nheader = \"X-Sig\"\nmessage = \"${header[\"X-Topic\"]}.${raw_body}\"\n}", "K="+pemOf(ec.Public())).each([]one{
		{"a header that is signed", "", "b.{}", topic("orders", "b.{}"), "accepted", false},
		{"with what divides it from the body (claim C39)", "", "{}", topic("orders.b", "{}"), "bad_signature", false},
	})
	pss, err := rsa.SignPSS(rand.Reader, rs, 5, digestOf("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	room(t, offline(), "verify \"rsa\" {\nkeys = [env(\"K\")]\nheader = \"X-Sig\"\nencoding = \"hex\"\npadding = \"pss\"\n}", "K="+pemOf(rs.Public())).each([]one{
		{"PSS", "", "{}", set("X-Sig", hex.EncodeToString(pss)), "accepted", false},
		{"PSS, another body", "", "{ }", set("X-Sig", hex.EncodeToString(pss)), "bad_signature", false},
		{"Base64 for hex", "", "{}", set("X-Sig", base64.StdEncoding.EncodeToString(pss)), "bad_signature", false},
	})
	for name, key := range map[string]string{"no key": "x", "another kind": pemOf(ec.Public()), "empty": ""} {
		b := room(t, offline(), "verify \"rsa\" {\nkeys = [env(\"K\")]\nheader = \"X-Sig\"\n}", "K="+key)
		if b.Set().Ready() == nil {
			t.Errorf("%s: it is ready", name)
		}
		b.each([]one{{name, "", "{}", set("X-Sig", base64.StdEncoding.EncodeToString(pss)), "unavailable", false}})
	}
}

// TestTokenAnywhere: in the URL and in the body.
func TestTokenAnywhere(t *testing.T) {
	const s = "token-of-the-hook"
	room(t, offline(), "verify \"token\" {\ntoken = query.token\nsecrets = [env(\"S\")]\n}", "S="+s).each([]one{
		{"in the URL", "/hook?token=" + s, "{}", nil, "accepted", true},
		{"twice", "/hook?token=" + s + "&token=" + s, "{}", nil, "unsigned", false},
		{"another", "/hook?token=x" + s, "{}", nil, "bad_signature", false},
		{"in a header", "", "{}", set("Token", s), "unsigned", false},
	})
	room(t, offline(), "verify \"token\" {\ntoken = body.secret\nsecrets = [env(\"S\")]\n}", "S="+s).each([]one{
		{"in the body", "", `{"secret":"` + s + `"}`, nil, "accepted", true},
		{"in a form", "", "secret=" + url.QueryEscape(s), set("Content-Type", "application/x-www-form-urlencoded"), "accepted", true},
		{"null", "", `{"secret":null}`, nil, "unsigned", false},
	})
}

// TestMTLS: the listener says that a certificate is genuine, the webhook whose it
// has to be.
func TestMTLS(t *testing.T) {
	root, evil := issue(t, nil, authority, curveKey(t)), issue(t, nil, authority, curveKey(t))
	src := hooked("verify \"mtls\" { common_name = [\"client.webhooks.fbclientcerts.com\"] }")
	if _, diags := loadWith(schemes(offline(), nil), src); !diags.HasErrors() {
		t.Error("without client_ca it is accepted")
	}
	made, diags := loadWith(schemes(offline(), nil), strings.Replace(src, "public_url", "tls {\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n}\npublic_url", 1))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	in := serve(t, made)
	in.each([]one{{"without TLS", "", "{}", nil, "unsigned", false}})
	shown := issue(t, root, named("client.webhooks.fbclientcerts.com"), curveKey(t))
	r, w := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader("{}")), httptest.NewRecorder()
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{shown.Certificate}}
	if in.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("a certificate that no listener has verified: %d", w.Code)
	}
	own := issue(t, root, named("localhost", "localhost"), curveKey(t))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: own.key}},
		ClientCAs:    appStore(root).Roots, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := in.Server()
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	post := func(by *issued, cn string) (int, error) {
		c := issue(t, by, func(c *x509.Certificate) {
			named(cn)(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, curveKey(t))
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			RootCAs: appStore(root).Roots, ServerName: "localhost", Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: c.key}},
		}}}
		resp, err := client.Post("https://"+l.Addr().String()+"/hook", "application/json", strings.NewReader(`{"by":"`+cn+`"}`))
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	if status, err := post(root, "client.webhooks.fbclientcerts.com"); status != 200 {
		t.Errorf("the right one: %d, %v", status, err)
	}
	if status, _ := post(root, "someone.fbclientcerts.com"); status != 401 {
		t.Errorf("another name: %d", status)
	}
	if _, err := post(evil, "client.webhooks.fbclientcerts.com"); err == nil {
		t.Error("a certificate of another authority was taken")
	}
}

// TestC39MailgunRestarted: where the memory of a token is gone, the store knows it, as
// the id of its event: another body is kept, reported, and not delivered.
func TestC39MailgunRestarted(t *testing.T) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	body := func(event string) string {
		return fmt.Sprintf(`{"signature":{"timestamp":%q,"token":"aa01","signature":%q},"event-data":{"id":%q}}`, stamp, hex.EncodeToString(digest("key-of-mailgun", stamp+"aa01")), event)
	}
	kept := store.NewMemory().Inbox()
	begin := func() *box {
		set, diags := loadWith(schemes(offline(), nil), hooked("verify \"mailgun\" { secrets = [env(\"S\")] }"), "S=key-of-mailgun")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return serve(t, set, func(o *inbound.Options) { o.Store = kept })
	}
	begin().each([]one{{"as it is", "", body("1"), nil, "accepted", true}})
	b := begin()
	b.each([]one{{"its token for another event, after a restart", "", body("2"), nil, "conflict", true}, {"the first again", "", body("1"), nil, "bad_signature", false}})
	begin().each([]one{{"the first again, after another restart", "", body("1"), nil, "duplicate", true}})
	page, err := kept.List(t.Context(), inbound.Filter{})
	if err != nil || len(page.Events) != 2 || page.Events[0].Deliveries[0].State != inbound.Conflict || page.Events[1].Deliveries[0].State != inbound.Received {
		t.Errorf("%+v, %v", page.Events, err)
	}
}
