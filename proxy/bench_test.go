package proxy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

// sink is a response writer that costs nothing of its own.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHandler measures what the handler itself adds to a call: no
// network, no stage.
func BenchmarkHandler(b *testing.B) {
	page := make([]byte, 1024)
	up := policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ContentLength: 1024, Body: io.NopCloser(bytes.NewReader(page)),
			Header: http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1024"}, "Date": {"x"}},
		}, nil
	})
	h := proxy.NewHandler(func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })
	h.Swap(policy.StaticSet(map[string]http.RoundTripper{apiHost: up}), false)
	b.ReportAllocs()
	for b.Loop() {
		r := &http.Request{
			Method: "GET", Host: apiHost, RequestURI: "https://api.example.com/v1/charges", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
			URL:    &url.URL{Scheme: "https", Host: apiHost, Path: "/v1/charges"},
			Header: http.Header{"User-Agent": {"x"}, "Accept": {"*/*"}, "Authorization": {"Bearer x"}},
		}
		h.ServeHTTP(&sink{http.Header{}}, r)
	}
}
