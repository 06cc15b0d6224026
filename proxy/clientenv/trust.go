package clientenv

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// The files of the trust folder that hold certificates.
const (
	CAFile     = "ca.pem"     // Postern's own, for runtimes that add it to their roots
	BundleFile = "bundle.pem" // Postern's own and the public roots, for runtimes whose roots it replaces
)

// WriteTrust writes the folder that applications share: CAFile, BundleFile and the hooks. The PEM text is to hold
// Postern's CA certificates (two while one replaces the other) and nothing else: a private key is refused. Files
// are 0644 and appear whole, by rename; one that is right already is not touched, because applications may be
// reading it. The folder is made 0755 if it is missing, and opened to reading if it is not. CAFile comes last.
func WriteTrust(dir string, caPEM []byte) error {
	return writeTrust(dir, caPEM, systemBundles())
}

// CheckTrust says which file that WriteTrust writes cannot be read, or nil.
func CheckTrust(dir string) error {
	names := append(slices.Sorted(maps.Keys(Hooks())), BundleFile, CAFile)
	for _, name := range names {
		file, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("trust folder: %w", err)
		}
		file.Close()
	}
	return nil
}

func writeTrust(dir string, caPEM []byte, bundles []string) error {
	own, err := parseCA(caPEM)
	if err != nil {
		return fmt.Errorf("write trust folder: %w", err)
	}
	files := Hooks()
	files[BundleFile] = encode(certificates(encode(append(slices.Clone(own), publicRoots(bundles)...))))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(dir, name, files[name]); err != nil {
			return fmt.Errorf("write trust folder: %w", err)
		}
	}
	if err := writeFile(dir, CAFile, encode(own)); err != nil {
		return fmt.Errorf("write trust folder: %w", err)
	}
	return nil
}

func parseCA(text []byte) ([][]byte, error) {
	var certs [][]byte
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("the CA is not a PEM text")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the CA's PEM text holds a %s: only certificates may be shared", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse CA certificate: %w", err)
		}
		if !cert.IsCA {
			return nil, fmt.Errorf("the certificate of %q is not a CA's", cert.Subject)
		}
		certs = append(certs, block.Bytes)
		text = rest
	}
	if len(certs) == 0 {
		return nil, errors.New("no CA certificate")
	}
	return certs, nil
}

// writeFile puts content at a slash-separated name under dir, unless it is there with the right mode.
func writeFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	for _, folder := range slices.Compact([]string{dir, filepath.Dir(path)}) {
		if err := openFolder(folder); err != nil {
			return err
		}
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, content) {
			return setMode(path, info.Mode(), 0o644, 0o777)
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails once it is renamed
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// openFolder makes a folder 0755 whatever the umask, or lets others read and enter one that exists.
func openFolder(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: errors.New("not a folder")}
	}
	return setMode(path, info.Mode(), info.Mode().Perm()|0o755, 0o755)
}

// setMode changes a mode only where its bits under mask are not right, because the owner may be somebody else.
func setMode(path string, have, want, mask fs.FileMode) error {
	if have&mask == want&mask {
		return nil
	}
	return os.Chmod(path, want)
}
