package inbound_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// kindOf is a kind of verification, and requests that it has to accept and to refuse.
type kindOf struct {
	verify  string // the verify block
	environ []string
	list    []one
}

// tokens of providers that send one in a header.
func tokenKind(name, header string) kindOf {
	const s = "token-of-the-hook"
	return kindOf{fmt.Sprintf("verify %q { secrets = [env(\"OLD\"), env(\"S\")] }", name), []string{"S=" + s, "OLD=token-of-last-month"}, []one{
		{"as it is", "", "{}", set(header, s), "accepted", true},
		{"the one before", "", `{"n":1}`, set(header, "token-of-last-month"), "accepted", true},
		{"another", "", "{}", set(header, s+"x"), "bad_signature", false},
		{"its beginning", "", "{}", set(header, s[:5]), "bad_signature", false},
		{"in another case", "", "{}", set(header, strings.ToUpper(s)), "bad_signature", false},
		{"two", "", "{}", http.Header{http.CanonicalHeaderKey(header): {s, s}}, "bad_signature", false},
		{"an empty one", "", "{}", set(header, ""), "unsigned", false},
		{"none", "", "{}", nil, "unsigned", false},
	}}
}

// pairKind is signed by Ed25519 over what sign makes of it.
func pairKind(t *testing.T, name, key string, sign func(at time.Time, body string) http.Header) kindOf {
	changed := sign(time.Now(), `{"n":3}`)
	return kindOf{fmt.Sprintf("verify %q { keys = [%q] }", name, key), nil, []one{
		{"as it is", "", `{"n":1}`, sign(time.Now(), `{"n":1}`), "accepted", false},
		{"four minutes ago", "", `{"n":2}`, sign(time.Now().Add(-4*time.Minute), `{"n":2}`), "accepted", false},
		{"six minutes ago", "", `{"n":3}`, sign(time.Now().Add(-6*time.Minute), `{"n":3}`), "stale", false},
		{"six minutes ahead", "", `{"n":3}`, sign(time.Now().Add(6*time.Minute), `{"n":3}`), "stale", false},
		{"another body", "", `{"n":4}`, changed, "bad_signature", false},
		{"a newline more", "", "{\"n\":3}\n", changed, "bad_signature", false},
		{"unsigned", "", `{"n":3}`, nil, "unsigned", false},
	}}
}

