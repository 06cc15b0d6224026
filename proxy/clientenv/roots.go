package clientenv

import (
	"bytes"
	"encoding/pem"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// systemBundles are the places where systems keep their roots in one file, in the order of search.
func systemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7
		"/etc/ssl/cert.pem",                                 // macOS, BSD
	}
}

// publicRoots gives the certificates of the first of files that holds any, else those of Mozilla.
func publicRoots(files []string) [][]byte {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if certs := certificates(content); len(certs) > 0 {
			return certs
		}
	}
	var certs [][]byte
	for root := range bundle.Roots() {
		if root.Constraint == nil { // a PEM file cannot carry the constraint
			certs = append(certs, root.Certificate)
		}
	}
	return certs
}

// certificates gives the DER of each certificate in a PEM text, each once, and passes over all else.
func certificates(text []byte) [][]byte {
	var certs [][]byte
	seen := make(map[string]bool)
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" && !seen[string(block.Bytes)] {
			seen[string(block.Bytes)] = true
			certs = append(certs, block.Bytes)
		}
	}
	return certs
}

func encode(certs [][]byte) []byte {
	var out bytes.Buffer
	for _, der := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return out.Bytes()
}
