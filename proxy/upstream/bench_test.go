package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// BenchmarkRoundTrip compares this transport with http.Transport over loopback
// TLS, in one run: 1 KB answers, no body and a body of 1 KB. "cpu-ns/op" is
// the whole process, server included.
func BenchmarkRoundTrip(b *testing.B) {
	payload := strings.Repeat("x", 1024)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", "req_1234567890")
		w.Header().Set("Cache-Control", "no-cache, no-store")
		io.WriteString(w, payload)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	std := func(h2 bool) *http.Transport {
		return &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2, MaxIdleConnsPerHost: 256,
			DisableCompression: true,
		}
	}
	transports := []struct {
		name string
		rt   http.RoundTripper
	}{
		{"h1/ours", New(Options{Guard: loopback(), RootCAs: roots, HTTP1: true})},
		{"h1/net-http", std(false)},
		{"h2/ours", New(Options{Guard: loopback(), RootCAs: roots})},
		{"h2/net-http", std(true)},
	}
	for _, size := range []string{"GET", "POST"} {
		for _, tr := range transports {
			b.Run(size+"/"+tr.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(16)
				before := cpu()
				b.RunParallel(func(pb *testing.PB) {
					req, _ := http.NewRequest(size, srv.URL+"/v1/customers", nil)
					req.Header = http.Header{"User-Agent": {"bench"}, "Authorization": {"Bearer x"}, "Accept": {"*/*"}, "Stripe-Version": {"2024-06-20"}}
					buf := make([]byte, 4096)
					for pb.Next() {
						x := &policy.Exchange{Plan: &policy.Plan{Provider: "p"}, Deadline: time.Now().Add(time.Minute), Idle: time.Minute}
						r := req.WithContext(policy.With(context.Background(), x))
						if size == "POST" {
							x.Body = policy.NewBody(strings.NewReader(payload), 1024, 1<<20)
							r.Body, r.ContentLength = io.NopCloser(strings.NewReader(payload)), 1024
						} else {
							x.Body = policy.NewBody(nil, 0, 0)
						}
						resp, err := tr.rt.RoundTrip(r)
						if err != nil {
							b.Error(err)
							return
						}
						for err == nil {
							_, err = resp.Body.Read(buf)
						}
						resp.Body.Close()
					}
				})
				b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
	for _, tr := range transports {
		switch rt := tr.rt.(type) {
		case *Transport:
			rt.Close()
		case *http.Transport:
			rt.CloseIdleConnections()
		}
	}
}

// cpu is what the process has used so far.
func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
