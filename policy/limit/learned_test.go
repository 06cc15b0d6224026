package limit

import (
	"net/http"
	"testing"
	"time"
)

// TestP23Fields: the RateLimit fields of all drafts; what is malformed is ignored,
// and of several policies the tightest counts.
func TestP23Fields(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name  string
		h     http.Header
		left  float64
		reset time.Duration
		ok    bool
	}{
		{"Cloudflare", http.Header{"Ratelimit": {`"default";r=50;t=30`}, "Ratelimit-Policy": {`"default";q=100;w=60`}}, 50, 30 * s, true},
		{"token", http.Header{"Ratelimit": {`default;r=50;t=30`}}, 50, 30 * s, true},
		{"spaces", http.Header{"Ratelimit": {` "default" ;r=50; t=30 `}}, 0, 0, false},
		{"spaces after the semicolon", http.Header{"Ratelimit": {` "default"; r=50; t=30 `}}, 50, 30 * s, true},
		{"tightest", http.Header{"Ratelimit": {`"day";r=900;t=3600, "burst";r=2;t=1`}}, 2, s, true},
		{"tightest in lines", http.Header{"Ratelimit": {`"burst";r=5;t=1`, `"day";r=3;t=3600`}}, 3, time.Hour, true},
		{"both spent", http.Header{"Ratelimit": {`"burst";r=0;t=1, "day";r=0;t=3600`}}, 0, time.Hour, true},
		{"without a reset", http.Header{"Ratelimit": {`"burst";r=0`}, "Ratelimit-Policy": {`"day";q=1000;w=86400, "burst";q=100;w=60`}}, 0, 60 * s, true},
		{"without any", http.Header{"Ratelimit": {`"burst";r=7`}}, 7, -1, true},
		{"partition key", http.Header{"Ratelimit": {`"a";r=7;t=5;pk=:c2VjcmV0:`}}, 7, 5 * s, true},
		{"text as a parameter", http.Header{"Ratelimit": {`"a";x="y;r=1, z";r=7;t=5`}}, 7, 5 * s, true},
		{"quotes in the name", http.Header{"Ratelimit": {`"a\"b,c";r=7;t=5`}}, 7, 5 * s, true},
		{"draft 07", http.Header{"Ratelimit": {`limit=100, remaining=40, reset=20`}}, 40, 20 * s, true},
		{"draft 07 without reset", http.Header{"Ratelimit": {`limit=100, remaining=40`}}, 40, -1, true},
		{"draft 06", http.Header{"Ratelimit-Limit": {"100, 100;w=60"}, "Ratelimit-Remaining": {"40"}, "Ratelimit-Reset": {"20"}}, 40, 20 * s, true},
		{"draft 06 without reset", http.Header{"Ratelimit-Remaining": {"0"}}, 0, -1, true},
		{"the newer one counts", http.Header{"Ratelimit": {`"a";r=1;t=5`}, "Ratelimit-Remaining": {"40"}, "Ratelimit-Reset": {"20"}}, 1, 5 * s, true},
		{"policy alone", http.Header{"Ratelimit-Policy": {`"burst";q=100;w=60`}}, 0, 0, false},
		{"none", http.Header{}, 0, 0, false},
		{"no number", http.Header{"Ratelimit": {`"a";r=many;t=5`}}, 0, 0, false},
		{"one of two is a number", http.Header{"Ratelimit": {`"a";r=many;t=5, "b";r=4;t=9`}}, 4, 9 * s, true},
		{"unended", http.Header{"Ratelimit": {`"a;r=5;t=5`}}, 0, 0, false},
		{"comma at the end", http.Header{"Ratelimit": {`"a";r=5;t=5,`}}, 0, 0, false},
		{"control character", http.Header{"Ratelimit": {"\"a\x01\";r=5;t=5"}}, 0, 0, false},
		{"exponent", http.Header{"Ratelimit": {`"a";r=1e3;t=5`}}, 0, 0, false},
		{"fractional seconds", http.Header{"Ratelimit": {`"a";r=5;t=0.5`}}, 5, -1, true},
		{"absurd reset", http.Header{"Ratelimit": {`"a";r=5;t=1795953600000`}}, 5, -1, true},
		{"negative", http.Header{"Ratelimit-Remaining": {"-3"}, "Ratelimit-Reset": {"-1"}}, 0, 0, true},
	} {
		said, ok := fields(c.h)
		if ok != c.ok || ok && (said.left != c.left || said.reset != c.reset) {
			t.Errorf("%s: %v left, reset %v, %v; want %v, %v, %v", c.name, said.left, said.reset, ok, c.left, c.reset, c.ok)
		}
	}
}

// TestRemaining: a number, or what is used of how much.
func TestRemaining(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "17": 17, " 17 ": 17, "0.5": 0.5, "-3": 0, "32/40": 8, "40/40": 0, "41/40": 0, "api-usage=18/5000": 4982, "per-app-api-usage=1/2": 1,
	} {
		if got, ok := remaining(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "many", "1e3", "0x10", "NaN", "Inf", "1,000", "32/", "/40", "32/40/50", "=", "a=b/c", "1 2", "--1", "1-"} {
		if got, ok := remaining(text); ok {
			t.Errorf("%q: %v was read", text, got)
		}
	}
}

func FuzzFields(f *testing.F) {
	for _, s := range []string{`"default";r=50;t=30`, `limit=100, remaining=40, reset=20`, `"a\"b";r=1;x="y",b;t=3`, `;;,`, `"`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, value, policy string) {
		said, ok := fields(http.Header{"Ratelimit": {value}, "Ratelimit-Policy": {policy}, "Ratelimit-Remaining": {policy}})
		if said.left < 0 || said.reset < -1 || said.reset > credible || !ok && said != (word{}) && said.left != 0 {
			t.Fatalf("%q: %+v, %v", value, said, ok)
		}
	})
}