// microsoftKind is a token of Entra ID, as Event Grid sends it.
func microsoftKind(t *testing.T, name string, p *publisher) kindOf {
	const tenant, client, app = "72f988bf-86f1-41af-91ab-2d7cd011db47", "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
	key := rsaKey()
	p.put("login.microsoftonline.com/"+tenant+"/discovery/v2.0/keys", jwks(t, jwk("k1", key.Public())))
	with := func(alg jose.SignatureAlgorithm, key any, kid string, change map[string]any) http.Header {
		c := map[string]any{"iss": "https://login.microsoftonline.com/" + tenant + "/v2.0", "aud": app, "azp": client}
		for name, v := range change {
			c[name] = v
		}
		return set("Authorization", "Bearer "+signJWT(t, alg, key, map[string]any{"kid": kid}, claims(c)))
	}
	good := func(change map[string]any) http.Header { return with(jose.RS256, key, "k1", change) }
	return kindOf{fmt.Sprintf("verify %q {\ntenant = %q\naudience = [%q]\nclient = %q\n}", name, tenant, app, client), nil, []one{
		{"version 2", "", `{"id":"1"}`, good(nil), "accepted", true},
		{"version 1", "", `{"id":"2"}`, good(map[string]any{"iss": "https://sts.windows.net/" + tenant + "/", "azp": nil, "appid": client}), "accepted", true},
		{"of another application", "", "{}", good(map[string]any{"azp": app}), "bad_signature", false},
		{"of another application, whose number stands beside it", "", "{}", good(map[string]any{"azp": app, "appid": client}), "bad_signature", false},
		{"of no application", "", "{}", good(map[string]any{"azp": nil}), "bad_signature", false},
		{"for another application", "", "{}", good(map[string]any{"aud": client}), "bad_signature", false},
		{"of another directory", "", "{}", good(map[string]any{"iss": "https://login.microsoftonline.com/" + app + "/v2.0"}), "bad_signature", false},
		{"of everybody's directory", "", "{}", good(map[string]any{"iss": "https://login.microsoftonline.com/common/v2.0"}), "bad_signature", false},
		{"ended", "", "{}", good(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "stale", false},
		{"by an unknown key", "", "{}", with(jose.RS256, key, "k2", nil), "bad_signature", false},
		{"by another algorithm", "", "{}", with(jose.RS384, key, "k1", nil), "bad_signature", false},
		{"by another's key", "", "{}", with(jose.ES256, curveKey(t), "k1", nil), "bad_signature", false},
		{"unsigned", "", "{}", nil, "unsigned", false},
	}}
}

// kinds are those that no test of their own shows.
func kinds(t *testing.T, p *publisher) map[string]kindOf {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(text string) []byte { return ed25519.Sign(private, []byte(text)) }
	b64, hexed := base64.StdEncoding.EncodeToString, hex.EncodeToString
	unix := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	all := map[string]kindOf{
		"telnyx": pairKind(t, "telnyx", b64(public), func(at time.Time, body string) http.Header {
			return set("Telnyx-Signature-Ed25519", b64(sign(unix(at)+"|"+body)), "Telnyx-Timestamp", unix(at))
		}),
		"discord": pairKind(t, "discord", hexed(public), func(at time.Time, body string) http.Header {
			return set("X-Signature-Ed25519", hexed(sign(unix(at)+body)), "X-Signature-Timestamp", unix(at))
		}),
		"standard_v1a": pairKind(t, "standard_v1a", "whpk_"+b64(public), func(at time.Time, body string) http.Header {
			id := "msg_" + unix(at)
			return set("Webhook-Signature", "v1,bm9wZQ== v1a,"+b64(sign(id+"."+unix(at)+"."+body)), "Webhook-Timestamp", unix(at), "Webhook-Id", id)
		}),
		"microsoft": microsoftKind(t, "microsoft", p), "event_grid": microsoftKind(t, "event_grid", p),
		"mandrill": mandrill(), "monday": monday(t),
	}
	for name, header := range map[string]string{
		"google_push": "X-Goog-Channel-Token", "huggingface": "X-Webhook-Secret", "okta": "Authorization", "ringcentral": "Verification-Token", "telegram": "X-Telegram-Bot-Api-Secret-Token",
	} {
		all[name] = tokenKind(name, header)
	}
	return all
}

func mandrill() kindOf {
	const key, kind = "test-webhook-key", "application/x-www-form-urlencoded"
	signed := func(key, at, events string) http.Header {
		m := hmac.New(sha1.New, []byte(key))
		m.Write([]byte(at + "mandrill_events" + events))
		return set("X-Mandrill-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil)), "Content-Type", kind)
	}
	form := func(events string) string { return "mandrill_events=" + url.QueryEscape(events) }
	const events, at = `[{"_id":"x","event":"send"}]`, "https://hooks.example.com/hook"
	return kindOf{`verify "mandrill" { secrets = [env("S")] }`, []string{"S=" + key}, []one{
		{"as it is", "", form(events), signed(key, at, events), "accepted", true},
		{"another key", "", form(events), signed("another-webhook-key", at, events), "bad_signature", false},
		{"another URL", "/hook?x=1", form(events), signed(key, at, events), "bad_signature", false},
		{"another event", "", form(strings.Replace(events, "send", "open", 1)), signed(key, at, events), "bad_signature", false},
		{"unsigned", "", form(events), set("Content-Type", kind), "unsigned", false},
	}}
}

func monday(t *testing.T) kindOf {
	const key = "a signing secret of some length!"
	token := func(alg jose.SignatureAlgorithm, key any, extra map[string]any) http.Header {
		return set("Authorization", signJWT(t, alg, key, nil, claims(extra)))
	}
	return kindOf{`verify "monday" { secrets = [env("S")] }`, []string{"S=" + key}, []one{
		{"as it is", "", `{"event":{"triggerUuid":"1"}}`, token(jose.HS256, []byte(key), nil), "accepted", true},
		{"another secret", "", "{}", token(jose.HS256, []byte(strings.ToUpper(key)), nil), "bad_signature", false},
		{"another algorithm", "", "{}", token(jose.HS512, []byte(key+key), nil), "bad_signature", false},
		{"ended", "", "{}", token(jose.HS256, []byte(key), map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "stale", false},
		{"unsigned", "", "{}", nil, "unsigned", false},
	}}
}

// shownBy names for every other kind the test in this package that has it accept a request and
// refuse others. Those of the catalogue over hmac are all shown by
// TestCatalogSignatures and TestC35CatalogNegativeCases.
var shownBy = map[string]string{
	"hmac": "TestC35NegativeCases", "token": "TestC31TokenAndBasic", "basic": "TestC31TokenAndBasic", "ed25519": "TestVectorsOfRooms", "ecdsa": "TestKeyPairs", "rsa": "TestKeyPairs", "mtls": "TestMTLS",
	"sns": "TestC38SNS", "paypal": "TestPayPal", "plaid": "TestPlaidAccepted", "circle": "TestCircle", "jws": "TestDetached", "form": "TestV10Twilio", "mailgun": "TestC39Mailgun", "adyen": "TestC39Adyen",
	"client_state": "TestGraph", "apple": "TestApple", "jwt": "TestC37AlgorithmConfusion", "google": "TestGoogleAndMicrosoft",
	"sendgrid": "TestKeyPairs", "fireblocks": "TestDetached", "neon": "TestDetached", "twilio": "TestV10Twilio", "microsoft_graph": "TestGraph",
	"none": "TestSplit", "strava": "TestSplit", "mollie": "TestSplit", // which accept all that comes
}

// TestEveryKind: each kind of verification there is, of code or of the catalogue,
// accepts through the listener what is rightly signed, and refuses what is not.
func TestEveryKind(t *testing.T) {
	p := publish(t)
	own := kinds(t, p)
	for name, k := range own {
		t.Run(name, func(t *testing.T) { room(t, p.fetcher(), k.verify, k.environ...).each(k.list) })
	}
	tests := testNames(t)
	for _, name := range kindNames(t) {
		_, here := own[name]
		by, elsewhere := shownBy[name]
		if !here && !tests[by] {
			t.Errorf("no request is shown that %q accepts, and none that it refuses", name)
		}
		if here && elsewhere {
			t.Errorf("%q is shown twice", name)
		}
	}
}

// kindNames are the labels that a verify block may have, without those of the
// catalogue over hmac.
func kindNames(t *testing.T) (all []string) {
	for name := range schemes(offline(), nil) {
		all = append(all, name)
	}
	shared := map[string]bool{}
	for _, s := range signatures(t) {
		shared[s.name] = true
	}
	for name := range catalogVerifies(t) {
		if !shared[name] {
			all = append(all, name)
		}
	}
	if len(all) < 35 {
		t.Fatalf("only %d kinds: %v", len(all), all)
	}
	return all
}

// testNames are the names of the tests of this package.
func testNames(t *testing.T) map[string]bool {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "func Test"); ok {
				name, _, _ = strings.Cut(name, "(")
				all["Test"+name] = true
			}
		}
	}
	return all
}

