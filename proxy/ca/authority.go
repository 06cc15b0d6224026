package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

const (
	validity = 365 * 24 * time.Hour // of the authority itself
	expiring = 30 * 24 * time.Hour  // from when on Warning speaks
	backdate = time.Hour            // clocks of applications may be behind
	cached   = 4096                 // leaves kept
	fileName = "ca-key.pem"         // key and certificate in one file, so that neither is ever without the other
)

// An Authority signs leaves. It is safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // shared by all leaves, never written anywhere

	leaves *lru.Cache[string, *minted]
	mint   singleflight.Group
}

// Open reads the authority kept in folder dir. If there is none, or it has
// expired, a new one is made. The folder must belong to this user alone and
// the key be readable by it alone; anything looser is an error that says how
// to tighten it.
func Open(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the certificate authority: %w", err)
	}
	if err := private(dir, "700"); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	a, err := load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case time.Now().Before(a.cert.NotAfter):
		return a, nil
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace the expired certificate authority: %w", err)
		}
	}
	if err := create(dir, path); err != nil {
		return nil, fmt.Errorf("create the certificate authority: %w", err)
	}
	return load(path)
}

// private refuses a file that somebody else could read or own.
func private(path, mode string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if info, err = os.Stat(path); err != nil {
			return err
		}
	}
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("%s holds the certificate authority's private key and is open to other users (mode %04o); run: chmod %s %s", path, p, mode, path)
	}
	if uid, ok := owner(info); ok && uid != os.Geteuid() {
		return fmt.Errorf("%s holds the certificate authority's private key and belongs to user %d; run: chown %d %s", path, uid, os.Geteuid(), path)
	}
	return nil
}

func load(path string) (*Authority, error) {
	if err := private(path, "600"); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	cert, key, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority in %s: %w", path, err)
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the leaves: %w", err)
	}
	leaves, err := lru.New[string, *minted](cached)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key, leaf: leaf, leaves: leaves}, nil
}

func parse(text []byte) (cert *x509.Certificate, key *ecdsa.PrivateKey, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			cert, err = x509.ParseCertificate(block.Bytes)
		case "PRIVATE KEY":
			var k any
			if k, err = x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				key, _ = k.(*ecdsa.PrivateKey)
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
	switch {
	case cert == nil:
		return nil, nil, errors.New("there is no certificate")
	case key == nil:
		return nil, nil, errors.New("there is no ECDSA private key")
	case !cert.IsCA || !key.PublicKey.Equal(cert.PublicKey):
		return nil, nil, errors.New("the certificate is not an authority's, or not that key's")
	}
	return cert, key, nil
}

// create writes a new authority to path. Of several processes that start at
// once, one wins and all use its work.
func create(dir, path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Postern"}, CommonName: "Postern local authority " + now.UTC().Format(time.DateOnly)},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(validity - backdate),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return publish(dir, path, text.Bytes())
}

// publish makes text appear at path whole, or not at all, and never over
// something that is there.
func publish(dir, path string, text []byte) error {
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// PEM is the certificate that applications have to trust. It holds no secret.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// NotAfter is when the authority expires; the next start after it makes a new one.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Warning is a sentence for the log if fewer than 30 days are left, else "".
func (a *Authority) Warning() string {
	left := time.Until(a.cert.NotAfter)
	if left >= expiring {
		return ""
	}
	return fmt.Sprintf("the certificate authority expires on %s, in %d days; a start after that makes a new one, which applications have to be told to trust",
		a.cert.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24))
}
