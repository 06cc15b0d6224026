package telemetry

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

func aCall() (*policy.Exchange, Call) {
	x := &policy.Exchange{
		ID: "0190f3a2-7c11-7abc-8def-0123456789ab", Start: time.Now(), Client: "billing", Account: "acct_1",
		Plan: &policy.Plan{Provider: "stripe"}, Endpoint: "POST /v1/charges/{id}",
		Request: httptest.NewRequest(http.MethodPost, "https://api.stripe.com/v1/charges/1", nil),
		Key:     policy.Key{Value: "order-7", Origin: policy.KeyApp},
	}
	x.Began()
	x.Ended(200, policy.OK)
	x.ProviderRequestID = "req_AbCdEfGhIjKlMn"
	x.Note("idempotency", "key", "app")
	return x, Call{
		Status: 200, Source: policy.FromProvider, Outcome: policy.OK, In: 120, Out: 2048,
		Duration: 123 * time.Millisecond, Overhead: 180 * time.Microsecond,
	}
}

type fixed []string

func (f fixed) Watch(learn, _ func(string)) {
	for _, v := range f {
		learn(v)
	}
}

var manySecrets = fixed{"sk_live_51H8xNvKabcdefghijklmnop", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "xoxb-123456789012-abcdefghijkl", "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "p4ssw0rd-for-basic"}

func BenchmarkOutbound(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		name string
		w    io.Writer
		slog bool // as lines were written before there was an encoder
	}{{"discard", io.Discard, false}, {"discard/slog", io.Discard, true}, {"devnull", null, false}, {"devnull/slog", null, true}} {
		b.Run(c.name, func(b *testing.B) {
			t := New(Options{Output: c.w, Format: JSON, Secrets: manySecrets, Replica: "gate-7f3a"})
			if c.slog {
				t.lines = nil
			}
			x, call := aCall()
			b.ReportAllocs()
			for b.Loop() {
				t.Outbound(x, call)
			}
		})
	}
}

func BenchmarkMetrics(b *testing.B) {
	t := New(Options{Output: io.Discard, Secrets: manySecrets})
	x, call := aCall()
	b.ReportAllocs()
	for b.Loop() {
		t.m.call(x, &call)
	}
}

// aText holds no secret.
const aText = "could not connect to api.stripe.com: dial tcp 10.0.0.1 connection refused after a while, and nothing was sent at all"

func BenchmarkRedactorClean(b *testing.B) {
	for _, known := range []int{len(manySecrets), 20_000} {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) {
			r := NewRedactor(append(tokens(known-len(manySecrets)), manySecrets...))
			b.SetBytes(int64(len(aText)))
			b.ReportAllocs()
			for b.Loop() {
				r.Text(aText)
			}
		})
	}
}

// BenchmarkRedactorLearn: a token that takes the place of the oldest, as many a
// second do where there are connections.
func BenchmarkRedactorLearn(b *testing.B) {
	for _, known := range []int{10, 20_000} {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) {
			list := tokens(known)
			r := NewRedactor(list)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.learn(list[i%known] + "x")
				r.forget(list[i%known] + "x")
			}
		})
	}
}

// tokens are random but for their beginning, as those of providers are.
func tokens(n int) fixed {
	list := make(fixed, n)
	for i := range list {
		list[i] = "eyJhbGciOiJSUzI1NiIs" + rand.Text() + rand.Text()
	}
	return list
}
