package oauth

import (
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func pkcs1(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// pss is PKCS #8 of a key that is for RSASSA-PSS alone.
func pss(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}}, x509.MarshalPKCS1PrivateKey(key)})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestParsePrivateKey(t *testing.T) {
	key, ec := rsaKey(t), ecKey(t, elliptic.P256())
	der, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	ed := edKey(t)
	for name, tt := range map[string]struct {
		text string
		want crypto.Signer
	}{
		"PKCS #8":                {pkcs8(t, key), key},
		"PKCS #1":                {pkcs1(t, key), key},
		"RSASSA-PSS":             {pss(t, key), key},
		"SEC 1, with parameters": {sec1, ec},
		"PKCS #8, P-384":         {pkcs8(t, ecKey(t, elliptic.P384())), nil},
		"Ed25519":                {pkcs8(t, ed), ed},
		`\n for newlines`:        {strings.ReplaceAll(pkcs1(t, key), "\n", `\n`), key},
		`\r\n for newlines`:      {strings.ReplaceAll(pkcs1(t, key), "\n", `\r\n`), key},
		"in quotes":              {`"` + strings.ReplaceAll(pkcs8(t, key), "\n", `\n`) + `"`, key},
		"CRLF, BOM and space":    {"\ufeff  " + strings.ReplaceAll(pkcs8(t, key), "\n", "\r\n") + "  \n", key},
		"no newline at the end":  {strings.TrimSpace(pkcs8(t, key)), key},
		"text before":            {"Bag Attributes\n" + pkcs8(t, key), key},
	} {
		got, err := ParsePrivateKey([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if tt.want != nil && !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(tt.want) {
			t.Errorf("%s: another key", name)
		}
	}
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(rsaKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	whole := pkcs8(t, rsaKey(t))
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "give the text"},
		{"a path", "/run/secrets/key.pem", "give the text"},
		{"public", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), "something else in PEM"},
		{"spaces for newlines", strings.ReplaceAll(whole, "\n", " "), "broken"},
		{"cut", whole[:len(whole)/2], "broken"},
		{"two", whole + pkcs1(t, rsaKey(t)), "more than one"},
		{"1024 bits", pkcs1(t, small), "1024 bits"},
		{"1024 bits of RSASSA-PSS", pss(t, small), "1024 bits"},
		{"P-521", pkcs8(t, ecKey(t, elliptic.P521())), "of a kind"},
		{"X25519", pkcs8(t, x), "of a kind"},
		{"wrong type", strings.ReplaceAll(whole, " PRIVATE", " RSA PRIVATE"), "cannot be read"},
		{"garbage", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hunter2")})), "cannot be read"},
		{"encrypted", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "encrypted"},
		{"encrypted, old", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})), "encrypted"},
		{"OpenSSH", string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")})), "OpenSSH"},
		{"DSA", string(pem.EncodeToMemory(&pem.Block{Type: "DSA PRIVATE KEY", Bytes: []byte("x")})), "convert it"},
	} {
		key, err := ParsePrivateKey([]byte(tt.text))
		if key != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), "/run") {
			t.Errorf("%s: the error shows the text: %v", tt.name, err)
		}
	}
}

func account(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	f := map[string]any{
		"type": "service_account", "project_id": "p", "private_key_id": "kid-1", "private_key": pkcs8(t, rsaKey(t)),
		"client_email": "a@p.iam.gserviceaccount.com", "client_id": "1", "auth_uri": "https://accounts.google.com/o/oauth2/auth",
		"token_uri": "https://oauth2.googleapis.com/token",
	}
	change(f)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseServiceAccount(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"as downloaded": func(map[string]any) {},
		"no token_uri":  func(f map[string]any) { delete(f, "token_uri") },
		"escaped twice": func(f map[string]any) {
			f["private_key"] = strings.ReplaceAll(f["private_key"].(string), "\n", `\n`)
		},
	} {
		a, err := ParseServiceAccount(account(t, change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a.Email != "a@p.iam.gserviceaccount.com" || a.KeyID != "kid-1" || a.TokenURL != "https://oauth2.googleapis.com/token" || !rsaKey(t).Equal(a.Key) {
			t.Errorf("%s: %v, %s, %s", name, a, a.KeyID, a.TokenURL)
		}
		if got := fmt.Sprintf("%v %+v %#v %d %s", a, a, *a, a, *a); strings.Contains(got, "{") || strings.Contains(got, "kid-1") {
			t.Errorf("prints %s", got)
		}
	}
	for name, tt := range map[string]struct {
		text []byte
		want string
	}{
		"a user's":   {account(t, func(f map[string]any) { f["type"] = "authorized_user" }), `"authorized_user", not service_account`},
		"no type":    {[]byte(`{}`), `"", not service_account`},
		"odd type":   {[]byte(`{"type":"a\nb"}`), "unreadable"},
		"not JSON":   {[]byte("-----BEGIN"), "no JSON object"},
		"no email":   {account(t, func(f map[string]any) { delete(f, "client_email") }), "client_email"},
		"no key":     {account(t, func(f map[string]any) { delete(f, "private_key") }), "private_key of the service account"},
		"plain http": {account(t, func(f map[string]any) { f["token_uri"] = "http://metadata/token" }), "no https URL"},
	} {
		if a, err := ParseServiceAccount(tt.text); a != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	// No RSA: reading it takes too long for a fuzzer.
	f.Add([]byte(pkcs8(f, edKey(f))))
	f.Add([]byte(strings.ReplaceAll(pkcs8(f, ecKey(f, elliptic.P256())), "\n", `\n`)))
	f.Add(account(f, func(a map[string]any) { a["private_key"] = pkcs8(f, edKey(f)) }))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParsePrivateKey(text)
		if (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
		if key != nil && len(algsOf(key)) == 0 {
			t.Fatal("a key that signs nothing was taken")
		}
		if a, err := ParseServiceAccount(text); (a == nil) == (err == nil) {
			t.Fatalf("account %v, error %v", a, err)
		}
	})
}
