package inbound_test

import (
	"crypto/ed25519"
	"crypto/sha256"
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

	"github.com/postern-proxy/postern/inbound"
)

// asked is a request that may be a handshake, and its answer.
type asked struct {
	what, kind    string
	method, query string // POST and none, unless it is said
	header        http.Header
	body          string
	signed        bool // as an event of this kind is

	status         int
	answer, kindOf string // kindOf is the content type
	echo           map[string]string
	result         string
}

const text, jsonType = "text/plain; charset=utf-8", "application/json"

var handshakes = []asked{
	{what: "url_validation", kind: "zoom", signed: true, body: `{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1700000000000}`, status: 200, kindOf: jsonType, answer: `{"encryptedToken":"%s","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}`, result: "handshake"},
	{what: "url_validation without a signature", kind: "zoom", body: `{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}`, status: 401, answer: "signature not accepted\n", kindOf: text, result: "unsigned"},
	{what: "url_validation of an event", kind: "zoom", signed: true, body: `{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1:{}"}}`, status: 401, answer: "signature not accepted\n", kindOf: text, result: "bad_signature"},
	{what: "crc", kind: "x", method: "GET", query: "crc_token=foo", status: 200, kindOf: jsonType, answer: `{"response_token":"sha256=%s"}`, result: "handshake"},
	{what: "crc of an event", kind: "x", method: "GET", query: "crc_token=" + url.QueryEscape(`{"for_user_id":"1"}`), status: 401, answer: "signature not accepted\n", kindOf: text, result: "bad_signature"},
	{what: "crc of a whole body", kind: "x", method: "GET", query: "crc_token=" + strings.Repeat("x", 513), status: 401, answer: "signature not accepted\n", kindOf: text, result: "bad_signature"},
	{what: "crc of nothing", kind: "x", method: "GET", status: 401, answer: "signature not accepted\n", kindOf: text, result: "bad_signature"},
	{what: "subscribe", kind: "meta", method: "GET", query: "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a+token+of+some+length", status: 200, kindOf: text, answer: "1158201444", result: "handshake"},
	{what: "subscribe with another token", kind: "meta", method: "GET", query: "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another", status: 401, kindOf: text, answer: "signature not accepted\n", result: "bad_signature"},
	{what: "subscribe without a token", kind: "meta", method: "GET", query: "hub.mode=subscribe&hub.challenge=1158201444", status: 401, kindOf: text, answer: "signature not accepted\n", result: "bad_signature"},
	{what: "subscribe with two tokens", kind: "meta", method: "GET", query: "hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token+of+some+length&hub.verify_token=x", status: 401, kindOf: text, answer: "signature not accepted\n", result: "bad_signature"},
	{what: "another mode", kind: "meta", method: "GET", query: "hub.mode=unsubscribe&hub.challenge=1", status: 405, kindOf: text, answer: "webhooks are posted\n"},
	{what: "subscribe", kind: "whatsapp", method: "GET", query: "hub.mode=subscribe&hub.challenge=7&hub.verify_token=a+token+of+some+length", status: 200, kindOf: text, answer: "7", result: "handshake"},
	{what: "challenge", kind: "dropbox", method: "GET", query: "challenge=abc123", status: 200, kindOf: text, answer: "abc123", result: "handshake"},
	{what: "a script for a challenge", kind: "dropbox", method: "GET", query: "challenge=" + url.QueryEscape("<script>alert(1)</script>"), status: 200, kindOf: text, answer: "<script>alert(1)</script>", result: "handshake"},
	{what: "a challenge that is too long", kind: "dropbox", method: "GET", query: "challenge=" + strings.Repeat("x", 5000), status: 401, kindOf: text, answer: "signature not accepted\n", result: "bad_signature"},
	{what: "challenge", kind: "nylas", method: "GET", query: "challenge=abc", status: 200, kindOf: text, answer: "abc", result: "handshake"},
	{what: "challenge", kind: "oura", method: "GET", query: "challenge=abc&verification_token=a+token+of+some+length", status: 200, kindOf: jsonType, answer: `{"challenge":"abc"}`, result: "handshake"},
	{what: "challenge with another token", kind: "oura", method: "GET", query: "challenge=abc&verification_token=x", status: 401, kindOf: text, answer: "signature not accepted\n", result: "bad_signature"},
	{what: "challenge", kind: "linkedin", method: "GET", query: "challengeCode=890e4665-4dfe-4ab1-b689-ed553bceeed0", status: 200, kindOf: jsonType, answer: `{"challengeCode":"890e4665-4dfe-4ab1-b689-ed553bceeed0","challengeResponse":"%s"}`, result: "handshake"},
	{what: "callback_verification", kind: "twitch", signed: true, header: http.Header{"Twitch-Eventsub-Message-Type": {"webhook_callback_verification"}}, body: `{"challenge":"pogchamp-kappa-360noscope-vohiyo"}`, status: 200, kindOf: text, answer: "pogchamp-kappa-360noscope-vohiyo", result: "handshake"},
	{what: "url_verification", kind: "slack", signed: true, body: `{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`, status: 200, kindOf: text, answer: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", result: "handshake"},
	{what: "url_verification without a signature", kind: "slack", body: `{"type":"url_verification","challenge":"x"}`, status: 401, kindOf: text, answer: "signature not accepted\n", result: "unsigned"},
	{what: "challenge", kind: "front", signed: true, header: http.Header{"X-Front-Challenge": {"abc"}}, body: `{"type":"sync"}`, status: 200, kindOf: text, answer: "abc", result: "handshake"},
	{what: "validation", kind: "tebex", signed: true, body: `{"id":"c98152b7","type":"validation.webhook"}`, status: 200, kindOf: jsonType, answer: `{"id":"c98152b7"}`, result: "handshake"},
	{what: "verify", kind: "smartcar", body: `{"eventName":"verify","data":{"challenge":"24dab7a8"}}`, status: 200, kindOf: jsonType, answer: `{"challenge":"%s"}`, result: "handshake"},
	{what: "verification", kind: "okta", method: "GET", header: http.Header{"X-Okta-Verification-Challenge": {"abc"}}, status: 200, kindOf: jsonType, answer: `{"verification":"abc"}`, result: "handshake"},
	{what: "validation", kind: "ringcentral", header: http.Header{"Validation-Token": {"abc"}}, status: 200, kindOf: text, echo: map[string]string{"Validation-Token": "abc"}, result: "handshake"},
	{what: "head", kind: "trello", method: "HEAD", status: 200, kindOf: text, result: "handshake"},
}

// hashed is what a webhook's key makes of the answer's text.
var hashed = map[string]string{"zoom": "qgg8vlvZRS6UYooatFL8Aw", "x": "foo", "linkedin": "890e4665-4dfe-4ab1-b689-ed553bceeed0", "smartcar": "24dab7a8"}

// TestCatalogHandshakes asks what providers ask, and what they do not.
func TestCatalogHandshakes(t *testing.T) {
	kinds := map[string]signature{}
	for _, s := range signatures(t) {
		kinds[s.name] = s
	}
	for _, a := range handshakes {
		t.Run(a.kind+" "+a.what, func(t *testing.T) {
			s, ok := kinds[a.kind]
			src := fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify %q {\nsecrets = [env(\"SECRET\")]\n}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", a.kind)
			if ok {
				src = s.source("")
			}
			b := serve(t, mustLoad(t, src, "SECRET="+secret, "NEXT=the secret of next month", "TOKEN=a token of some length"))
			header := http.Header{}
			if a.signed {
				header, _ = s.sign(secret, s.stamp(time.Now()), a.body)
			}
			for name, v := range a.header {
				header[name] = v
			}
			method := a.method
			if method == "" {
				method = http.MethodPost
			}
			got := b.send(method, "/hook?"+a.query, strings.NewReader(a.body), header)
			want := a.answer
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, s.encode(sum([]byte(secret), hashed[a.kind])))
			}
			if got.status != a.status || got.body != want || b.last(1).Result != a.result {
				t.Errorf("%d %q %s (%s), want %d %q %s", got.status, got.body, b.last(1).Result, b.last(1).Why, a.status, want, a.result)
			}
			if got.header.Get("Content-Type") != a.kindOf || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the answer is %s %s, want %s", got.header.Get("Content-Type"), got.header.Get("X-Content-Type-Options"), a.kindOf)
			}
			for name, v := range a.echo {
				if got.header.Get(name) != v {
					t.Errorf("%s is %q, want %q", name, got.header.Get(name), v)
				}
			}
			if strings.Contains(got.body+fmt.Sprint(got.header), secret) {
				t.Error("the answer holds the secret")
			}
			if len(b.stored()) != 0 {
				t.Error("a handshake was stored")
			}
		})
	}
}

