package policy_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// signedWith reports whether signature is that of message.
func signedWith(key, message, signature string) bool {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil)) == signature
}

// TestP29SignedAfresh: each attempt is signed with a time and a nonce of its own,
// and carries the key of the call.
func TestP29SignedAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503}, step{status: 503}, step{status: 200})
		h := compile(t, s.RoundTrip, `
			idempotency { header = "Idempotency-Key" }
			retry {
				backoff { jitter = "none" }
			}
			credential "hmac" {
				secret  = env("NEW")
				unit    = "ms"
				message = "${timestamp}.${nonce}.${request.header["Idempotency-Key"]}.${request.raw_body}"
				header  = { X-Time = "${timestamp}", X-Nonce = "${nonce}", X-Signature = "${signature}" }
			}`)
		_, resp, err := h.do(call{method: "POST", path: "/x", body: "amount=1"})
		finish(t, resp, err)
		if len(s.sent) != 3 {
			t.Fatalf("sent %d times", len(s.sent))
		}
		seen := map[string]bool{}
		for i, r := range s.sent {
			at, nonce, key := r.Header.Get("X-Time"), r.Header.Get("X-Nonce"), r.Header.Get("Idempotency-Key")
			if !signedWith("new-key-0123456789", at+"."+nonce+"."+key+"."+s.body[i], r.Header.Get("X-Signature")) {
				t.Errorf("attempt %d: the signature is not that of %v", i, r.Header)
			}
			if seen[at] || seen[nonce] || len(nonce) != 36 || key == "" || key != s.sent[0].Header.Get("Idempotency-Key") {
				t.Errorf("attempt %d: time %q, nonce %q, key %q", i, at, nonce, key)
			}
			seen[at], seen[nonce] = true, true
		}
	})
}

// TestSignedLast: what is signed is what leaves: with the version, with what other
// credentials put wherever they are written, with the order and the escapes of the
// query, and without what the application sent in these places.
func TestSignedLast(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, `
		credential "hmac" {
			secret  = env("NEW")
			key_id  = "id-1"
			message = "${request.method} ${request.host} ${request.target} ${request.header["X-Other"]} ${request.raw_body}"
			query   = { t = "v", key = "${key_id}", sig = "${signature}" }
		}
		version {
			path = "v{version}"
			pin  = "7"
		}
		credential "header" {
			name  = "X-Other"
			value = env("OLD")
		}
		credential "body" { fields = { token = env("THIRD") } }`)
	x, resp, err := h.do(call{
		method: "POST", path: "/v1/a%2Fb?b=%20+&sig=theirs&t=1&a=&t=2&%73ig", body: "x=1",
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X_Other": {"theirs"}},
	})
	finish(t, resp, err)
	target, signature, _ := strings.Cut(s.sent[0].URL.RequestURI(), "&sig=")
	if want := "/v7/a%2Fb?b=%20+&t=v&a=&key=id-1"; target != want {
		t.Errorf("sent %s, want %s", target, want)
	}
	if !signedWith("new-key-0123456789", "POST p.example "+target+" old-key-9876543210 x=1&token=third-key-55555555", signature) || s.body[0] != "x=1&token=third-key-55555555" {
		t.Errorf("%s %s %v", s.sent[0].URL, s.body[0], s.sent[0].Header)
	}
	if strings.Contains(x.Request.URL.String(), signature) {
		t.Error("the signature is in what is kept of the call")
	}
}

