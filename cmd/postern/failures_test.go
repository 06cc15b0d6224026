package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/telemetry"
)

// failing answers one call through the handler, with next in the place of a plan,
// and returns the answer and the lines of the log.
func failing(t *testing.T, next policy.RoundTripper) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	var log bytes.Buffer
	tel := telemetry.New(telemetry.Options{Output: &log, Format: telemetry.JSON})
	h := proxy.NewHandler(func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })
	h.Done = func(x *policy.Exchange, r proxy.Result) { tel.Outbound(x, telemetry.Call(r)) }
	h.Swap(policy.StaticSet(map[string]http.RoundTripper{"api.example.com": policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		x.Endpoint, x.Account, x.Waited = "POST /v1/charges", "acct_1", 250*time.Millisecond
		return next(r)
	})}), false)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "https://api.example.com/v1/charges", nil)
	r.Header.Set("Postern-Account", "acct_1")
	h.ServeHTTP(w, r)
	tel.Close()
	var lines []map[string]any
	for text := range strings.Lines(log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return w, lines
}

// sentTwice is what stages leave of a call that was sent twice, with another class
// each time.
func sentTwice(x *policy.Exchange, status int, o policy.Outcome) {
	x.Began()
	x.Ended(503, policy.ServerError)
	x.Trail[0].Wait = 250 * time.Millisecond
	x.Began()
	x.Now = policy.Attempt{Connected: true, Written: 10, Complete: true, Answered: status != 0, Status: status, Outcome: o}
	x.ProviderRequestID, x.ProviderCode, x.ProviderMessage = "req_1", "their_code", "their words"
	x.Ended(status, o)
}

// TestFailureLines: every failure, by Postern of each code and by the provider of
// each class, is one line of the log that has all there is to know, and the
// problem, where it is ours, says the same.
func TestFailureLines(t *testing.T) {
	check := func(t *testing.T, lines []map[string]any, want map[string]any) map[string]any {
		t.Helper()
		if len(lines) != 1 {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		l := lines[0]
		for key, value := range map[string]any{
			"log": "outbound", "provider": "api.example.com", "endpoint": "POST /v1/charges", "account": "acct_1", "attempts": 2.0, "waited": 0.25,
			"provider_request_id": "req_1", "provider_code": "their_code", "provider_message": "their words",
		} {
			if l[key] != value {
				t.Errorf("%s is %v, want %v", key, l[key], value)
			}
		}
		for key, value := range want {
			if l[key] != value {
				t.Errorf("%s is %v, want %v", key, l[key], value)
			}
		}
		for _, key := range []string{"id", "outcome", "executed", "hint", "trail"} {
			if s, _ := l[key].(string); s == "" {
				t.Errorf("no %s in %v", key, l)
			}
		}
		return l
	}
	for c, status := range policy.Codes() {
		t.Run(string(c), func(t *testing.T) {
			w, lines := failing(t, func(r *http.Request) (*http.Response, error) {
				sentTwice(policy.From(r.Context()), 0, c.Outcome())
				return nil, &policy.Denial{Code: c, Stage: "stage", Detail: "what happened", Executed: policy.Maybe, RetryAfter: 3 * time.Second}
			})
			l := check(t, lines, map[string]any{"code": string(c), "outcome": string(c.Outcome()), "executed": "maybe", "hint": c.Hint(), "source": "postern", "status": float64(status)})
			var p map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"id", "provider", "endpoint", "account", "attempts", "executed", "outcome", "code", "hint", "provider_request_id", "provider_code", "status"} {
				if p[key] != l[key] {
					t.Errorf("%s: the problem says %v, the log %v", key, p[key], l[key])
				}
			}
			if w.Code != status || p["retry_after"] != 3.0 || p["detail"] != "what happened" || !strings.HasSuffix(fmt.Sprint(p["docs"]), "#"+string(c)) {
				t.Errorf("%d: %v", w.Code, p)
			}
		})
	}
	statuses := map[policy.Outcome]int{policy.Validation: 400, policy.Auth: 401, policy.Forbidden: 403, policy.NotFound: 404, policy.Conflict: 409, policy.RateLimited: 429, policy.ClientError: 418, policy.Timeout: 408, policy.ServerError: 503}
	for _, o := range policy.Outcomes() {
		if o.Hint() == "" || o == policy.Cancelled || o == policy.Denied {
			continue // no failure; and no answer has these
		}
		for _, hint := range []string{"", "what the rule says"} {
			t.Run(fmt.Sprintf("%s %q", o, hint), func(t *testing.T) {
				status := statuses[o]
				if status == 0 {
					status = 200 // by a rule
				}
				w, lines := failing(t, func(r *http.Request) (*http.Response, error) {
					x := policy.From(r.Context())
					sentTwice(x, status, o)
					x.Hint = hint
					return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("theirs")), ContentLength: 6}, nil
				})
				if hint == "" {
					hint = o.Hint()
				}
				l := check(t, lines, map[string]any{"outcome": string(o), "hint": hint, "source": "provider", "status": float64(status)})
				if l["code"] != nil || w.Body.String() != "theirs" {
					t.Errorf("%v: %q", l, w.Body)
				}
			})
		}
	}
	t.Run("no failure", func(t *testing.T) {
		_, lines := failing(t, func(r *http.Request) (*http.Response, error) {
			sentTwice(policy.From(r.Context()), 200, policy.OK)
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		})
		if len(lines) != 1 || lines[0]["hint"] != nil || lines[0]["executed"] != nil {
			t.Errorf("%v", lines)
		}
	})
}
