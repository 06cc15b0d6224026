package inbound_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signer signs as a provider does, written a second time and independently.
type signer struct {
	kind    string
	secret  string
	headers []string // that must all be there, the signature first
	sign    func(secret, stamp, body string) http.Header
	timed   bool
}

func sum(key []byte, message string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}

func set(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

var signers = []signer{
	{
		kind: "stripe", secret: "whsec_test_secret_of_stripe", headers: []string{"Stripe-Signature"}, timed: true,
		sign: func(secret, stamp, body string) http.Header {
			return set("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(sum([]byte(secret), stamp+"."+body))+",v0="+strings.Repeat("0", 64))
		},
	},
	{
		kind: "github", secret: "It's a Secret to Everybody", headers: []string{"X-Hub-Signature-256"},
		sign: func(secret, _, body string) http.Header {
			return set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum([]byte(secret), body)))
		},
	},
	{
		kind: "slack", secret: "8f742231b10e8888abcd99yyyzzz85a5", headers: []string{"X-Slack-Signature", "X-Slack-Request-Timestamp"}, timed: true,
		sign: func(secret, stamp, body string) http.Header {
			return set("X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", "v0="+hex.EncodeToString(sum([]byte(secret), "v0:"+stamp+":"+body)))
		},
	},
	{
		kind: "standard", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers: []string{"Webhook-Signature", "Webhook-Timestamp", "Webhook-Id"}, timed: true,
		sign: func(secret, stamp, body string) http.Header {
			key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
			return set("Webhook-Id", "msg_1", "Webhook-Timestamp", stamp, "Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum(key, "msg_1."+stamp+"."+body)))
		},
	},
}

func now() string { return strconv.FormatInt(time.Now().Unix(), 10) }

func (s signer) source(extra string) string {
	return fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify %q {\nsecrets = [env(\"SECRET\"), env(\"NEXT\")]\n}\n%s\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n", s.kind, extra)
}

// TestC35NegativeCases sends what must be refused, for every scheme, through the
// listener; the same request unspoilt is accepted in between.
func TestC35NegativeCases(t *testing.T) {
	const body = `{"id":"evt_1","n":1}`
	for _, s := range signers {
		t.Run(s.kind, func(t *testing.T) {
			next := "whsec_" + base64.StdEncoding.EncodeToString([]byte("the key of next month...."))
			b := serve(t, mustLoad(t, s.source(""), "SECRET="+s.secret, "NEXT="+next))
			good := func() http.Header { return s.sign(s.secret, now(), body) }
			signature := s.headers[0]
			type spoilt struct {
				name   string
				body   string
				header http.Header
				result string
			}
			bad := func(name string, h http.Header) spoilt { return spoilt{name, body, h, "bad_signature"} }
			edit := func(f func(string) string) http.Header {
				h := good()
				h.Set(signature, f(h.Get(signature)))
				return h
			}
			cases := []spoilt{
				{"a flipped byte", strings.Replace(body, "1", "2", 1), good(), "bad_signature"},
				{"a newline more", body + "\n", good(), "bad_signature"},
				{"serialised anew", `{"id": "evt_1", "n": 1}`, good(), "bad_signature"},
				{"no header at all", body, http.Header{}, "unsigned"},
				{"empty", body, edit(func(string) string { return "" }), "unsigned"},
				bad("truncated", edit(func(v string) string { return v[:len(v)/3] })),
				bad("one character short", edit(func(v string) string { return strings.Split(v, ",v0")[0][:len(strings.Split(v, ",v0")[0])-1] })),
				bad("right but for its first character", edit(func(v string) string { return differing(s.kind, v, false) })),
				bad("right but for its last byte", edit(func(v string) string { return differing(s.kind, v, true) })),
				bad("another tenant's secret", s.sign("whsec_"+base64.StdEncoding.EncodeToString([]byte("another tenant's secret!")), now(), body)),
				bad("a secret with a newline", s.sign(s.secret+"\n", now(), body)),
				bad("an empty secret", s.sign("", now(), body)),
				bad("hundreds of signatures", edit(func(v string) string { return strings.Repeat(v+",", 100) + v })),
				bad("a signature that is far too long", edit(func(v string) string { return v + strings.Repeat("0", 9000) })),
				bad("the right one behind ten others", edit(func(v string) string { return crowd(s.kind, v) })),
			}
			if s.kind == "standard" { // a newline does not change Base64
				cases[10] = bad("a truncated id", func() http.Header { h := good(); h.Set("Webhook-Id", "msg_"); return h }())
				cases = append(cases, bad("an id with a dot", func() http.Header {
					h := good()
					h.Set("Webhook-Id", "msg_1."+h.Get("Webhook-Timestamp"))
					return h
				}()))
			}
			for _, name := range s.headers {
				h := good()
				h.Del(name)
				result := "bad_signature"
				if name == signature {
					result = "unsigned"
				}
				cases = append(cases, spoilt{"without " + name, body, h, result})
				forged := s.sign("whsec_"+base64.StdEncoding.EncodeToString([]byte("somebody else's secret..")), "1700000000", body).Get(name)
				if name == "Webhook-Id" {
					forged = "msg_2"
				}
				h = good()
				h[http.CanonicalHeaderKey(name)] = []string{good().Get(name), forged}
				cases = append(cases, bad(name+" twice, good first", h))
				h = good()
				h[http.CanonicalHeaderKey(name)] = []string{forged, good().Get(name)}
				cases = append(cases, bad(name+" twice, bad first", h))
			}
			for _, e := range wrongEncodings(s.kind) {
				cases = append(cases, bad("wrong encoding", edit(e)))
			}
			if s.timed {
				for _, stamp := range []string{"-" + now(), "+" + now(), now() + ".0", " " + now(), "0x65", "", "now", strings.Repeat("9", 30), "１７"} {
					cases = append(cases, bad("timestamp "+stamp, s.sign(s.secret, stamp, body)))
				}
				ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).Unix(), 10) }
				for _, stamp := range []string{ago(6 * time.Minute), ago(-6 * time.Minute), ago(time.Hour), "0", now() + "000", "9999999999999"} {
					cases = append(cases, spoilt{"timestamp " + stamp, body, s.sign(s.secret, stamp, body), "stale"})
				}
			}
			if s.kind == "stripe" {
				cases = append(cases,
					bad("unknown scheme only", edit(func(v string) string { return strings.ReplaceAll(v, "v1=", "v2=") })),
					bad("two timestamps", edit(func(v string) string { return v + ",t=" + now() })),
					bad("v0 with the right sum", edit(func(v string) string { return strings.ReplaceAll(strings.Split(v, ",v0")[0], "v1=", "v0=") })))
			}
			for i, c := range cases {
				got := b.post("/hook", c.body, c.header)
				r := b.last(i + 1)
				if got.status != 401 || r.Result != c.result {
					t.Errorf("%s: %d %s, want 401 %s", c.name, got.status, r.Result, c.result)
				}
				if got.body != "signature not accepted\n" {
					t.Errorf("%s: the answer tells %q", c.name, got.body)
				}
			}
			if n := len(b.stored()); n != 0 {
				t.Fatalf("%d spoilt requests were stored", n)
			}
			for name, h := range map[string]http.Header{
				"as it is": good(), "with the next secret": s.sign(next, now(), body),
				"stamped with a leading zero": s.sign(s.secret, "0"+now(), body), "four minutes ahead": s.sign(s.secret, strconv.FormatInt(time.Now().Unix()+240, 10), body),
				"hex in capitals": edit(func(v string) string {
					if s.kind == "standard" {
						return v
					}
					i := strings.LastIndex(v, "=")
					if s.kind == "stripe" {
						i = strings.Index(v, "v1=") + 2
					}
					return v[:i] + strings.ToUpper(v[i:])
				}),
			} {
				if name == "hex in capitals" && s.kind == "stripe" {
					h.Set(signature, strings.Replace(h.Get(signature), ",V0", ",v0", 1))
				}
				if got := b.post("/hook", body, h); got.status != 200 {
					t.Errorf("%s: status %d, want 200", name, got.status)
				}
			}
		})
	}
}