// TestSignedBody: a scheme that reads the body needs all of it; one that does not
// lets it stream.
func TestSignedBody(t *testing.T) {
	const src = "retry { buffer = \"1KiB\" }\ncredential \"hmac\" {\nsecret = env(\"NEW\")\nheader = { X-S = \"${signature}\" }\nmessage = "
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, message string
		length        int64
		code          policy.Code
	}{
		{"read, announced", "request.raw_body\n}", 0, policy.BodyTooLarge},
		{"read, not announced", "request.raw_body\n}", -1, policy.BodyTooLarge},
		{"hashed in a part", "part.b\npart \"b\" {\nmessage = request.raw_body\nalgorithm = \"sha256\"\n}\n}", -1, policy.BodyTooLarge},
		{"only whether there is one", "\"${request.path}${part.b}\"\npart \"b\" {\nmessage = request.method\nwith_body = true\n}\n}", 0, ""},
		{"not read", "request.path\n}", -1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, step{status: 200})
			_, resp, err := compile(t, s.RoundTrip, src+c.message).do(call{method: "PUT", path: "/x", body: long, length: c.length})
			if c.code != "" {
				denied(t, err, c.code)
				if len(s.sent) != 0 {
					t.Error("it left")
				}
				return
			}
			finish(t, resp, err)
			if s.body[0] != long || s.sent[0].Header.Get("X-S") == "" {
				t.Errorf("%d bytes of %d, %v", len(s.body[0]), len(long), s.sent[0].Header)
			}
		})
	}
}

// TestSignedFields: a field takes its place in a form or a JSON object, also where
// there was no body; other bodies, and methods without one, are not touched.
func TestSignedFields(t *testing.T) {
	const src = `credential "hmac" {
		secret  = env("NEW")
		message = "${request.raw_body}"
		fields  = { n = "a b" }
		header  = { X-S = "${signature}" }
	}`
	for _, c := range []struct{ method, kind, body, want string }{
		{"POST", "application/x-www-form-urlencoded", "a=1&n=mine&b=2&%6e=again", "a=1&n=a+b&b=2"},
		{"POST", "application/x-www-form-urlencoded; charset=utf-8", "a=1", "a=1&n=a+b"},
		{"POST", "", "", "n=a+b"},
		{"DELETE", "", "", "n=a+b"},
		{"POST", "application/json", `{"n":"mine","i":9007199254740993}`, `{"i":9007199254740993,"n":"a b"}`},
		{"POST", "application/json", ``, `{"n":"a b"}`},
		{"GET", "", "", ""},
		{"POST", "text/plain", "a=1", "refused"},
		{"POST", "application/json", "[]", "refused"},
		{"POST", "", "a=1", "refused"},
	} {
		s := play(t, step{status: 200})
		h := http.Header{}
		if c.kind != "" {
			h.Set("Content-Type", c.kind)
		}
		_, resp, err := compile(t, s.RoundTrip, src).do(call{method: c.method, path: "/x", header: h, body: c.body})
		if c.want == "refused" {
			if denied(t, err, policy.BadRequest); len(s.sent) != 0 {
				t.Errorf("%s %s: it left", c.kind, c.body)
			}
			continue
		}
		finish(t, resp, err)
		if s.body[0] != c.want || !signedWith("new-key-0123456789", c.want, s.sent[0].Header.Get("X-S")) {
			t.Errorf("%s %q: %q, %v", c.kind, c.body, s.body[0], s.sent[0].Header)
		}
		if kind := s.sent[0].Header.Get("Content-Type"); c.kind == "" && c.want != "" && kind != "application/x-www-form-urlencoded" {
			t.Errorf("%q: Content-Type is %q", c.body, kind)
		}
	}
}

