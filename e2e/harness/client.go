package harness

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Client is an application's HTTP client with the proxy and the CA set in code: for the tests that need many precise
// calls rather than a real program. It speaks HTTP/2 inside the tunnel where http2 is set.
func (p *Postern) Client(http2 bool) *http.Client {
	p.t.Helper()
	return p.ClientAs(nil, http2)
}

// ClientAs is Client with proxy credentials.
func (p *Postern) ClientAs(user *url.Userinfo, http2 bool) *http.Client {
	p.t.Helper()
	path := filepath.Join(p.Dir, "trust", "ca.pem")
	pem, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		p.t.Fatalf("no certificate in %s", path)
	}
	tr := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", User: user, Host: p.Proxy}),
		TLSClientConfig:    &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:  http2,
		DisableCompression: true,
		MaxIdleConns:       64, MaxIdleConnsPerHost: 64,
	}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Answer is what an application got: the provider's answer or Postern's.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Broken error // the body ended early
}

// Problem is the part of problem+json that the tests look at.
type Problem struct {
	Type, Title, Detail, Code, Outcome, Provider, Endpoint, ID, Executed, Hint string
	Status, Attempts                                                           int
}

// Problem decodes the body of a refusal or failure made by Postern.
func (a Answer) Problem() (Problem, error) {
	var p Problem
	if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/problem+json") {
		return p, fmt.Errorf("content type %q, body %q", ct, a.Body)
	}
	return p, json.Unmarshal([]byte(a.Body), &p)
}

// Do sends one request and reads the answer to its end. header is name, value pairs; without a
// Content-Type among them a body is sent as a form.
func Do(c *http.Client, method, target, body string, header ...string) (Answer, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, target, r)
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(b), Broken: err}, nil
}
