package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// standInCredential puts the credential of a configuration into requests. The faults are those of standIn.
func standInCredential(dir, kind string, tokenURL []string, fault string) func(*http.Request) {
	switch kind {
	case "oauth2_client_credentials":
		ask := func() string { return askForToken(tokenURL[0]) }
		if fault != "tokens" {
			ask = sync.OnceValue(ask)
		}
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+ask()) }
	case "oauth2":
		return func(r *http.Request) {
			token, _ := os.ReadFile(filepath.Join(dir, "connected"))
			r.Header.Set("Authorization", "Bearer "+string(token))
		}
	case "http_signature":
		return func(r *http.Request) {
			r.Header.Set("Content-Digest", contentDigest(bodyOf(r)))
			params := messageParts + ";created=" + strconv.FormatInt(time.Now().Unix(), 10) + `;keyid="bench"`
			r.Header.Set("Signature-Input", "sig1="+params)
			signature := ed25519.Sign(messageKey(), []byte(messageBase(r, params)))
			if fault == "signature" {
				clear(signature)
			}
			r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(signature)+":")
		}
	case "hmac":
		return func(r *http.Request) {
			stamp := strconv.FormatInt(time.Now().Unix(), 10)
			r.Header.Set(stampName, stamp)
			r.Header.Set(signatureName, spoiled(hmacSignature(r, bodyOf(r), stamp), fault))
		}
	case "aws_sigv4":
		return func(r *http.Request) {
			const names = "content-length;content-type;host;x-amz-date"
			date := time.Now().UTC().Format(awsTime)
			r.Header.Set("X-Amz-Date", date)
			signature := awsSignature(secret, awsScope(date), names, r, bodyOf(r))
			r.Header.Set("Authorization", awsHead(date)+names+", Signature="+spoiled(signature, fault))
		}
	}
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bearer) }
}

// standInImport is `postern connections import --admin URL`: what it brings in lies where standInCredential finds it.
func standInImport(args []string) error {
	if len(args) != 3 || args[0] != "import" || args[1] != "--admin" {
		return fmt.Errorf("unexpected arguments %q", args)
	}
	var got struct {
		Provider    string `json:"provider_config_key"`
		Credentials struct {
			Token string `json:"access_token"`
		}
	}
	if err := json.NewDecoder(os.Stdin).Decode(&got); err != nil || got.Provider != "bench" {
		return fmt.Errorf("%+v is no grant of the provider: %v", got, err)
	}
	return os.WriteFile(filepath.Join(os.Getenv("HOME"), "connected"), []byte(got.Credentials.Token), 0o600)
}

func askForToken(at string) string {
	request, _ := http.NewRequest(http.MethodPost, at, strings.NewReader("grant_type=client_credentials"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("oauth2_client_credentials", secret)
	answer, err := controlClient.Do(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	_ = json.NewDecoder(answer.Body).Decode(&got)
	return got.Token
}

func bodyOf(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// spoiled is a signature that only who makes it again finds to be wrong.
func spoiled(signature, fault string) string {
	if fault == "signature" {
		return strings.Repeat("0", len(signature))
	}
	return signature
}

// TestAWrongCredentialFailsTheRun shows what the upstream does not accept of each kind.
func TestAWrongCredentialFailsTheRun(t *testing.T) {
	for _, tt := range []struct{ fault, peer, want string }{
		{"credential", "bearer", "carried no credential"},
		{"credential", "hmac", "carried no credential"},
		{"other_credential", "oauth2_client_credentials", "carried another credential"},
		{"tokens", "oauth2_client_credentials", "tokens were asked for"},
		{"signature", "hmac", "carried another credential"},
		{"signature", "aws_sigv4", "carried another credential"},
		{"signature", "http_signature", "carried another credential"},
		{"credential", "http_signature", "carried no credential"},
	} {
		t.Run(tt.fault+" "+tt.peer, func(t *testing.T) {
			var report bytes.Buffer
			_, err := shortRun(t, tt.fault, "credential64", "^"+tt.peer+"$", &report)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestProofs compares what the upstream makes of a request with what others made of it.
func TestProofs(t *testing.T) {
	post := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/v1/items"}, Host: host}
	// printf 'POST\n/v1/items\n1700000000\n%s' $(printf '{"a":1}' | sha256sum | cut -d' ' -f1) | openssl dgst -sha256 -hmac bench-secret-0123456789abcdef
	if got := hmacSignature(post, []byte(`{"a":1}`), "1700000000"); got != "202167983e5b2db37afc8514f5a93137ed7cf743bd01345339ebd341a589a99b" {
		t.Errorf("HMAC: %s", got)
	}
	// By `openssl dgst -sha256 -binary | base64`, and `openssl pkeyutl -sign -rawin` with the key of keyPEM.
	post.Header = http.Header{"Content-Digest": {contentDigest([]byte(`{"hello": "world"}`))}}
	if got := post.Header.Get("Content-Digest"); got != "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:" {
		t.Errorf("digest: %s", got)
	}
	base := messageBase(post, messageParts+`;created=1700000000;keyid="bench"`)
	if got := base64.StdEncoding.EncodeToString(ed25519.Sign(messageKey(), []byte(base))); got != "kne7GFkt3byTxjOVw29FPsDodArZmOMLQgN6N5EaRE3Qq/vnHgcZH0oUCPkJ3b6E2xmw9gFRf14E7AScKRnABg==" {
		t.Errorf("message: %s of %s", got, base)
	}
	// github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4: get-vanilla, get-vanilla-query-order-key-case's query sorted
	for query, want := range map[string]string{
		"":                            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		"Param1=value1&Param2=value2": "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
	} {
		get := &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Host: "example.amazonaws.com",
			Header: http.Header{"X-Amz-Date": {"20150830T123600Z"}},
		}
		if got := awsSignature("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830/us-east-1/service/aws4_request", "host;x-amz-date", get, nil); got != want {
			t.Errorf("AWS: %q: %s", query, got)
		}
	}
}

// TestAnOldSignatureIsRefused: each call has to be signed when it is made, whether or not its signature is made again.
func TestAnOldSignatureIsRefused(t *testing.T) {
	body := []byte("{}")
	for kind, prove := range proofs() {
		if strings.HasPrefix(kind, "oauth2") {
			continue
		}
		put := standInCredential("", kind, nil, "")
		for _, again := range []bool{false, true} {
			r := &http.Request{
				Method: http.MethodPost, URL: &url.URL{Path: "/v1/items"}, Host: host, ContentLength: int64(len(body)),
				Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
			}
			put(r)
			if !prove(r, body, again) {
				t.Errorf("%s, made again %v: a right one is refused: %v", kind, again, r.Header)
			}
			if again && prove(r, []byte("[]"), again) {
				t.Errorf("%s: another body is accepted", kind)
			}
			old := time.Now().Add(-time.Hour)
			r.Header.Set(stampName, fmt.Sprint(old.Unix()))
			r.Header.Set("X-Amz-Date", old.UTC().Format(awsTime))
			r.Header.Set("Signature-Input", "sig1="+messageParts+";created="+fmt.Sprint(old.Unix())+`;keyid="bench"`)
			if prove(r, body, again) {
				t.Errorf("%s, made again %v: one of an hour ago is accepted", kind, again)
			}
		}
	}
}