// TestTokenWithoutEnd: a token that says when it was issued and not when it ends holds as
// long as a date elsewhere, unless the policy says for how long.
func TestTokenWithoutEnd(t *testing.T) {
	const key = "a signing secret of some length!"
	issued := func(ago time.Duration, more map[string]any) http.Header {
		c := map[string]any{"iat": time.Now().Add(-ago).Unix()}
		for name, v := range more {
			c[name] = v
		}
		return set("Authorization", "Bearer "+signJWT(t, jose.HS256, []byte(key), nil, c))
	}
	block := func(more string) *box {
		return room(t, offline(), "verify \"jwt\" {\nalg = \"HS256\"\nsecrets = [env(\"S\")]\n"+more+"\n}", "S="+key)
	}
	block("").each([]one{
		{"four minutes ago", "", `{"n":1}`, issued(4*time.Minute, nil), "accepted", true},
		{"six minutes ago", "", `{"n":2}`, issued(6*time.Minute, nil), "stale", true},
		{"six minutes ahead", "", `{"n":3}`, issued(-6*time.Minute, nil), "stale", true},
		{"a year ago", "", `{"n":4}`, issued(365*24*time.Hour, nil), "stale", true},
		{"an hour ago, with an end", "", `{"n":5}`, issued(time.Hour, map[string]any{"exp": time.Now().Add(time.Hour).Unix()}), "accepted", true},
	})
	block("max_age = \"2h\"").each([]one{
		{"an hour ago", "", `{"n":1}`, issued(time.Hour, nil), "accepted", true},
		{"three hours ago", "", `{"n":2}`, issued(3*time.Hour, nil), "stale", true},
	})
}
