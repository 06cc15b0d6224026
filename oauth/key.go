package oauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// leastRSA is how long an RSA key has to be for a JWT, in bits (RFC 7518 §3.3).
const leastRSA = 2048

// ParsePrivateKey reads one private key in PEM: PKCS #8, PKCS #1 or SEC 1; RSA of
// 2048 bits or more, P-256, P-384 or Ed25519. A key that is for RSASSA-PSS alone is
// read as any other of RSA: sign PS256 with it. Newlines that an environment
// variable made into \n are put back, and quotes around it all are taken away.
// Errors say what to do, and show nothing of the text.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	var found *pem.Block
	for rest := repair(text); ; {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		if b == nil {
			break
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue // EC PARAMETERS, or the certificate
		}
		if found != nil {
			return nil, errors.New("there is more than one private key: leave one")
		}
		found = b
	}
	if found == nil {
		return nil, noKey(text)
	}
	if found.Type == "ENCRYPTED PRIVATE KEY" || found.Headers["DEK-Info"] != "" {
		return nil, errors.New("the private key is encrypted: decrypt it (openssl pkey -in key.pem) and keep it as a secret")
	}
	key, err := parseDER(found)
	if err != nil {
		return nil, err
	}
	if k, ok := key.(*rsa.PrivateKey); ok && k.N.BitLen() < leastRSA {
		return nil, fmt.Errorf("the RSA key has %d bits: at least %d are needed (RFC 7518 section 3.3)", k.N.BitLen(), leastRSA)
	}
	if len(algsOf(key)) == 0 {
		return nil, errors.New("the private key is of a kind that does not sign here: use RSA, P-256, P-384 or Ed25519")
	}
	return key, nil
}

// repair undoes what environment variables and .env files do to PEM.
func repair(text []byte) []byte {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	if n := len(text); n > 1 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		text = bytes.TrimSpace(text[1 : n-1])
	}
	text = bytes.ReplaceAll(text, []byte(`\r`), nil)
	return bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))
}

// noKey says why nothing was found.
func noKey(text []byte) error {
	switch {
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return errors.New("the private key is PEM, but broken: each line has to be on its own, and none may be missing")
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return errors.New("there is no private key, but something else in PEM: give the file with BEGIN PRIVATE KEY")
	}
	return errors.New("there is no private key: give the text of a PEM file, from -----BEGIN to the end")
}

// parseDER reads what is inside of PEM. The standard library's errors say how the
// key is broken, not what it holds.
func parseDER(b *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch b.Type {
	case "PRIVATE KEY":
		if key, err = x509.ParsePKCS8PrivateKey(b.Bytes); err != nil {
			if pss := ofPSS(b.Bytes); pss != nil {
				key, err = pss, nil
			}
		}
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("the private key is in OpenSSH's own format: convert it (ssh-keygen -p -m PKCS8 -f key)")
	default:
		return nil, errors.New("the private key is in a format that is not read here: convert it to PKCS #8 (openssl pkey -in key.pem)")
	}
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be read: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, errors.New("the private key is of a kind that does not sign here: use RSA, P-256, P-384 or Ed25519")
}

// ofPSS reads PKCS #8 of an RSASSA-PSS key (RFC 4055 §3.1), which package x509 does
// not know. It is nil for others.
func ofPSS(der []byte) *rsa.PrivateKey {
	var k struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &k); err != nil || !k.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}) {
		return nil
	}
	key, err := x509.ParsePKCS1PrivateKey(k.Key)
	if err != nil {
		return nil
	}
	return key
}

// A ServiceAccount is what the key file of a Google service account says.
type ServiceAccount struct {
	Email    string // client_email: issuer of the assertion
	KeyID    string // private_key_id: its kid
	TokenURL string // token_uri: where it goes, and its audience
	Key      crypto.Signer
}

// googleToken is where assertions go if the file does not say.
const googleToken = "https://oauth2.googleapis.com/token"

// ParseServiceAccount reads the JSON key file of a Google service account. Other
// credential files of Google's are refused by name.
func ParseServiceAccount(text []byte) (*ServiceAccount, error) {
	var f struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		KeyID    string `json:"private_key_id"`
		Key      string `json:"private_key"`
		TokenURL string `json:"token_uri"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &f); err != nil {
		return nil, errors.New("the service account is no JSON object: give the whole key file as it was downloaded")
	}
	switch {
	case f.Type != "service_account":
		return nil, fmt.Errorf("the file is of type %q, not service_account: make a JSON key for a service account", cleanCode(new(mask), f.Type))
	case f.Email == "" || broken(f.Email):
		return nil, errors.New("the service account has no client_email: give the whole key file as it was downloaded")
	}
	a := &ServiceAccount{Email: f.Email, KeyID: f.KeyID, TokenURL: or(f.TokenURL, googleToken)}
	if u, err := parseURL(a.TokenURL); err != nil || u.Scheme != "https" {
		return nil, errors.New("the token_uri of the service account is no https URL: give the key file as it was downloaded")
	}
	var err error
	if a.Key, err = ParsePrivateKey([]byte(f.Key)); err != nil {
		return nil, fmt.Errorf("private_key of the service account: %w", err)
	}
	return a, nil
}
