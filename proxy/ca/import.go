package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Import writes an authority that was made elsewhere into folder dir, in place
// of the one there, so that several processes have the same. Both texts are
// PEM, as a kubernetes.io/tls Secret holds them; the certificate is self-signed,
// and the key an ECDSA one.
func Import(dir string, cert, key []byte) error {
	text, err := join(cert, key)
	if err != nil {
		return fmt.Errorf("import the certificate authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the folder of the certificate authority: %w", err)
	}
	if err := private(dir, "700"); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("import the certificate authority: %w", err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("import the certificate authority: %w", err)
	}
	return os.Rename(f.Name(), filepath.Join(dir, fileName))
}

// join checks that the two are an authority that can be used now, and gives
// the text that Open reads.
func join(cert, key []byte) ([]byte, error) {
	block, _ := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in PEM")
	}
	secret, rest := pem.Decode(key)
	for secret != nil && !strings.HasSuffix(secret.Type, "PRIVATE KEY") { // such as EC PARAMETERS, which openssl writes first
		secret, rest = pem.Decode(rest)
	}
	if secret == nil {
		return nil, errors.New("there is no private key in PEM")
	}
	der := secret.Bytes
	switch secret.Type {
	case "PRIVATE KEY":
		if _, err := x509.ParsePKCS8PrivateKey(der); err != nil {
			return nil, errors.New("the private key cannot be read")
		}
	case "EC PRIVATE KEY":
		k, err := x509.ParseECPrivateKey(der)
		if err != nil {
			return nil, errors.New("the private key cannot be read")
		}
		if der, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
			return nil, errors.New("the private key cannot be used")
		}
	default:
		return nil, fmt.Errorf("the private key is of type %q: give an ECDSA one that is not encrypted, as openssl pkcs8 -topk8 -nocrypt writes it", secret.Type)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("the certificate cannot be read: %w", err)
	}
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	c, _, err := parse(text.Bytes())
	switch {
	case err != nil:
		return nil, err
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("the certificate may not sign others: its key usage lacks keyCertSign")
	case c.CheckSignatureFrom(c) != nil:
		return nil, errors.New("the certificate is not self-signed: give a root, because applications trust this certificate alone")
	case time.Now().Before(c.NotBefore):
		return nil, fmt.Errorf("the certificate is valid only from %s on: check the clock, or issue one that is valid now", c.NotBefore.UTC().Format(time.RFC3339))
	case time.Now().After(c.NotAfter):
		return nil, fmt.Errorf("the certificate expired on %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
	return text.Bytes(), nil
}