// differing is a header whose signature differs in one byte, and is written as it should
// be: in the first, or in the last.
func differing(kind, v string, last bool) string {
	from := map[string]int{"stripe": strings.Index(v, "v1=") + 3, "github": 7, "slack": 3, "standard": 3}[kind]
	at := from
	if last {
		at = from + map[string]int{"standard": 41}[kind] // of 43 characters and one of padding
		if kind != "standard" {
			at = from + 63
		}
	}
	other := byte('0')
	if v[at] == other {
		other = '1'
	}
	return v[:at] + string(other) + v[at+1:]
}

// TestC32KeysThatAreEmpty: a secret that is none without its prefix, or of which too
// little is left when it is decoded, is refused as one that is not there.
func TestC32KeysThatAreEmpty(t *testing.T) {
	const body = `{"id":"evt_1"}`
	for _, secret := range []string{"whsec_", "whsec_AA==", "whsec_AAA="} {
		set := mustLoad(t, signers[3].source(""), "SECRET="+secret, "NEXT="+signers[3].secret)
		if set.Ready() == nil {
			t.Errorf("%q is ready", secret)
		}
		b := serve(t, set)
		if got := b.post("/hook", body, signers[3].sign(secret, now(), body)); got.status == 200 || len(b.stored()) != 0 {
			t.Errorf("%q signs: %d", secret, got.status)
		}
	}
}

