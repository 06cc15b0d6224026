package claim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/claim"
)

// TestC35One: a header is there exactly once, and is no longer than a token can be.
func TestC35One(t *testing.T) {
	long := strings.Repeat("x", claim.MaxHeader)
	for name, tt := range map[string]struct {
		values []string
		want   inbound.Result
	}{
		"none":                  {nil, inbound.Unsigned},
		"empty":                 {[]string{""}, inbound.Unsigned},
		"white space":           {[]string{" \t"}, inbound.Unsigned},
		"one":                   {[]string{"x"}, inbound.Accepted},
		"two":                   {[]string{"x", "x"}, inbound.BadSignature},
		"one and an empty one":  {[]string{"x", ""}, inbound.BadSignature},
		"an empty one, and one": {[]string{"", "x"}, inbound.BadSignature},
		"the longest":           {[]string{long}, inbound.Accepted},
		"a longer one":          {[]string{long + "x"}, inbound.BadSignature},
	} {
		if _, v := claim.One(http.Header{"X": tt.values}, "X"); v.Result != tt.want {
			t.Errorf("%s: %s, want %s", name, v.Result, tt.want)
		}
	}
}

// TestC35Decode: a signature is written in one way only.
func TestC35Decode(t *testing.T) {
	for _, tt := range []struct {
		in   claim.Encoding
		text string
		ok   bool
	}{
		{claim.Hex, "0aFF", true},
		{claim.Hex, "0aF", false},
		{claim.Hex, "0aFF\n", false},
		{claim.Base64, "/+8=", true},
		{claim.Base64, "/+8", false},
		{claim.Base64, "/+9=", false}, // a bit that no byte has
		{claim.Base64, "/+\n8=", false},
		{claim.Base64, "/+8=\r\n", false},
		{claim.Base64, "_-8=", false},
		{claim.Base64URL, "_-8", true},
		{claim.Base64URL, "_-8=", true},
		{claim.Base64URL, "_-\n8", false},
		{claim.Base64URL, "_-9", false},
		{claim.Base64URL, "/+8", false},
	} {
		if _, err := tt.in.Decode(tt.text); (err == nil) != tt.ok {
			t.Errorf("%q in %s: %v", tt.text, tt.in, err)
		}
	}
}

// TestC36Window: as long before as after, to the second, and no text that could be read
// as two numbers.
func TestC36Window(t *testing.T) {
	now := time.Unix(1_764_460_800, 0)
	for _, tt := range []struct {
		off  time.Duration
		want inbound.Result
	}{{0, inbound.Accepted}, {300 * time.Second, inbound.Accepted}, {-300 * time.Second, inbound.Accepted}, {301 * time.Second, inbound.Stale}, {-301 * time.Second, inbound.Stale}} {
		if v := claim.Fresh(inbound.Verdict{Result: inbound.Accepted}, now.Add(tt.off), now, 300*time.Second); v.Result != tt.want {
			t.Errorf("signed %s from now: %s, want %s", tt.off, v.Result, tt.want)
		}
	}
	if v := claim.Fresh(inbound.Verdict{Result: inbound.BadSignature}, now, now, time.Minute); v.Result != inbound.BadSignature {
		t.Errorf("what is wrongly signed is %s", v.Result)
	}
	for text, ok := range map[string]bool{"1764460800": true, "01764460800": true, "": false, "+1764460800": false, "-1": false, "1.0": false, " 1": false, "9999999999999999": true, "17644608000000000": false, "9223372036854775807": false} {
		if _, err := claim.Time(inbound.Seconds, text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
