package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Import writes an authority that was made elsewhere into folder dir, in place
// of the one there, so that several processes have the same. Both texts are
// PEM, as a kubernetes.io/tls Secret holds them; the key is an ECDSA one.
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
	secret, _ := pem.Decode(key)
	if secret == nil {
		return nil, errors.New("there is no private key in PEM")
	}
	der := secret.Bytes
	if secret.Type == "EC PRIVATE KEY" {
		k, err := x509.ParseECPrivateKey(der)
		if err != nil {
			return nil, errors.New("the private key cannot be read")
		}
		if der, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
			return nil, errors.New("the private key cannot be used")
		}
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
	case time.Now().After(c.NotAfter):
		return nil, fmt.Errorf("the certificate expired on %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
	return text.Bytes(), nil
}
