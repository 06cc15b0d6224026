//go:build linux

package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stageSecret is what a Secret of the manifests holds.
func stageSecret(t *testing.T, name string) map[string]string {
	t.Helper()
	switch name {
	case "postern-ca":
		cert, key := certificate(t, true)
		return map[string]string{"tls.crt": cert, "tls.key": key}
	case "postern-tls":
		cert, key := certificate(t, false)
		return map[string]string{"tls.crt": cert, "tls.key": key}
	}
	data := map[string]string{}
	for _, key := range []string{"admin-token", "stripe", "stripe-webhook", "client-billing", "mock"} {
		data[key] = stageToken
	}
	return data
}

func certificate(t *testing.T, authority bool) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "check"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: authority, KeyUsage: x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if authority {
		c.KeyUsage, c.IPAddresses = x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// call asks the provider as an application does, which has no key and trusts
// what is in the shared folder.
func (s *stage) call() error {
	roots := x509.NewCertPool()
	for _, name := range []string{s.Trust + "/bundle.pem", "/run/secrets/postern-tls/tls.crt"} {
		text, err := os.ReadFile(filepath.Join(s.Root, name))
		if err == nil && !roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s has no certificates", name)
		}
	}
	proxy, err := url.Parse(s.Proxy)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 20 * time.Second}
	resp, err := client.Get("https://api.stripe.com/v1/balance")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || string(body) != "seen api.stripe.com" || resp.Header.Get("Postern-Source") != "provider" {
		return fmt.Errorf("%d %s %v", resp.StatusCode, body, resp.Header)
	}
	return nil
}

func (s *stage) webhook(delivered <-chan string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Inbound+"/mock", strings.NewReader(`{"id":"1"}`))
	if err != nil {
		return err
	}
	req.Header.Set("X-Token", stageToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it is answered %d", resp.StatusCode)
	}
	select {
	case body := <-delivered:
		if body != `{"id":"1"}` {
			return fmt.Errorf("delivered was %s", body)
		}
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("it was not delivered")
	}
}

// peers serves the provider and the application.
func peers() (<-chan string, error) {
	delivered := make(chan string, 8)
	provider, err := net.Listen("tcp", "127.0.0.1:12111")
	if err != nil {
		return nil, err
	}
	application, err := net.Listen("tcp", "127.0.0.1:3000")
	if err != nil {
		return nil, err
	}
	go http.Serve(provider, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+stageToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, "seen "+r.Host)
	}))
	go http.Serve(application, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		delivered <- string(body)
	}))
	return delivered, nil
}
