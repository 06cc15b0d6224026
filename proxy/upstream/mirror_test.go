package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

// TestMirror: a provider is spoken to as the application speaks to us; one that
// knows HTTP/2 only is found out once, and nothing is sent twice.
func TestMirror(t *testing.T) {
	for _, c := range []struct {
		name    string
		offers  []string
		request int // major version of the application's request
		want    string
	}{
		{"h1 to both", []string{"h2", "http/1.1"}, 1, "HTTP/1.1"},
		{"h2 to both", []string{"h2", "http/1.1"}, 2, "HTTP/2.0"},
		{"h2 to h1", []string{"http/1.1"}, 2, "HTTP/1.1"},
		{"h1 to h2 alone", []string{"h2"}, 1, "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests, connections atomic.Int64
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				io.WriteString(w, r.Proto)
			}))
			srv.EnableHTTP2 = c.offers[0] == "h2"
			srv.Config.ErrorLog = quiet
			srv.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				connections.Add(1)
				offers := c.offers
				if !slices.ContainsFunc(offers, func(p string) bool { return slices.Contains(hello.SupportedProtos, p) }) {
					offers = []string{"none of these"} // crypto/tls lets HTTP/1.1 past a server of h2 alone
				}
				return &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: offers}, nil
			}}
			srv.StartTLS()
			defer srv.Close()
			pool := x509.NewCertPool()
			pool.AddCert(srv.Certificate())
			tr := start(t, Options{RootCAs: pool, Mirror: true})
			for range 3 {
				req, err := http.NewRequest("POST", srv.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.ProtoMajor = c.request
				x := &policy.Exchange{Request: req, Body: policy.NewBody(nil, 0, 0)}
				resp, err := tr.RoundTrip(req.WithContext(policy.With(t.Context(), x)))
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(got) != c.want {
					t.Errorf("spoke %s, want %s", got, c.want)
				}
			}
			if requests.Load() != 3 || connections.Load() > 2 {
				t.Errorf("%d requests over %d connections", requests.Load(), connections.Load())
			}
		})
	}
}
