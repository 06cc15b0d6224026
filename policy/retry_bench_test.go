package policy_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy/upstream"
)

// without is a house whose plans have no such stage.
func (h *house) without(stage string) *house {
	h.features = slices.DeleteFunc(h.features, func(f policy.Feature) bool { return f.Name == stage })
	return h
}

// BenchmarkRetry is what retries cost a call that succeeds: a plan with retry,
// which spools the body, and one without, over real sockets, in turns. The ratio
// is that of their medians. Allocations are those in a plan alone, over nothing.
func BenchmarkRetry(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write([]byte("ok"))
	}))
	defer server.Close()
	transport := upstream.New(upstream.Options{})
	defer transport.Close()
	src := `upstream = "` + server.URL + `"`
	bare, full := open(b, transport).without("retry").compile(src), open(b, transport).compile(src+"\nretry { buffer = \"16MiB\" }")
	for _, c := range []struct {
		name, method string
		size         int
	}{{"GET", "GET", 0}, {"POST of 2 KiB", "POST", 2 << 10}, {"POST of 40 KiB", "POST", 40 << 10}, {"POST of 900 KiB", "POST", 900 << 10}, {"POST of 8 MiB, in a file", "POST", 8 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			body := bytes.Repeat([]byte("x"), c.size)
			once := func(h *house) {
				x, resp, err := h.do(call{method: c.method, path: "/x", src: bytes.NewReader(body), length: max(int64(len(body)), 1)})
				if c.size == 0 {
					x, resp, err = h.do(call{method: c.method, path: "/x"})
				}
				finish(b, resp, err)
				x.Body.Close()
			}
			var took [2][]time.Duration
			for b.Loop() {
				for _, i := range rand.Perm(2) { // neither has the other's wake each time
					start := time.Now()
					once([]*house{bare, full}[i])
					took[i] = append(took[i], time.Since(start))
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			without, with := took[0][len(took[0])/2], took[1][len(took[1])/2]
			b.ReportMetric(float64(without.Nanoseconds()), "without-ns")
			b.ReportMetric(float64(with.Nanoseconds()), "with-ns")
			b.ReportMetric(float64(with)/float64(without), "ratio")
		})
	}
}

// TestRetryAllocates: off the failure path retries cost a call three small
// allocations: the request of the attempt, its URL and its header; and the copy of
// its body.
func TestRetryAllocates(t *testing.T) {
	answer := policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		if body, err := x.Outgoing().Reader(); err == nil {
			io.Copy(io.Discard, body)
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})
	bare, full := open(t, answer).without("retry").compile(``), open(t, answer).compile(``)
	for _, size := range []int{0, 2 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		cost := func(h *house) float64 {
			return testing.AllocsPerRun(200, func() {
				_, resp, err := h.do(call{method: "POST", path: "/x", src: bytes.NewReader(body), length: int64(size)})
				finish(t, resp, err)
			})
		}
		without, with := cost(bare), cost(full)
		t.Logf("a body of %d bytes: %v allocations without retry, %v with", size, without, with)
		most := 3.0
		if size > 0 {
			most = 6 // what reads the body has memory of its own
		}
		if with > without+most {
			t.Errorf("a body of %d bytes: retry costs %v allocations", size, with-without)
		}
	}
}