// TestHandshakeKey: an answer is signed with the key that signed the question.
func TestHandshakeKey(t *testing.T) {
	for _, s := range signatures(t) {
		if s.name != "zoom" {
			continue
		}
		b := serve(t, mustLoad(t, s.source(""), s.environ()...))
		body := `{"event":"endpoint.url_validation","payload":{"plainToken":"abc"}}`
		h, uri := s.sign("the secret of next month", s.stamp(time.Now()), body)
		if got := b.post(uri, body, h); !strings.Contains(got.body, s.encode(sum([]byte("the secret of next month"), "abc"))) {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// TestVercelDrain: the value that the answer has to bear is of the policy, because
// the request does not bring it.
func TestVercelDrain(t *testing.T) {
	b := serve(t, mustLoad(t, hooked("verify \"vercel\" {\nsecrets = [env(\"SECRET\")]\nhandshake \"drain\" {\nmethod = \"GET\"\nheader = { X-Vercel-Verify = \"a-value-of-vercel\" }\n}\n}"), "SECRET="+secret))
	if got := b.send(http.MethodGet, "/hook", nil, nil); got.status != 200 || got.header.Get("X-Vercel-Verify") != "a-value-of-vercel" || b.last(1).Result != "handshake" {
		t.Errorf("%d, %v", got.status, got.header)
	}
	if got := b.post("/hook", "[]", nil); got.status != 401 || got.header.Get("X-Vercel-Verify") != "" || len(b.stored()) != 0 {
		t.Errorf("an unsigned batch: %d, %v", got.status, got.header)
	}
}

// TestRefusedHandshakes: what could be misused is refused when the policy is loaded.
func TestRefusedHandshakes(t *testing.T) {
	for _, tt := range []struct{ verify, handshake, want string }{
		{"hmac", `body = body.challenge`, "when is required"},
		{"hmac", "method = \"PUT\"\nbody = body.challenge", "method must be"},
		{"hmac", "method = \"GET\"\nsigned = true", "signed is for what is posted"},
		{"hmac", "method = \"GET\"\nstatus = 302", "between 200 and 299"},
		{"hmac", "method = \"GET\"\nheader = { Location = query.to }", "not for a handshake to set"},
		{"hmac", "method = \"GET\"\nheader = { Content-Type = \"text/html\" }", "not for a handshake to set"},
		{"hmac", "method = \"GET\"\nheader = { Set-Cookie = query.c }", "not for a handshake to set"},
		{"hmac", "method = \"GET\"\nbody = signature.hex", "say of what with sign"},
		{"hmac", "method = \"GET\"\nbody = token", "There is no token here"},
		{"hmac", "method = \"GET\"\nbody = secret", "There is no secret here"},
		{"hmac", "method = \"GET\"\nbody = env(\"S\")", "is a secret"},
		{"hmac", "method = \"GET\"\nhash = \"${token}\"\nbody = hash.hex", "there is none"},
		{"hmac", "method = \"GET\"\nsign = \"${secret}\"\nbody = signature.hex", "There is no secret here"},
		{"hmac", "method = \"GET\"\ntoken = [env(\"T\")]", "token needs presented"},
		{"hmac", "method = \"GET\"\npresented = query.t", "the sender presents a token"},
		{"hmac", "method = \"GET\"\ntoken = [\"written out\"]\npresented = query.t", "does not belong into a policy"},
		{"token", "method = \"GET\"\nsign = query.c\nbody = signature.hex", "no key to sign with"},
	} {
		src := fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify %q {\nsecrets = [env(\"S\")]\nheader = \"X\"\nhandshake \"h\" {\n%s\n}\n}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", tt.verify, tt.handshake)
		if _, diags := load(src); !strings.Contains(strings.ToLower(fmt.Sprint(diags.Errs())), strings.ToLower(tt.want)) {
			t.Errorf("%s: %v, want %q", tt.handshake, diags, tt.want)
		}
	}
}

// TestReply: what a provider wants to hear, of a duplicate as well.
func TestReply(t *testing.T) {
	for _, s := range signatures(t) {
		want, kind, refusal := "", text, "signature not accepted\n"
		switch s.name {
		case "adyen_platform":
			want = "[accepted]"
		case "shiphero":
			want, kind = `{"code": "200", "Status": "Success"}`, jsonType
		case "xero":
			refusal = ""
		default:
			continue
		}
		b := serve(t, mustLoad(t, s.source(""), s.environ()...))
		h, uri := s.sign(secret, "", "{}")
		for range 2 {
			if got := b.post(uri, "{}", h); got.status != 200 || got.body != want || got.header.Get("Content-Type") != kind {
				t.Errorf("%s: %d %q %s", s.name, got.status, got.body, got.header.Get("Content-Type"))
			}
		}
		if got := b.post(uri, "{}x", h); got.status != 401 || got.body != refusal {
			t.Errorf("%s: %d %q to what is wrongly signed", s.name, got.status, got.body)
		}
	}
}

// TestReplyToDiscord: an event is acknowledged by a 204 with no body, a duplicate as well.
func TestReplyToDiscord(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	b := room(t, nil, fmt.Sprintf("verify \"discord\" { keys = [%q] }", hex.EncodeToString(public)))
	at, body := strconv.FormatInt(time.Now().Unix(), 10), `{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}`
	h := set("X-Signature-Timestamp", at, "X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(private, []byte(at+body))))
	for range 2 {
		if got := b.post("/hook", body, h); got.status != 204 || got.body != "" {
			t.Errorf("%d %q", got.status, got.body)
		}
	}
}

// TestLearnedSecret: a secret that a provider sends is taken once, from who knows the
// token, and signs from then on.
func TestLearnedSecret(t *testing.T) {
	const given, other = "b537207f20cbfa02357cf448134da559", "0f37207f20cbfa02357cf448134da55a"
	file := filepath.Join(t.TempDir(), "asana.secret")
	src := fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify \"asana\" {\nsecrets = [file(%q)]\nhandshake \"secret\" {\ntoken = [env(\"TOKEN\")]\ninto = %q\n}\n}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", file, file)
	b := serve(t, mustLoad(t, src, "TOKEN=a token of some length"))
	n := 0
	ask := func(what, query, secret string, status int) {
		t.Helper()
		n++
		got := b.post("/hook?"+query, "{}", set("X-Hook-Secret", secret))
		if got.status != status || (got.header.Get("X-Hook-Secret") == secret) != (status == 200) {
			t.Errorf("%s: %d %v (%s), want %d", what, got.status, got.header, b.last(n).Why, status)
		}
	}
	ask("without a token", "", given, 401)
	ask("with another", "guard=another", given, 401)
	ask("a secret that is too short", "guard=a+token+of+some+length", "short", 401)
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a secret was taken")
	}
	ask("as it is meant", "guard=a+token+of+some+length", given, 200)
	ask("the same again", "guard=a+token+of+some+length", given, 200)
	ask("another secret", "guard=a+token+of+some+length", other, 401)
	text, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || string(text) != given || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %q, %v, %v", text, info.Mode(), err)
	}
	for what, secret := range map[string]string{"the one that was given": given, "another": other} {
		b := serve(t, mustLoad(t, src, "TOKEN=a token of some length"))
		got := b.post("/hook", "{}", set("X-Hook-Signature", hex.EncodeToString(sum([]byte(secret), "{}"))))
		if (got.status == 200) != (secret == given) {
			t.Errorf("signed with %s: %d", what, got.status)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
	off := serve(t, mustLoad(t, strings.Replace(src, fmt.Sprintf("handshake \"secret\" {\ntoken = [env(\"TOKEN\")]\ninto = %q\n}\n", file), "", 1)))
	if got := off.post("/hook", "{}", set("X-Hook-Secret", given)); got.status != 401 {
		t.Errorf("a policy that does not want it: %d", got.status)
	}
}

// TestHashedHandshake: an answer may be a digest that is about a token, and a list of
// what an origin may do.
func TestHashedHandshake(t *testing.T) {
	src := fmt.Sprintf(`inbound {
  public_url = %q
}
webhook "hook" {
  path = "/hook"
  verify "hmac" {
    secrets = [env("SECRET")]
    header  = "X-Signature"
    handshake "challenge" {
      method    = "GET"
      when      = query.challenge_code != null
      token     = [env("TOKEN")]
      presented = query.guard
      hash      = "${query.challenge_code}${token}${url}"
      body      = { challengeResponse = hash.hex }
    }
    handshake "abuse_protection" {
      method = "OPTIONS"
      when   = header["WebHook-Request-Origin"] != null
      status = 204
      header = {
        WebHook-Allowed-Origin = header["WebHook-Request-Origin"]
        WebHook-Allowed-Rate   = "*"
      }
    }
  }
  deliver {
    to = "http://127.0.0.1:1/"
  }
}
`, public)
	b := serve(t, mustLoad(t, src, "SECRET="+secret, "TOKEN=a token of some length"))
	uri := "/hook?challenge_code=abc&guard=a+token+of+some+length"
	digest := sha256.Sum256([]byte("abc" + "a token of some length" + public + uri))
	if got := b.send(http.MethodGet, uri, nil, nil); got.body != fmt.Sprintf(`{"challengeResponse":"%x"}`, digest) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.send(http.MethodOptions, "/hook", nil, set("Webhook-Request-Origin", "eventgrid.azure.net")); got.status != 204 || got.header.Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" || got.header.Get("WebHook-Allowed-Rate") != "*" {
		t.Errorf("%d %v", got.status, got.header)
	}
	for _, method := range []string{http.MethodOptions, http.MethodHead, http.MethodDelete} {
		if got := b.send(method, "/hook", nil, nil); got.status != 405 {
			t.Errorf("%s that is no handshake: %d", method, got.status)
		}
	}
}

// TestExplainHandshake: an explanation names the handshake that a request looks like,
// and answers none: what one teaches is learned from its sender only.
func TestExplainHandshake(t *testing.T) {
	into := filepath.Join(t.TempDir(), "secret")
	src := fmt.Sprintf(`webhook "hook" {
  path = "/hook"
  verify "hmac" {
    secrets = [env("SECRET")]
    header  = "X-Sig"
    handshake "hello" {
      signed    = false
      when      = header["X-Hook-Secret"] != null
      token     = [env("TOKEN")]
      presented = query.token
      learn     = header["X-Hook-Secret"]
      into      = %q
      header    = { X-Hook-Secret = header["X-Hook-Secret"] }
    }
  }
  deliver { to = "http://127.0.0.1:1/" }
}
`, into)
	set := mustLoad(t, src, "SECRET="+secret, "TOKEN=a token of some length")
	header := http.Header{"X-Hook-Secret": {"a secret that is given"}}
	e, err := set.Explain(t.Context(), &inbound.Request{Method: http.MethodPost, Header: header, Received: time.Now()}, "/hook?token=a%20token%20of%20some%20length", "")
	if err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprintf("%+v", e.Steps)
	if !strings.Contains(told, `it looks like "hello", which is answered before anything is verified`) {
		t.Errorf("%s", told)
	}
	if _, err := os.Stat(into); err == nil {
		t.Error("an explanation has learned a secret")
	}
}
