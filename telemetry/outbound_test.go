package telemetry

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

func TestOutboundLine(t *testing.T) {
	tel, lines := logged(t)
	x, call := aCall()
	x.Tags, x.ProviderCode, x.Waited, call.Hint = "order=7,team=a", "card_declined", 412*time.Millisecond, "ask for another card"
	x.ProviderMessage = strings.Repeat("ä", 200)
	x.Trail[0] = policy.Try{Status: 503, Outcome: policy.ServerError, Wait: 412 * time.Millisecond, Reason: "server_error"}
	x.Began()
	x.Ended(402, policy.ClientError)
	call.Status, call.Outcome, call.Err = 402, policy.ClientError, errors.New("the answer broke off")
	tel.Outbound(x, call)
	got := lines()[0]
	for key, want := range map[string]any{
		"msg": "call", "level": "INFO", "log": "outbound", "id": x.ID, "trace_id": "0190f3a27c117abc8def0123456789ab", "span_id": "8def0123456789ab",
		"provider": "stripe", "endpoint": "POST /v1/charges/{id}", "account": "acct_1", "client": "billing", "method": "POST",
		"status": 402.0, "outcome": "client_error", "source": "provider", "attempts": 2.0, "trail": "503 server_error then 412ms, 402 client_error",
		"waited": 0.412, "duration": 0.123, "overhead": 0.00018, "provider_request_id": "req_AbCdEfGhIjKlMn", "provider_code": "card_declined", "provider_message": strings.Repeat("ä", 150) + "…",
		"bytes_in": 120.0, "bytes_out": 2048.0, "notes": "idempotency.key=app", "tags": "order=7,team=a", "hint": "ask for another card", "error": "the answer broke off",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
		delete(got, key)
	}
	if delete(got, "time"); len(got) > 0 {
		t.Errorf("also there: %v", got)
	}
}

// TestP40KeyInTheLog: which key a call carried stands in its line by fingerprint,
// and what a credential did is readable, in both formats.
func TestP40KeyInTheLog(t *testing.T) {
	for _, format := range []Format{JSON, Text} {
		var out bytes.Buffer
		tel := New(Options{Output: &out, Format: format})
		x, call := aCall()
		x.Keys = "aabbccdd,11223344"
		x.Note("credential", "rotated", "[secret env:OLD] was refused (auth); now [secret env:NEW]")
		tel.Outbound(x, call)
		for _, want := range []string{"aabbccdd,11223344", "auth.rotated=[secret env:OLD] was refused (auth); now [secret env:NEW]"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in %s", want, out.String())
			}
		}
	}
}

func TestOutboundRefused(t *testing.T) {
	tel, lines := logged(t)
	x, _ := aCall()
	x = &policy.Exchange{ID: x.ID, Request: x.Request}
	tel.Outbound(x, Call{Status: 403, Source: policy.FromPostern, Outcome: policy.Denied, Code: policy.NoProvider, Executed: policy.No})
	got := lines()[0]
	for key, want := range map[string]any{"level": "WARN", "host": "api.stripe.com", "code": "no_provider", "executed": "no", "source": "postern", "status": 403.0} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if _, ok := got["provider"]; ok {
		t.Error("a call without a plan has a provider")
	}
}

// TestLineHolds: every attribute at once fits a line.
func TestLineHolds(t *testing.T) {
	keys := map[string]bool{}
	tel, lines := logged(t)
	x, call := aCall()
	x.ProviderMessage = "m"
	x.Tags, x.ProviderCode, call.Hint, call.Code, call.Executed, call.Err = "a=b", "c", "h", policy.Limited, policy.Maybe, io.EOF
	x.Began()
	tel.Outbound(x, call)
	for _, l := range lines() {
		for k := range l {
			keys[k] = true
		}
	}
	if n := len((&line{}).attrs); len(keys) > n {
		t.Errorf("%d attributes, and a line holds %d: %v", len(keys), n, slices.Sorted(maps.Keys(keys)))
	}
	tel.Transition(slog.LevelInfo, "many", slices.Repeat([]slog.Attr{slog.Int("n", 1)}, 100)...)
}

func TestPassage(t *testing.T) {
	tel, lines := logged(t)
	tel.Passed(Passage{Client: "billing", Host: "example.com:443", In: 1, Out: 2, Duration: time.Second})
	got := lines()[0]
	if got["log"] != "outbound" || got["host"] != "example.com:443" || got["bytes_out"] != 2.0 || len(got["trace_id"].(string)) != 32 {
		t.Errorf("%v", got)
	}
	if n := value(t, tel, "postern_egress_tunnels_total"); n != 1 {
		t.Errorf("%v tunnels counted", n)
	}
}

func TestTraceparent(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	own := trace{"0190f3a27c117abc8def0123456789ab", "8def0123456789ab"}
	for in, want := range map[string]trace{
		"00-" + id + "-" + span + "-01":                  {id, span},
		"cc-" + id + "-" + span + "-01":                  {id, span},
		"cc-" + id + "-" + span + "-01-what-comes-later": {id, span},
		"":                                   own,
		"00-" + id + "-" + span + "-01-":     own,
		"cc-" + id + "-" + span + "-01.what": own,
		"ff-" + id + "-" + span + "-01":      own,
		"00-" + strings.ToUpper(id) + "-" + span + "-01":      own,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":  own,
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":    own,
		"00-" + id + "-" + span + "-0g":                       own,
		"00_" + id + "-" + span + "-01":                       own,
		"00-" + id[:31] + "\n-" + span + "-01":                own,
		"00-" + id + "-" + span:                               own,
		"00-" + id + "-" + span + "-01, 00-" + id + "-x-y-01": own,
	} {
		if got := traceOf(new(strings.Builder), in, "0190f3a2-7c11-7abc-8def-0123456789ab"); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	if got := traceOf(new(strings.Builder), "", "no uuid"); got != (trace{}) {
		t.Errorf("no uuid: %v", got)
	}
}

func TestOutboundBelowLevel(t *testing.T) {
	var out bytes.Buffer
	tel := New(Options{Output: &out, Level: slog.LevelWarn})
	x, call := aCall()
	tel.Outbound(x, call)
	if n := testing.AllocsPerRun(100, func() { tel.Outbound(x, call) }); n != 0 || out.Len() > 0 {
		t.Errorf("a call that is not logged costs %v allocations, and logs %q", n, out.String())
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := parseTraceparent(s); ok && (len(got.id) != 32 || len(got.span) != 16 || !lowerHex(got.id+got.span)) {
			t.Errorf("%q: %v", s, got)
		}
	})
}
