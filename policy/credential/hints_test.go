package credential

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

type kept struct{}

// TestC54InformationalResponses: what the provider says before its answer is
// masked like the answer.
func TestC54InformationalResponses(t *testing.T) {
	const secret = "sk_live_0123456789abcdef"
	told := 0
	l := NewLive()
	l.Echoed = func(string, string, bool) { told++ }
	b := l.Stage(policy.Scope{Provider: "p"}, Kind{
		Name: "bearer", Values: []block.Secret{block.Plaintext(secret)},
		Put: func(r *http.Request, _ *policy.Exchange, value string, _ []string) error {
			policy.SetHeader(r.Header, "Authorization", "Bearer "+value)
			return nil
		},
	})
	rt := b.Wrap(policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		if policy.From(r.Context()) == nil || r.Context().Value(kept{}) != true {
			t.Error("the context lost its values")
		}
		trace := httptrace.ContextClientTrace(r.Context())
		h := textproto.MIMEHeader{"Link": {r.Header.Get("Authorization")}, "X-Other": {"1"}}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, trace.Got1xxResponse(103, h)
	}))
	var got textproto.MIMEHeader
	x := &policy.Exchange{Plan: &policy.Plan{}}
	ctx := policy.With(httptrace.WithClientTrace(context.WithValue(t.Context(), kept{}, true), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { got = h; return nil },
	}), x)
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/", nil)
	if _, err := rt.RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	if link := got.Get("Link"); strings.Contains(link, secret) || link != "Bearer "+strings.Repeat("*", len(secret)) || got.Get("X-Other") != "1" {
		t.Errorf("passed on: %v", got)
	}
	if told != 1 {
		t.Errorf("the alarm rang %d times", told)
	}
}
