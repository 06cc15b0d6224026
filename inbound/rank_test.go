package inbound_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/inbound"
)

// TestRankOrder: the order of ranks is that of the numbers, whatever their size and
// however they are written.
func TestRankOrder(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) string {
		s := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + rapid.StringMatching(`0{0,2}[0-9]{1,40}`).Draw(t, "whole")
		if rapid.Bool().Draw(t, "point") {
			s += "." + rapid.StringMatching(`[0-9]{1,6}`).Draw(t, "fraction")
		}
		if rapid.IntRange(0, 3).Draw(t, "exponent") == 0 {
			s += rapid.SampledFrom([]string{"e1", "E+3", "e-2", "e07"}).Draw(t, "e")
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") { // far apart is too easy
			b = a + rapid.SampledFrom([]string{"", "1"}).Draw(t, "more")
		}
		x, ok := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			t.Skip("no number")
		}
		r, s := inbound.SequenceRank(a, false), inbound.SequenceRank(b, false)
		if r == "" || s == "" {
			t.Fatalf("%s is %q, %s is %q", a, r, b, s)
		}
		if r.Over(s) != (x.Cmp(y) > 0) || s.Over(r) != (y.Cmp(x) > 0) {
			t.Fatalf("%s is %q, %s is %q", a, r, b, s)
		}
		gone := inbound.SequenceRank(a, true)
		if !gone.Over(r) || !gone.Gone() || r.Gone() || x.Cmp(y) < 0 && !s.Over(gone) || x.Cmp(y) > 0 && gone.Over(s) != true {
			t.Fatalf("gone at %s is %q, %s is %q", a, gone, b, s)
		}
	})
}

func TestNoRank(t *testing.T) {
	for _, s := range []string{"", "abc", "1.", ".5", "1e9999", "0x10", "1_000", " 1", "--1", "-", "١", "null", strings.Repeat("9", 501), "1e", "NaN", "e5", "0x1e5", "1/3e2", "1_0e1", "+1e3", "1e1_0", "0b1e1"} {
		if r := inbound.SequenceRank(s, true); r != "" {
			t.Errorf("%q has the rank %q", s, r)
		}
	}
	if inbound.TimeRank(time.Time{}, false) != "" {
		t.Error("no time has a rank")
	}
	if a, b := inbound.TimeRank(time.Unix(1, 0), false), inbound.SequenceRank("5", false); a.Over(b) || b.Over(a) {
		t.Error("a time is compared with a sequence")
	}
	if a, b := inbound.TimeRank(time.Unix(-5, 0), false), inbound.TimeRank(time.Unix(5, 1000), false); !b.Over(a) || a.Over(b) {
		t.Error("times are in the wrong order")
	}
	if r := inbound.SequenceRank("9007199254740993", false); !r.Over(inbound.SequenceRank("9007199254740992", false)) {
		t.Error("large integers are not exact")
	}
}
