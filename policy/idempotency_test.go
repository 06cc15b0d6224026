package policy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

const keyHeader = `idempotency { header = "Idempotency-Key" }`

// TestP31RandomKey: two genuine calls with the same body never share a key,
// and a policy cannot make them.
func TestP31RandomKey(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, keyHeader)
	seen := map[string]bool{}
	for range 50 {
		x, resp, err := h.do(call{method: "POST", path: "/x", body: "amount=100"})
		finish(t, resp, err)
		seen[s.sent[len(s.sent)-1].Header.Get("Idempotency-Key")] = true
		if x.Key.Origin != policy.KeyRandom {
			t.Errorf("origin %s", x.Key.Origin)
		}
	}
	if len(seen) != 50 || seen[""] {
		t.Errorf("%d keys for 50 calls", len(seen))
	}
	for _, key := range []string{`"fixed"`, `sha256(request.raw_body)`, `request.raw_body`, `account`, `request.method`} {
		if _, diags := open(t, nil).try("idempotency {\nheader = \"K\"\nkey = " + key + "\n}"); !diags.HasErrors() {
			t.Errorf("key = %s was accepted", key)
		}
	}
}

// TestP33Keys: the application's own key comes first and is not touched, then
// the policy's, then a random one; several are refused, wherever they stand.
func TestP33Keys(t *testing.T) {
	const json = "application/json"
	for _, c := range []struct {
		name, src, path, kind, body string
		header                      http.Header
		want                        string // the key; "*" is a random one
		origin                      policy.KeyOrigin
		code                        policy.Code
	}{
		{"own", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {"mine"}}, "mine", policy.KeyApp, ""},
		{"own, quoted", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {`"mine"`}}, "mine", policy.KeyApp, ""},
		{"own, half quoted", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {`"mine`}}, `"mine`, policy.KeyApp, ""},
		{"two", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {"a", "b"}}, "", "", policy.BadRequest},
		{"two spellings", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {"a"}, "idempotency-key": {"b"}}, "", "", policy.BadRequest},
		{"blank is none", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {" "}}, "*", policy.KeyRandom, ""},
		{"too long", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}, "", "", policy.BadRequest},
		{"C21 line break", keyHeader, "/x", "", "", http.Header{"Idempotency-Key": {"a\r\nb"}}, "", "", policy.BadRequest},
		{"policy's", "idempotency {\nheader = \"Idempotency-Key\"\nkey = request.header[\"X-Order-Id\"]\n}", "/x", "", "", http.Header{"X-Order-Id": {"7"}}, "7", policy.KeyPolicy, ""},
		{"policy's is blank", "idempotency {\nheader = \"Idempotency-Key\"\nkey = request.header[\"X-Order-Id\"]\n}", "/x", "", "", http.Header{"X-Order-Id": {"  "}}, "*", policy.KeyRandom, ""},
		{"required", "idempotency {\nheader = \"Idempotency-Key\"\nrequired = true\n}", "/x", "", "", http.Header{}, "", "", policy.IdempotencyRequired},
		{"query", `idempotency { query = "rid" }`, "/x?a=1", "", "", http.Header{}, "*", policy.KeyRandom, ""},
		{"query, own", `idempotency { query = "rid" }`, "/x?rid=q&a=1", "", "", http.Header{}, "q", policy.KeyApp, ""},
		{"query, two", `idempotency { query = "rid" }`, "/x?rid=q&%72id=q", "", "", http.Header{}, "", "", policy.BadRequest},
		{"field", `idempotency { field = "k" }`, "/x", json, `{"a":1}`, http.Header{}, "*", policy.KeyRandom, ""},
		{"field, own", `idempotency { field = "k" }`, "/x", json, `{"k":"f","a":1}`, http.Header{}, "f", policy.KeyApp, ""},
		{"field, two", `idempotency { field = "k" }`, "/x", json, `{"k":"f","\u006b":"g"}`, http.Header{}, "", "", policy.BadRequest},
		{"field, null", `idempotency { field = "k" }`, "/x", json, `{"k":null}`, http.Header{}, "*", policy.KeyRandom, ""},
		{"field, no object", `idempotency { field = "k" }`, "/x", json, `[1]`, http.Header{}, "", policy.KeyNone, ""},
		{"field, required, no object", "idempotency {\nfield = \"k\"\nkey = request.header[\"X-Order-Id\"]\nrequired = true\n}", "/x", json, `[1]`, http.Header{"X-Order-Id": {"7"}}, "", "", policy.IdempotencyRequired},
		{"another method", `idempotency {
			header  = "Idempotency-Key"
			methods = ["PUT"]
		}`, "/x", "", "", http.Header{"Idempotency-Key": {"mine"}}, "mine", policy.KeyNone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.kind != "" {
				c.header.Set("Content-Type", c.kind)
			}
			s := play(t, step{status: 200})
			x, resp, err := compile(t, s.RoundTrip, c.src).do(call{method: "POST", path: c.path, header: c.header, body: c.body})
			if c.code != "" {
				if denied(t, err, c.code); len(s.sent) != 0 {
					t.Error("it was sent")
				}
				return
			}
			finish(t, resp, err)
			got := s.sent[0].Header.Get("Idempotency-Key") + strings.Join(policy.QueryValues(s.sent[0].URL.RawQuery, "rid"), ",")
			if members, ok := policy.Fields([]byte(s.body[0]), "k"); ok && len(members) > 0 {
				got += members[0].Str
			}
			if x.Key.Origin != c.origin || c.want == "*" && len(got) != 36 || c.want != "*" && got != c.want {
				t.Errorf("sent key %q, %+v; want %q %s", got, x.Key, c.want, c.origin)
			}
			if _, query, _ := strings.Cut(c.path, "?"); c.origin == policy.KeyApp && (s.sent[0].URL.RawQuery != query || s.body[0] != c.body) {
				t.Errorf("the application's own key was touched: %s %s", s.sent[0].URL.RawQuery, s.body[0])
			}
			if c.origin != policy.KeyNone && x.Key.Value != got {
				t.Errorf("decisions go by %q, and %q was sent", x.Key.Value, got)
			}
		})
	}
}