// crowd puts ten well-formed wrong signatures before the right one.
func crowd(kind, v string) string {
	wrong := hex.EncodeToString(make([]byte, 32))
	switch kind {
	case "stripe":
		stamp, rest, _ := strings.Cut(v, ",")
		return stamp + "," + strings.Repeat("v1="+wrong+",", 10) + rest
	case "standard":
		return strings.Repeat("v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" ", 10) + v
	}
	return strings.Repeat(v[:strings.Index(v, "=")+1]+wrong+",", 10) + v
}

// wrongEncodings write the right signature in another way.
func wrongEncodings(kind string) []func(string) string {
	if kind == "standard" {
		raw := func(v string) []byte {
			sum, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(v, "v1,"))
			return sum
		}
		return []func(string) string{
			func(v string) string { return "v1," + hex.EncodeToString(raw(v)) },
			func(v string) string { return strings.TrimRight(v, "=") },
			func(v string) string { return "v1," + base64.RawURLEncoding.EncodeToString(raw(v)) },
			func(v string) string { return "v2," + strings.TrimPrefix(v, "v1,") },
			func(v string) string { return "v1a," + strings.TrimPrefix(v, "v1,") },
			func(v string) string { return "v1," },
			func(v string) string { return strings.TrimPrefix(v, "v1,") },
		}
	}
	return []func(string) string{
		func(v string) string {
			i := strings.Index(v, "v1=") + 3
			if kind != "stripe" {
				i = strings.Index(v, "=") + 1
			}
			sum, _ := hex.DecodeString(v[i : i+64])
			return v[:i] + base64.StdEncoding.EncodeToString(sum)
		},
		func(v string) string {
			i := strings.Index(v, "v1=") + 3
			if kind != "stripe" {
				i = strings.Index(v, "=") + 1
			}
			return v[:i]
		},
	}
}

// TestC35SeveralSignatures: any of up to ten, in a list that a proxy may have
// joined with spaces.
func TestC35SeveralSignatures(t *testing.T) {
	s, wrong := signers[0], "v1="+strings.Repeat("ab", 32)
	b := serve(t, mustLoad(t, s.source(""), "SECRET="+s.secret, "NEXT=the key of next month"))
	stamp := now()
	right := "v1=" + hex.EncodeToString(sum([]byte(s.secret), stamp+".{}"))
	for _, v := range []string{
		"t=" + stamp + "," + wrong + "," + right, "t=" + stamp + ", " + right + ", " + wrong, right + ",t=" + stamp,
		"t=" + stamp + strings.Repeat(","+wrong, 9) + "," + right,
	} {
		if got := b.post("/hook", "{}", set("Stripe-Signature", v)); got.status != 200 {
			t.Errorf("%s: %d", v, got.status)
		}
	}
}
