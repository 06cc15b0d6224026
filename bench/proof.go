package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What the credentials of the scenario credential64 are made of.
const (
	secret        = "bench-secret-0123456789abcdef"
	granted       = "bench-minted-0123456789abcdef" // what the token endpoint gives; as long as bearer
	stampName     = "X-Bench-Timestamp"
	signatureName = "X-Bench-Signature"
	awsKeyID      = "AKIDBENCH"
	awsRegion     = "eu-central-1"
	awsService    = "execute-api"
	awsTime       = "20060102T150405Z"
)

// proof reports whether a request carries the peer's credential. A signature is made again here if again is set; if not,
// it has to be there, and to be of now.
type proof func(r *http.Request, body []byte, again bool) bool

// sampled is of how many calls one is made again.
const sampled = 64

// proofs are the peers whose credential is another than bearer.
func proofs() map[string]proof {
	return map[string]proof{
		"oauth2_client_credentials": carriesToken,
		"oauth2":                    carriesToken,
		"hmac":                      signedByHMAC,
		"aws_sigv4":                 signedForAWS,
		"http_signature":            signedMessage,
	}
}

func carriesToken(r *http.Request, _ []byte, _ bool) bool {
	return r.Header.Get("Authorization") == "Bearer "+granted
}

// signedByHMAC is the other side of hmacBlock.
func signedByHMAC(r *http.Request, body []byte, again bool) bool {
	signature, stamp := r.Header.Get(signatureName), r.Header.Get(stampName)
	at, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && time.Since(time.Unix(at, 0)).Abs() < time.Minute && len(signature) == hex.EncodedLen(sha256.Size) &&
		(!again || signature == hmacSignature(r, body, stamp))
}

func hmacSignature(r *http.Request, body []byte, stamp string) string {
	return hex.EncodeToString(macOf([]byte(secret), r.Method+"\n"+r.URL.RequestURI()+"\n"+stamp+"\n"+hexHash(body)))
}

// signedForAWS is the other side of awsBlock.
func signedForAWS(r *http.Request, body []byte, again bool) bool {
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse(awsTime, date)
	if err != nil || time.Since(at).Abs() > time.Minute {
		return false
	}
	before, signature, ok := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
	names, ok2 := strings.CutPrefix(before, awsHead(date))
	return ok && ok2 && strings.HasPrefix(names, "content-length;content-type;host;") && len(signature) == hex.EncodedLen(sha256.Size) &&
		(!again || signature == awsSignature(secret, awsScope(date), names, r, body))
}

func awsScope(date string) string {
	return date[:8] + "/" + awsRegion + "/" + awsService + "/aws4_request"
}

func awsHead(date string) string {
	return "AWS4-HMAC-SHA256 Credential=" + awsKeyID + "/" + awsScope(date) + ", SignedHeaders="
}

// awsSignature follows "Create a signed AWS API request"
// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), for paths and queries that have
// nothing to escape or to sort.
func awsSignature(secret, scope, names string, r *http.Request, body []byte) string {
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.Path + "\n" + r.URL.RawQuery + "\n")
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + value + "\n")
	}
	canonical.WriteString("\n" + names + "\n" + hexHash(body))
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = macOf(key, part)
	}
	return hex.EncodeToString(macOf(key, "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hexHash([]byte(canonical.String()))))
}

// signedMessage is the other side of signatureBlock.
func signedMessage(r *http.Request, body []byte, again bool) bool {
	params, ok := strings.CutPrefix(r.Header.Get("Signature-Input"), "sig1=")
	stamp, ok2 := strings.CutPrefix(params, messageParts+";created=")
	stamp, ok3 := strings.CutSuffix(stamp, `;keyid="bench"`)
	at, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		return false
	}
	text, ok := strings.CutPrefix(r.Header.Get("Signature"), "sig1=:")
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, ":"))
	return ok && err == nil && len(signature) == ed25519.SignatureSize && (!again || r.Header.Get("Content-Digest") == contentDigest(body) &&
		ed25519.Verify(messageKey().Public().(ed25519.PublicKey), []byte(messageBase(r, params)), signature))
}

const messageParts = `("@method" "@target-uri" "content-digest")`

// messageBase is what is signed of a request (RFC 9421 §2.5).
func messageBase(r *http.Request, params string) string {
	return `"@method": ` + r.Method + "\n" + `"@target-uri": https://` + r.Host + r.URL.RequestURI() + "\n" +
		`"content-digest": ` + r.Header.Get("Content-Digest") + "\n" + `"@signature-params": ` + params
}

// contentDigest is RFC 9530's.
func contentDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// messageKey signs messages; it is the same in every process.
func messageKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(secret))
	return ed25519.NewKeyFromSeed(seed[:])
}

// keyPEM is messageKey as a policy wants it.
func keyPEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(messageKey())
	if err != nil {
		panic(err) // an Ed25519 key has no failure
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func macOf(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hexHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// token is the token endpoint (RFC 6749 §4.4), for clients that are named like their peer.
func (u *upstream) token(w http.ResponseWriter, r *http.Request) {
	id, given, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	if given != secret || r.PostFormValue("grant_type") != "client_credentials" {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_client"})
		return
	}
	u.of(id).tokens.Add(1)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": granted, "token_type": "Bearer", "expires_in": 3600})
}
