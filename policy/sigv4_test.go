package policy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// sigv4 is a provider whose calls are signed for AWS. OLD is the secret.
const sigv4 = `
	hosts = ["p.example"]
	credential "aws_sigv4" {
		access_key_id     = "AKIDEXAMPLE"
		secret_access_key = env("OLD")
		region            = "us-east-1"
		service           = "s3"
	}
`

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// TestP42Payload: x-amz-content-sha256 says what is signed of the body.
func TestP42Payload(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, service, given, body string
		length                     int64
		want                       string // the header, "" if there is none
		code                       policy.Code
	}{
		{"S3 names the hash", "s3", "", "abc", 0, hashOf("abc"), ""},
		{"of nothing", "s3", "", "", 0, hashOf(""), ""},
		{"others do not", "sqs", "", "abc", 0, "", ""},
		{"unless the SDK did", "sqs", hashOf("abc"), "abc", 0, hashOf("abc"), ""},
		{"a wrong one is made right", "s3", hashOf("other"), "abc", 0, hashOf("abc"), ""},
		{"not announced", "s3", "", "abc", -1, hashOf("abc"), ""},
		{"unsigned", "s3", "UNSIGNED-PAYLOAD", long, -1, "UNSIGNED-PAYLOAD", ""},
		{"unsigned with trailers", "s3", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", long, -1, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ""},
		{"signed in pieces", "s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "abc", 0, "", policy.BadRequest},
		{"in pieces with trailers", "s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "abc", 0, "", policy.BadRequest},
		{"long, hashed by the SDK", "sqs", hashOf(long), long, 0, hashOf(long), ""},
		{"long, for S3", "s3", "", long, 0, "UNSIGNED-PAYLOAD", ""},
		{"long, for others", "sqs", "", long, 0, "", policy.BodyTooLarge},
		{"long, with a word for a hash", "sqs", "anything", long, 0, "", policy.BodyTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := play(t, step{status: 200})
			h := compile(t, s.RoundTrip, strings.Replace(sigv4, `"s3"`, `"`+c.service+`"`, 1)+"retry { buffer = \"1KiB\" }\n")
			header := http.Header{}
			if c.given != "" {
				header.Set("X-Amz-Content-Sha256", c.given)
			}
			_, resp, err := h.do(call{method: "PUT", path: "/b/k", header: header, body: c.body, length: c.length})
			if c.code != "" {
				if denied(t, err, c.code); len(s.sent) != 0 {
					t.Error("it left")
				}
				return
			}
			finish(t, resp, err)
			r := s.sent[0]
			if got := r.Header.Get("X-Amz-Content-Sha256"); got != c.want || s.body[0] != c.body {
				t.Errorf("%q, want %q; %d bytes", got, c.want, len(s.body[0]))
			}
			if signed := strings.Contains(r.Header.Get("Authorization"), "x-amz-content-sha256"); signed != (c.want != "") {
				t.Errorf("%v", r.Header)
			}
		})
	}
}

// TestP42Request: the application's own signature goes; what may change on the way
// is not signed; what AWS wants signed is; query and path leave as they are.
func TestP42Request(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503, header: map[string]string{"Retry-After": "2"}}, step{status: 200})
		h := compile(t, s.RoundTrip, sigv4+"credential \"header\" {\nname = \"X-Amz-Meta-B\"\nvalue = env(\"NEW\")\n}\n") // signed, although it comes after
		x, resp, err := h.do(call{method: "GET", path: "/b/a%2Fb//c?x-id=GetObject&list-type=2&a=+", header: http.Header{
			"Authorization": {"AWS4-HMAC-SHA256 Credential=DUMMY/20000101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00"}, "X-Amz-Date": {"19990101T000000Z"},
			"X-Amz-Security-Token": {"theirs"}, "x-amz-security-token": {"raw"}, "X-Amz-Meta-A": {"1"}, "Content-Type": {"text/plain"}, "Range": {"bytes=0-1"},
			"Accept-Encoding": {"gzip"}, "User-Agent": {"aws"}, "Via": {"1.1 x"}, "X-Forwarded-For": {"10.0.0.1"}, "Amz-Sdk-Request": {"attempt=1"},
		}})
		finish(t, resp, err)
		if len(s.sent) != 2 {
			t.Fatalf("sent %d times", len(s.sent))
		}
		for i, r := range s.sent {
			auth := r.Header.Get("Authorization")
			if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20000101/us-east-1/s3/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-b, Signature=") {
				t.Errorf("attempt %d: %s", i, auth)
			}
			if len(spelt(r.Header, "x-amz-security-token")) != 0 || len(r.Header["X-Amz-Date"]) != 1 || len(r.Header["Authorization"]) != 1 {
				t.Errorf("attempt %d: %v", i, r.Header)
			}
			if r.URL.RequestURI() != "/b/a%2Fb//c?x-id=GetObject&list-type=2&a=+" || r.Header.Get("Range") == "" || r.Header.Get("Via") == "" {
				t.Errorf("attempt %d: %s %v", i, r.URL, r.Header)
			}
		}
		first, second := s.sent[0].Header, s.sent[1].Header
		if first.Get("X-Amz-Date") == second.Get("X-Amz-Date") || first.Get("Authorization") == second.Get("Authorization") {
			t.Error("the second attempt has the signature of the first")
		}
		if x.Request.Header.Get("X-Amz-Date") != "19990101T000000Z" {
			t.Error("what is kept of the call was signed")
		}
	})
}

