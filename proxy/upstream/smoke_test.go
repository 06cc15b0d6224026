package upstream

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

func TestSmoke(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %d %v %v", r.Proto, r.Method, r.URL, len(b), err, r.Header)
		}))
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		g := new(Guard)
		g.Set(Rules{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		tr := New(Options{Guard: g, RootCAs: pool})
		for _, n := range []int{0, 10, 100 << 10} {
			for range 2 {
				x := &policy.Exchange{Body: policy.NewBody(strings.NewReader(strings.Repeat("x", n)), int64(n), 1<<20), Plan: &policy.Plan{Provider: "p"}}
				req, _ := http.NewRequestWithContext(policy.With(context.Background(), x), "POST", srv.URL+"/a?b=c", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				t.Log(string(b), err, fmt.Sprintf("%+v", x.Now))
			}
		}
		tr.Close()
		srv.Close()
	}
}
