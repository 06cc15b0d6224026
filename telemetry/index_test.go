package telemetry

import (
	"crypto/rand"
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestRedactorKnowsMany: among thousands of tokens that begin alike each one is
// found in every form, also when others have come and gone meanwhile, and those
// that are gone are not.
func TestRedactorKnowsMany(t *testing.T) {
	const size = 3000
	g := &growing{}
	r := NewRedactor(g)
	list := tokens(8 * size)
	for i, v := range list {
		g.learn(v)
		if i >= size {
			g.forget(list[i-size])
		}
	}
	table, set := r.long.table.Load(), 0
	for i := range table.filter {
		set += bits.OnesCount64(table.filter[i].Load())
	}
	if entries, chains := r.long.live, len(table.chains); entries > size*int(numForms) || chains > 2*entries || 16*set > 64*len(table.filter) {
		t.Errorf("%d values have %d entries in %d chains, and of %d bits of the filter %d are set", size, entries, chains, 64*len(table.filter), set)
	}
	for i := range list {
		if i%97 != 0 {
			continue
		}
		known := i >= len(list)-size
		for name, write := range writings {
			if in := "(" + write(list[i]) + ")"; known == (r.Text(in) == in) {
				t.Fatalf("value %d of %d, %s: known is %v; %q became %q", i, len(list), name, known, in, r.Text(in))
			}
		}
	}
	if r.Text(aText) != aText {
		t.Error("a text without secrets is changed")
	}
}

// TestRedactorModel: a value is hidden as long as it was learned more often than
// forgotten, whatever its length, and whatever others have in common with it.
func TestRedactorModel(t *testing.T) {
	values := []string{
		"abcd", "xabcd", "abcdefg", "bcdefgh", "abcdefgh", "zzabcdefgh", "the-same-end-0123456789", "another-the-same-end-0123456789",
		"line one of many here\nline two of many here", "line one of many here", "päss", strings.Repeat("q", 300),
	}
	rapid.Check(t, func(t *rapid.T) {
		g := &growing{}
		r := NewRedactor(g)
		known := map[string]int{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			v := rapid.SampledFrom(values).Draw(t, "value")
			if known[v] > 0 && rapid.Bool().Draw(t, "forget") {
				g.forget(v)
				known[v]--
			} else {
				g.learn(v)
				known[v]++
			}
			looked := rapid.SampledFrom(values).Draw(t, "looked at")
			around := rapid.SampledFrom([]string{"", "|"}).Draw(t, "around")
			in := around + looked + around
			want := in
			for other, n := range known {
				if n == 0 {
					continue
				}
				for _, p := range parts(other) {
					want = strings.ReplaceAll(want, p, strings.Repeat("\x00", len(p)))
				}
			}
			if out := r.Text(in); (out == in) != (want == in) || known[looked] > 0 && out != around+mask+around {
				t.Fatalf("known are %v; %q became %q", known, in, out)
			}
		}
		for v, n := range known {
			for range n {
				g.forget(v)
			}
		}
		if r.long.live != 0 || r.short.live != 0 {
			t.Fatalf("%d and %d entries are left of nothing", r.long.live, r.short.live)
		}
	})
}

// TestRedactorWhileLearning: what is known before stays hidden while others come
// and go on other goroutines.
func TestRedactorWhileLearning(t *testing.T) {
	g := &growing{}
	r := NewRedactor(g)
	g.learn("known-from-the-beginning")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 300 {
				v := fmt.Sprint("token-", i, "-", j, "-", rand.Text())
				g.learn(v)
				if out := r.Text("a " + v + " known-from-the-beginning"); out != "a [redacted] [redacted]" {
					t.Errorf("%q", out)
				}
				g.forget(v)
			}
		})
	}
	wg.Wait()
}
