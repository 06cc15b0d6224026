package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
)

// value adds up the series of a counter, gauge or histogram (its count) whose
// labels are given as name, value, name, value.
func value(t *testing.T, tel *Telemetry, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

type want struct {
	value  float64
	name   string
	labels []string
}

func expect(t *testing.T, tel *Telemetry, wants ...want) {
	t.Helper()
	for _, w := range wants {
		if got := value(t, tel, w.name, w.labels...); got != w.value {
			t.Errorf("%s%v is %v, want %v", w.name, w.labels, got, w.value)
		}
	}
}

// TestIdempotencyMetric: a call with a key is counted by what it was found to be.
func TestIdempotencyMetric(t *testing.T) {
	tel := New(Options{Output: io.Discard})
	for _, c := range []struct {
		source policy.AnswerSource
		code   policy.Code
	}{{policy.Replayed, ""}, {policy.FromPostern, policy.IdempotencyInFlight}, {policy.FromPostern, policy.IdempotencyMismatch}} {
		z, again := aCall()
		z.Trail, z.Attempts = nil, 0
		z.Key = policy.Key{Value: "k", Origin: policy.KeyApp}
		again.Source, again.Code = c.source, c.code
		tel.Outbound(z, again)
	}

	expect(t, tel,
		want{1, "postern_idempotency_total", []string{"provider", "stripe", "result", "replayed"}},
		want{1, "postern_idempotency_total", []string{"provider", "stripe", "result", "in_flight"}},
		want{1, "postern_idempotency_total", []string{"provider", "stripe", "result", "mismatch"}},
		want{0, "postern_idempotency_total", []string{"result", "new"}},
	)
}

func TestEgressMetrics(t *testing.T) {
	tel := New(Options{Output: io.Discard})
	x, call := aCall()
	x.Trail[0] = policy.Try{Status: 401, Outcome: policy.Auth, Reason: "auth"}
	x.Began()
	x.Ended(429, policy.RateLimited)
	x.Trail[1].Reason = string(policy.RateLimited)
	x.Began()
	x.Ended(0, policy.Unreachable)
	x.Trail[2].Reason = string(policy.Unreachable)
	x.Began()
	x.Ended(200, policy.OK)
	tel.Outbound(x, call)

	y, refused := aCall()
	y.Trail, y.Attempts, y.Request = nil, 0, httptest.NewRequest("BREW", "/", nil)
	refused.Source, refused.Outcome, refused.Code = policy.FromPostern, policy.RateLimited, policy.Limited
	tel.Outbound(y, refused)

	expect(t, tel,
		want{1, "postern_egress_requests_total", []string{"provider", "stripe", "endpoint", "POST /v1/charges/{id}", "method", "POST", "outcome", "ok", "source", "provider"}},
		want{1, "postern_egress_requests_total", []string{"method", "_OTHER", "outcome", "rate_limited", "source", "postern"}},
		want{1, "postern_egress_request_duration_seconds", []string{"provider", "stripe", "outcome", "ok"}},
		want{2, "postern_egress_overhead_seconds", []string{"provider", "stripe"}},
		want{4, "postern_egress_attempts_total", nil},
		want{2, "postern_egress_attempts_total", []string{"status_class", "4xx"}},
		want{1, "postern_egress_attempts_total", []string{"status_class", "error", "endpoint", "POST /v1/charges/{id}"}},
		want{1, "postern_egress_retries_total", []string{"provider", "stripe", "reason", "auth"}},
		want{1, "postern_egress_retries_total", []string{"reason", "rate_limited"}},
		want{1, "postern_egress_retries_total", []string{"reason", "unreachable"}},
		want{1, "postern_egress_auth_failures_total", []string{"provider", "stripe", "status", "401"}},
		want{1, "postern_egress_rate_limited_total", []string{"by", "provider"}},
		want{1, "postern_egress_rate_limited_total", []string{"by", "postern"}},
		want{1, "postern_idempotency_total", []string{"provider", "stripe", "result", "new"}},
	)
}

// TestCertificates: which client certificate is in use, and until when.
func TestCertificates(t *testing.T) {
	tel, lines := logged(t)
	whole, route := policy.Scope{Provider: "bank", Label: "mtls"}, policy.Scope{Provider: "bank", Route: "GET /x", Label: "mtls"}
	tel.Certificate(whole, time.Unix(3e9, 0), nil)
	tel.Certificate(route, time.Unix(2e9, 0), nil)
	expect(t, tel, want{2e9, "postern_credential_expiry_timestamp_seconds", []string{"provider", "bank"}})
	tel.Certificate(whole, time.Unix(3e9, 0), errors.New("does not match"))
	tel.Certificate(route, time.Time{}, errors.New("expired"))
	expect(t, tel, want{3e9, "postern_credential_expiry_timestamp_seconds", []string{"provider", "bank"}})
	tel.CertificateEnds(whole, time.Unix(3e9, 0))
	var got []string
	for _, l := range lines() {
		got = append(got, fmt.Sprint(l["level"], " ", l["msg"], " ", l["provider"], " ", l["route"], " ", l["until"] != nil, " ", l["error"]))
	}
	if want := []string{
		"INFO another client certificate is in use bank <nil> true <nil>",
		"INFO another client certificate is in use bank GET /x true <nil>",
		"WARN the new client certificate cannot be used, the one before it stays in use bank <nil> true does not match",
		"ERROR the client certificate cannot be used, and what needs it is refused bank GET /x false expired",
		"WARN a client certificate ends soon: replace it bank <nil> true <nil>",
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestC54Alarm: every echo is counted, and told of at once and then once a minute,
// for each provider and by whether it was masked.
func TestC54Alarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel, lines := logged(t)
		for range 5 {
			tel.Echoed("stripe", "POST /v1/x", true)
		}
		tel.Echoed("stripe", "POST /v1/x", false)
		tel.Echoed("github", "other", true)
		time.Sleep(pause)
		tel.Echoed("stripe", "GET /v1/y", true)
		expect(t, tel,
			want{7, "postern_credential_echoes_total", []string{"provider", "stripe"}},
			want{1, "postern_credential_echoes_total", []string{"provider", "github"}},
		)
		var got []string
		for _, l := range lines() {
			got = append(got, fmt.Sprint(l["log"], " ", l["level"], " ", l["provider"], " ", l["endpoint"], " ", l["answers"]))
		}
		if want := []string{
			"transition WARN stripe POST /v1/x 1", "transition ERROR stripe POST /v1/x 1", "transition WARN github other 1", "transition WARN stripe GET /v1/y 5",
		}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestProcessMetrics(t *testing.T) {
	tel, lines := logged(t)
	tel.Breaker("stripe", "other", true)
	tel.Breaker("stripe", "other", true)
	tel.Breaker("stripe", "other", false)
	tel.LimitWait("stripe", "published", time.Second)
	tel.LimitRemaining("stripe", "published", 7)
	tel.LimitRemaining("stripe", "per account", -1)
	tel.VersionMismatch("stripe")
	tel.ClockSkew("stripe", -312.5)
	tel.Reload(nil)
	tel.Reload(errors.New("stripe.hcl:3: no"))
	tel.AuthorityExpires(time.Unix(2e9, 0))
	tel.AuthorityExpires(time.Unix(3e9, 0))
	expect(t, tel,
		want{1, "postern_breaker_open", []string{"provider", "stripe", "endpoint", "other"}},
		want{1, "postern_limit_wait_seconds", []string{"provider", "stripe", "limit", "published"}},
		want{7, "postern_limit_remaining", nil},
		want{1, "postern_version_mismatch_total", []string{"provider", "stripe"}},
		want{-312.5, "postern_clock_skew_seconds", []string{"provider", "stripe"}},
		want{1, "postern_config_reloads_total", []string{"result", "applied"}},
		want{1, "postern_config_reloads_total", []string{"result", "refused"}},
		want{0, "postern_config_last_reload_successful", nil},
		want{3e9, "postern_ca_not_after_timestamp_seconds", nil},
		want{1, "postern_build_info", nil},
	)
	for _, l := range lines() {
		if l["log"] != "transition" || len(l["id"].(string)) != 36 || len(l["trace_id"].(string)) != 32 || len(l["span_id"].(string)) != 16 {
			t.Errorf("%v", l)
		}
	}
}

func TestInboxTelemetry(t *testing.T) {
	tel, lines := logged(t)
	o := tel.Inbox()
	at := time.Now()
	o.Received(&inbound.Reception{ID: "0190f3a2-7c11-7abc-8def-0123456789ab", Webhook: "github", Result: "accepted", Status: 200, Event: "e", EventID: "d1", Type: "push", Account: "9", Bytes: 12, Took: time.Millisecond})
	o.Received(&inbound.Reception{ID: "x", Webhook: "github", Result: "bad_signature", Status: 401})
	o.Received(&inbound.Reception{ID: "x", Status: 404})
	o.Attempt(&inbound.Attempt{Webhook: "github", Attempt: 1, Result: inbound.Retrying, Took: time.Millisecond})
	o.Attempt(&inbound.Attempt{Webhook: "github", Attempt: 2, Result: inbound.Applied, Took: time.Millisecond})
	for _, to := range []inbound.State{inbound.Processing, inbound.Applied, inbound.Failed, inbound.Quarantined} {
		o.Moved(&inbound.Transition{Event: "0190f3a2-7c11-7abc-8def-0123456789ab", Webhook: "github", Target: "github", Received: at, At: at.Add(2 * time.Second), From: inbound.Processing, To: to, Attempt: 2, Status: 200, Took: time.Second, Reason: "200 OK", Detail: "canary of the answer"})
	}
	o.Held("shop")
	o.Paused(&inbound.Pause{Webhook: "github", Target: "github", Condition: queue.Condition{Paused: true, Until: at}})
	o.Trouble("recording a delivery", errors.New("disk full"))
	expect(t, tel,
		want{1, "postern_inbox_requests_total", []string{"webhook", "github", "result", "accepted"}},
		want{2, "postern_inbox_requests_total", nil},
		want{1, "postern_inbox_ack_seconds", []string{"webhook", "github"}},
		want{2, "postern_inbox_delivery_seconds", nil},
		want{1, "postern_inbox_deliveries_total", []string{"webhook", "github", "result", "applied"}},
		want{1, "postern_inbox_retries_total", []string{"webhook", "github"}},
		want{1, "postern_inbox_apply_seconds", []string{"webhook", "github"}},
		want{1, "postern_inbox_failed_total", nil},
		want{2, "postern_inbox_quarantined_total", nil}, want{1, "postern_inbox_quarantined_total", []string{"webhook", "shop"}},
		want{1, "postern_inbox_target_paused", nil}, want{1, "postern_inbox_target_pauses_total", nil},
	)
	all := lines()
	if len(all) != 9 {
		t.Fatalf("%d lines, want 3 inbound and 6 transitions: %v", len(all), all)
	}
	for key, want := range map[string]any{"log": "inbound", "webhook": "github", "result": "accepted", "status": 200.0, "event_id": "d1", "type": "push", "account": "9", "bytes": 12.0, "duration": 0.001, "trace_id": "0190f3a27c117abc8def0123456789ab"} {
		if all[0][key] != want {
			t.Errorf("%s is %v, want %v", key, all[0][key], want)
		}
	}
	if all[1]["level"] != "WARN" || all[5]["level"] != "WARN" || all[4]["trace_id"] != all[0]["trace_id"] || all[4]["log"] != "transition" || all[4]["to"] != "applied" {
		t.Errorf("%v", all)
	}
	if strings.Contains(fmt.Sprint(all), "canary") {
		t.Error("a line tells what the application answered")
	}
}

func TestInboxStats(t *testing.T) {
	tel := New(Options{Output: io.Discard})
	asked := 0
	var fail error
	tel.InboxStats(func(context.Context) ([]inbound.Stat, error) {
		asked++
		return []inbound.Stat{
			{Webhook: "github", State: inbound.Applied, Count: 5},
			{Webhook: "github", State: inbound.Received, Count: 2, Oldest: time.Unix(2000, 0)},
			{Webhook: "github", State: inbound.Retrying, Count: 1, Oldest: time.Unix(1000, 5e8)},
		}, fail
	})
	expect(t, tel,
		want{5, "postern_inbox_events", []string{"webhook", "github", "status", "applied"}},
		want{8, "postern_inbox_events", nil},
		want{1000.5, "postern_inbox_oldest_unapplied_timestamp_seconds", []string{"webhook", "github"}},
	)
	if n, err := testutil.GatherAndCount(tel.Registry, "postern_inbox_events"); n != len(inbound.States) || err != nil {
		t.Errorf("%d series, want one for each state: %v", n, err)
	}
	if asked != 1 {
		t.Errorf("the store was asked %d times in a moment", asked)
	}
}

func TestInboxStatsFail(t *testing.T) {
	tel, lines := logged(t)
	tel.InboxStats(func(ctx context.Context) ([]inbound.Stat, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the store may take for ever")
		}
		return nil, errors.New("locked")
	})
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "postern_build_info") || strings.Contains(w.Body.String(), "postern_inbox_events") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	if got := lines(); len(got) != 1 || got[0]["error"] != "locked" {
		t.Errorf("%v", got)
	}
}

// everything feeds every metric there is.
func everything(t *testing.T) *Telemetry {
	tel := New(Options{Output: io.Discard, Version: "1.2.3", Revision: "abc", Replica: "gate-7f3a"})
	tel.Replicas(func() int { return 2 })
	x, call := aCall()
	x.Trail[0].Status = 401
	x.Began()
	x.Ended(403, policy.RateLimited)
	tel.Outbound(x, call)
	tel.Passed(Passage{})
	tel.Breaker("p", "e", true)
	tel.LimitWait("p", "l", 1)
	tel.LimitRemaining("p", "l", 1)
	tel.LimitsShared(true, nil)
	tel.LimitFellBack("slow")
	tel.VersionMismatch("p")
	tel.ClockSkew("p", 1)
	tel.Echoed("p", "e", true)
	tel.Reload(nil)
	tel.AuthorityExpires(time.Now())
	o := tel.Inbox()
	o.Received(&inbound.Reception{Webhook: "w", Result: "accepted", Status: 200})
	o.Attempt(&inbound.Attempt{Webhook: "w", Attempt: 2})
	o.Paused(&inbound.Pause{Webhook: "w", Target: "w"})
	o.Paused(&inbound.Pause{Webhook: "w", Target: "w", Condition: queue.Condition{Paused: true}})
	for _, s := range inbound.States {
		o.Moved(&inbound.Transition{Webhook: "w", To: s})
	}
	tel.InboxStats(func(context.Context) ([]inbound.Stat, error) {
		return []inbound.Stat{{Webhook: "w", State: inbound.Received, Count: 1, Oldest: time.Now()}}, nil
	})
	return tel
}

func TestMetricsLint(t *testing.T) {
	tel := everything(t)
	problems, err := testutil.GatherAndLint(tel.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetricsOfTheSurface: the names are promises.
func TestMetricsOfTheSurface(t *testing.T) {
	tel := everything(t)
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for _, f := range families {
		names := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		labels[f.GetName()] = strings.Join(names, " ")
		if len(f.GetHelp()) < 20 && strings.HasPrefix(f.GetName(), "postern_") {
			t.Errorf("%s: help is %q", f.GetName(), f.GetHelp())
		}
	}
	for name, want := range map[string]string{ // labels in alphabetical order
		"postern_egress_requests_total":                    "endpoint method outcome provider source",
		"postern_egress_request_duration_seconds":          "endpoint outcome provider",
		"postern_egress_overhead_seconds":                  "provider",
		"postern_egress_attempts_total":                    "endpoint provider status_class",
		"postern_egress_retries_total":                     "provider reason",
		"postern_egress_auth_failures_total":               "provider status",
		"postern_egress_rate_limited_total":                "by provider",
		"postern_egress_tunnels_total":                     "",
		"postern_limit_wait_seconds":                       "limit provider",
		"postern_limit_remaining":                          "limit provider",
		"postern_limit_shared_up":                          "",
		"postern_limit_fallbacks_total":                    "reason",
		"postern_breaker_open":                             "endpoint provider",
		"postern_idempotency_total":                        "provider result",
		"postern_version_mismatch_total":                   "provider",
		"postern_clock_skew_seconds":                       "provider",
		"postern_credential_echoes_total":                  "provider",
		"postern_inbox_requests_total":                     "result webhook",
		"postern_inbox_ack_seconds":                        "webhook",
		"postern_inbox_apply_seconds":                      "webhook",
		"postern_inbox_delivery_seconds":                   "webhook",
		"postern_inbox_deliveries_total":                   "result webhook",
		"postern_inbox_retries_total":                      "webhook",
		"postern_inbox_failed_total":                       "webhook",
		"postern_inbox_quarantined_total":                  "webhook",
		"postern_inbox_target_paused":                      "target webhook",
		"postern_inbox_target_pauses_total":                "target webhook",
		"postern_inbox_ignored_total":                      "webhook why",
		"postern_inbox_events":                             "status webhook",
		"postern_inbox_oldest_unapplied_timestamp_seconds": "webhook",
		"postern_config_reloads_total":                     "result",
		"postern_config_last_reload_successful":            "",
		"postern_build_info":                               "goversion revision version",
		"postern_replica_info":                             "replica",
		"postern_replicas":                                 "",
	} {
		if have, ok := labels[name]; !ok || have != want {
			t.Errorf("%s has labels %q (there: %t), want %q", name, have, ok, want)
		}
	}
}

func TestC56SeriesStayTheSame(t *testing.T) {
	tel := New(Options{Level: slog.LevelError})
	plan := http.RoundTripper(policy.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF }))
	set := policy.StaticSet(map[string]http.RoundTripper{"api.example.com": plan})
	before := 0
	for i := range 100_000 {
		host, path := "api.example.com", fmt.Sprintf("/v1/things/%d", i)
		if i%2 == 1 {
			host = fmt.Sprintf("host%d.example.net", i)
		}
		r := &http.Request{Method: fmt.Sprintf("M%d", i), Host: host, Header: http.Header{}}
		x := &policy.Exchange{ID: "x", Request: r, Account: fmt.Sprint("acct_", i), Client: fmt.Sprint("client", i), Tags: fmt.Sprint("a=", i), ProviderCode: fmt.Sprint("code", i)}
		call := Call{Status: 403, Source: policy.FromPostern, Outcome: policy.Denied, Code: policy.NoProvider}
		if p := set.Find(host, "443"); p != nil {
			m, err := p.Match(http.MethodGet, path)
			if err != nil {
				t.Fatal(err)
			}
			x.Plan, x.Endpoint = m.Plan, m.Endpoint
			x.Began()
			x.Ended(100+i%500, policy.OfStatus(100+i%500))
			call = Call{Status: 100 + i%500, Source: policy.FromProvider, Outcome: x.Outcome}
		}
		tel.Outbound(x, call)
		tel.Passed(Passage{Host: host})
		tel.Inbox().Received(&inbound.Reception{Status: 404})
		if i == 10_000 {
			before = series(t, tel)
		}
	}
	if after := series(t, tel); after != before || after == 0 {
		t.Errorf("%d series after 100,000 hosts, paths and methods, %d after 10,000", after, before)
	}
}

func series(t *testing.T, tel *Telemetry) int {
	t.Helper()
	var out bytes.Buffer
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	out.Write(w.Body.Bytes())
	return strings.Count(out.String(), "\npostern_")
}

func TestMetricsCostNoAllocations(t *testing.T) {
	tel := New(Options{Output: io.Discard})
	x, call := aCall()
	if n := testing.AllocsPerRun(100, func() {
		tel.m.call(x, &call)
		tel.LimitWait("stripe", "published", time.Second)
		tel.LimitRemaining("stripe", "published", 3)
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