// TestSignedParts: a part is made anew for each attempt, is empty for other methods
// and, if it wants a body, without one, and reads no more than it may.
func TestSignedParts(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "hmac" {
		secret  = env("NEW")
		message = "${part.whole} ${part.begin} ${part.post} ${part.body} ${part.upper}"
		header  = { X-Parts = "${part.whole} ${part.begin} ${part.post} ${part.body} ${part.upper}", X-S = "${signature}" }
		part "whole" {
			message   = request.raw_body
			algorithm = "sha256"
		}
		part "begin" {
			message   = "ab${request.raw_body}"
			algorithm = "sha256"
			most      = "4B"
		}
		part "post" {
			message = request.method
			methods = ["POST"]
		}
		part "body" {
			message   = request.path
			with_body = true
		}
		part "upper" {
			message   = request.path
			algorithm = "md5"
			encoding  = "HEX"
		}
	}`)
	sum := func(p string) string {
		sum := sha256.Sum256([]byte(p))
		return hex.EncodeToString(sum[:])
	}
	const m = "CC8755609AD61864910F145119713DE9"
	for _, c := range []struct{ method, body, want string }{
		{"POST", "one", sum("one") + " " + sum("abon") + " POST /x " + m},
		{"POST", "two", sum("two") + " " + sum("abtw") + " POST /x " + m},
		{"POST", "", sum("") + " " + sum("ab") + " POST  " + m},
		{"PUT", "x", sum("x") + " " + sum("abx") + "  /x " + m},
	} {
		_, resp, err := h.do(call{method: c.method, path: "/x", body: c.body})
		finish(t, resp, err)
		r := s.sent[len(s.sent)-1]
		if got := r.Header.Get("X-Parts"); got != c.want || !signedWith("new-key-0123456789", c.want, r.Header.Get("X-S")) {
			t.Errorf("%s %q: %v, want %s", c.method, c.body, r.Header, c.want)
		}
	}
}

// TestSignedRotation: each secret has its key id, and the next pair is tried on a 401.
func TestSignedRotation(t *testing.T) {
	s := play(t, step{status: 401}, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "hmac" {
		secret  = [env("NEW"), env("OLD")]
		key_id  = ["id-new", env("USER_NAME")]
		message = "${request.path}${key_id}"
		header  = { X-Key = "${key_id}", X-S = "${signature}" }
	}`)
	_, resp, err := h.do(call{method: "GET", path: "/x"})
	finish(t, resp, err)
	for i, c := range []struct{ key, id string }{{"new-key-0123456789", "id-new"}, {"old-key-9876543210", "the-user-name"}} {
		if r := s.sent[i]; r.Header.Get("X-Key") != c.id || !signedWith(c.key, "/x"+c.id, r.Header.Get("X-S")) {
			t.Errorf("attempt %d: %v", i, r.Header)
		}
	}
}

// TestSigningClock: where the provider's clock is known to be far from ours, its
// time is signed; a refusal that shows it is followed by one more attempt, which
// uses up no key.
func TestSigningClock(t *testing.T) {
	for _, c := range []struct {
		name     string
		ahead    time.Duration
		statuses []int
		attempts int
	}{
		{"refused once", 312 * time.Second, []int{403, 200}, 2},
		{"refused again", -312 * time.Second, []int{401, 401, 401, 401}, 3}, // for the time, then with the other key
		{"a 400", 312 * time.Second, []int{400, 200}, 2},
		{"no refusal", 312 * time.Second, []int{404}, 1},
		{"not far", 2 * time.Second, []int{403}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var steps []step
				date := time.Now().Add(c.ahead).UTC().Format(http.TimeFormat)
				for _, status := range c.statuses {
					steps = append(steps, step{status: status, header: map[string]string{"Date": date}})
				}
				s := play(t, steps...)
				h := compile(t, s.RoundTrip, `credential "hmac" {
					secret  = [env("NEW"), env("OLD")]
					unit    = "rfc3339"
					message = "${timestamp}"
					header  = { X-Time = "${timestamp}", X-S = "${signature}" }
				}`)
				x, resp, err := h.do(call{method: "POST", path: "/x"})
				finish(t, resp, err)
				if x.Attempts != c.attempts {
					t.Fatalf("%d attempts, want %d: %+v", x.Attempts, c.attempts, x.Notes)
				}
				ours := time.Now().UTC().Format(time.RFC3339)
				theirs := time.Now().Add(c.ahead + 500*time.Millisecond).UTC().Format(time.RFC3339)
				if got := s.sent[0].Header.Get("X-Time"); got != ours {
					t.Errorf("the first attempt is of %s, want %s", got, ours)
				}
				if c.attempts > 1 {
					if got := s.sent[1].Header.Get("X-Time"); got != theirs || !signedWith("new-key-0123456789", theirs, s.sent[1].Header.Get("X-S")) {
						t.Errorf("the second attempt is of %s, want %s: %v", got, theirs, s.sent[1].Header)
					}
					if !noted(x, "credential", "clock") {
						t.Errorf("not noted: %v", x.Notes)
					}
				}
				if c.attempts > 2 && !signedWith("old-key-9876543210", theirs, s.sent[2].Header.Get("X-S")) {
					t.Error("the third attempt has not the other key")
				}
			})
		})
	}
}