// TestP42Presigned: a URL that bears its signature is left alone, and gets no
// credential.
func TestP42Presigned(t *testing.T) {
	for _, query := range []string{
		"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20000101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20000101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
		"AWSAccessKeyId=A&Expires=1&Signature=x%3D",
	} {
		s := play(t, step{status: 200})
		_, resp, err := compile(t, s.RoundTrip, strings.Replace(sigv4, "OLD", "NONE", 1)).do(call{method: "GET", path: "/b/k?" + query})
		finish(t, resp, err)
		if r := s.sent[0]; r.URL.RawQuery != query || len(r.Header) != 0 {
			t.Errorf("%s %v", r.URL, r.Header)
		}
	}
	s := play(t, step{status: 200}) // an S3 key may be called so
	_, resp, err := compile(t, s.RoundTrip, sigv4).do(call{method: "GET", path: "/b/k?prefix=X-Amz-Signature=1"})
	finish(t, resp, err)
	if s.sent[0].Header.Get("Authorization") == "" {
		t.Error("it was not signed")
	}
}

// TestP42Refused: what cannot be signed does not leave, and the hint says what to do.
func TestP42Refused(t *testing.T) {
	bare := strings.Replace(strings.Replace(sigv4, `region            = "us-east-1"`, "", 1), `service           = "s3"`, "", 1)
	for _, c := range []struct {
		name, src string
		header    http.Header
		hint      string
	}{
		{"no scope", bare, nil, "Write region and service"},
		{"several regions", sigv4, http.Header{"X-Amz-Region-Set": {"*"}}, "endpoint of one region"},
		{"4A", sigv4, http.Header{"Authorization": {"AWS4-ECDSA-P256-SHA256 Credential=A/20000101/s3/aws4_request, SignedHeaders=host, Signature=00"}}, "endpoint of one region"},
		{"pieces", sigv4, http.Header{"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}, "chunkedEncodingEnabled(false)"},
	} {
		s := play(t, step{status: 200})
		_, _, err := compile(t, s.RoundTrip, c.src).do(call{method: "PUT", path: "/b/k", header: c.header})
		if d := denied(t, err, policy.BadRequest); len(s.sent) != 0 || !strings.Contains(d.Hint, c.hint) {
			t.Errorf("%s: sent %d times: %v, %s", c.name, len(s.sent), d, d.Hint)
		}
	}
	for _, src := range []string{
		`credential "aws_sigv4" { secret_access_key = env("NEW") }`, `credential "aws_sigv4" { access_key_id = "A" }`,
		"credential \"aws_sigv4\" {\naccess_key_id = \"A\"\nsecret_access_key = env(\"NEW\")\nregion = \"US East\"\n}",
	} {
		if _, diags := open(t, nil).try(src); !diags.HasErrors() {
			t.Errorf("%s was accepted", src)
		}
	}
}

// TestP42Session: a session token is put, signed, and masked in answers. The id of a
// key is no secret, and providers name it in errors.
func TestP42Session(t *testing.T) {
	s := play(t, step{status: 403, body: "AKIDEXAMPLE third-key-55555555 old-key-9876543210"})
	h := compile(t, s.RoundTrip, strings.Replace(sigv4, "region ", "session_token = env(\"THIRD\")\nregion ", 1))
	_, resp, err := h.do(call{method: "GET", path: "/b/k"})
	if got := finish(t, resp, err); got != "AKIDEXAMPLE ****************** old-key-9876543210" {
		t.Errorf("%s", got)
	}
	if r := s.sent[0]; r.Header.Get("X-Amz-Security-Token") != "third-key-55555555" || !strings.Contains(r.Header.Get("Authorization"), "x-amz-date;x-amz-security-token") {
		t.Errorf("%v", r.Header)
	}
}

// TestP42Clock: RequestTimeTooSkewed is followed by a signature of the provider's
// time, also across midnight, where the key is another.
func TestP42Clock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(-10 * time.Minute).UTC().Format(http.TimeFormat) // 1999
		s := play(t, step{status: 403, header: map[string]string{"Date": date}}, step{status: 200, header: map[string]string{"Date": date}})
		_, resp, err := compile(t, s.RoundTrip, sigv4).do(call{method: "GET", path: "/b/k"})
		finish(t, resp, err)
		if len(s.sent) != 2 || s.sent[0].Header.Get("X-Amz-Date") != "20000101T000000Z" || s.sent[1].Header.Get("X-Amz-Date") != "19991231T235000Z" ||
			!strings.Contains(s.sent[1].Header.Get("Authorization"), "/19991231/") {
			t.Errorf("%d attempts: %v", len(s.sent), s.sent[len(s.sent)-1].Header)
		}
	})
}
