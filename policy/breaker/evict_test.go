package breaker

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/postern-proxy/postern/policy"
)

// TestMetricForgets: an open circuit that is forgotten, because there are too many,
// is open no more: the metric is told.
func TestMetricForgets(t *testing.T) {
	var told []string
	f, err := Feature(func(provider, endpoint string, open bool) { told = append(told, fmt.Sprint(provider, endpoint, open)) })
	if err != nil {
		t.Fatal(err)
	}
	b := f.New().(*Block)
	b.Default()
	b.Calls = 1
	st, err := b.Stage(policy.Scope{Provider: "p"})
	if err != nil {
		t.Fatal(err)
	}
	status := http.StatusBadGateway
	rt := st.Wrap(policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		x.Outcome = policy.OfStatus(status)
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}))
	as := func(account string) {
		r, err := http.NewRequest("GET", "https://p.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(r.WithContext(policy.With(t.Context(), &policy.Exchange{Account: account, Endpoint: "e", Request: r}))); err != nil {
			t.Fatal(err)
		}
	}
	as("first")
	status = http.StatusOK
	for i := range circuits {
		as(fmt.Sprint(i))
	}
	if fmt.Sprint(told) != "[petrue pefalse]" {
		t.Errorf("told %v", told)
	}
}