// TestSignedRequests: what is not to be signed leaves as it is.
func TestSignedRequests(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "hmac" {
		secret   = env("NONE")
		message  = "${request.path}"
		header   = { Authorization = "${signature}" }
		requests = ["POST /private/**"]
	}`)
	for _, c := range []struct{ method, path string }{{"GET", "/private/x"}, {"POST", "/public"}} {
		_, resp, err := h.do(call{method: c.method, path: c.path, header: http.Header{"Authorization": {"mine"}}})
		finish(t, resp, err)
		if got := s.sent[len(s.sent)-1].Header.Get("Authorization"); got != "mine" {
			t.Errorf("%s %s: %q", c.method, c.path, got)
		}
	}
	_, _, err := h.do(call{method: "POST", path: "/private/x"})
	denied(t, err, policy.CredentialUnavailable)
}

// TestSignedFailsClosed: without a usable key nothing leaves, and nothing that the
// application sends can add a header.
func TestSignedFailsClosed(t *testing.T) {
	for _, c := range []struct {
		name, src, path string
		code            policy.Code
	}{
		{"not Base64", "secret_encoding = \"base64\"\nheader = { X-S = \"${signature}\" }", "/x", policy.CredentialUnavailable},
		{"no key is left", "key = request.header[\"X-None\"]\nheader = { X-S = \"${signature}\" }", "/x", policy.CredentialUnavailable},
		{"a line break for a header", "header = { X-S = \"${request.query[\"a\"]}${signature}\" }", "/x?a=1%0d%0aX-Evil:1", policy.BadRequest},
	} {
		s := play(t, step{status: 200})
		_, _, err := compile(t, s.RoundTrip, "credential \"hmac\" {\nsecret = env(\"ODD\")\nmessage = request.path\n"+c.src+"\n}").do(call{method: "GET", path: c.path})
		if d := denied(t, err, c.code); len(s.sent) != 0 || strings.Contains(d.Error()+d.Hint, "0123456789") {
			t.Errorf("%s: sent %d times: %v", c.name, len(s.sent), d)
		}
	}
}

// TestSignedEcho: what is masked in answers is what left in clear: the key id and
// the values that are secrets, and nothing that is written out.
func TestSignedEcho(t *testing.T) {
	h := compile(t, play(t, step{
		status: 200, body: "the-user-name new-key-0123456789 public-value-1 third-key-55555555",
	}).RoundTrip, `credential "hmac" {
		secret  = env("NEW")
		key_id  = env("USER_NAME")
		values  = { plain = "public-value-1", pass = env("THIRD") }
		message = "${request.path}"
		header  = { X-Key = "${key_id}", X-P = "${values.plain}", X-Q = "${values.pass}", X-S = "${signature}" }
	}`)
	_, resp, err := h.do(call{method: "GET", path: "/x"})
	if got := finish(t, resp, err); got != "************* new-key-0123456789 public-value-1 ******************" {
		t.Errorf("%s", got)
	}
}

// TestSignedQueryEscapes: a signature in Base64 stands in the query so that it is
// read back as it is.
func TestSignedQueryEscapes(t *testing.T) {
	s := play(t, step{status: 200})
	h := compile(t, s.RoundTrip, `credential "hmac" {
		secret    = env("NEW")
		algorithm = "sha512"
		encoding  = "base64"
		message   = "${nonce}"
		query     = { n = "${nonce}", s = "${signature}" }
	}`)
	for range 20 { // one of them has a plus or a slash
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		q, err := url.ParseQuery(s.sent[len(s.sent)-1].URL.RawQuery)
		if sum, bad := base64.StdEncoding.DecodeString(q.Get("s")); err != nil || bad != nil || len(sum) != 64 {
			t.Errorf("%v: %v %v", q, err, bad)
		}
	}
}
