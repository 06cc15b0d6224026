package block

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// watched returns how often each value that s knows was learned and not forgotten.
func watched(s *Secrets) map[string]int {
	seen := map[string]int{}
	s.Watch(func(v string) { seen[v]++ }, func(v string) {
		if seen[v]--; seen[v] == 0 {
			delete(seen, v)
		}
	})
	return seen
}

func reveal(t testing.TB, s *Secrets, name string) {
	t.Helper()
	var b sample
	if diags := Decode(parse(t, fmt.Sprintf("token = env(%q)", name)), NewContext("", s), &b); diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, err := b.Token[0].Reveal(); err != nil {
		t.Fatal(err)
	}
}

// TestGuardIsBounded: what was guarded goes when enough newer values came, what
// the configuration has stays.
func TestGuardIsBounded(t *testing.T) {
	s := NewSecrets([]string{"A=configured-value", "B=configured-later"})
	seen := watched(s)
	reveal(t, s, "A")
	s.Guard("oldest", "renewed", "configured-later", "configured-value", "abc", "")
	reveal(t, s, "B")
	for i := range maxGuarded - 1 {
		if i == maxGuarded/2 {
			s.Guard("renewed")
		}
		s.Guard(fmt.Sprint("value-", i))
	}
	for v, want := range map[string]int{"oldest": 0, "renewed": 1, "configured-value": 1, "configured-later": 1, "abc": 0, "value-0": 1} {
		if seen[v] != want {
			t.Errorf("%s is known %d times, want %d", v, seen[v], want)
		}
	}
	if late := watched(s); !maps.Equal(late, seen) || len(late) != maxGuarded+2 {
		t.Errorf("who comes later learns %d values, not %d", len(late), len(seen))
	}
	s.Guard(strings.Repeat("x", maxGuardedSize-100), "after it")
	if len(seen) > 20 || seen["after it"] != 1 || seen["configured-value"] != 1 || s.known.size > maxGuardedSize {
		t.Errorf("%d values of %d bytes are known after a large one", len(seen), s.known.size)
	}
	s.Guard(strings.Repeat("y", maxGuardedSize+1))
	if len(seen) != 3 {
		t.Errorf("%d values are known, want the two of the configuration and the one that is too large", len(seen))
	}
}

// TestGuardIsWhole: whatever the order, nobody is told of a value that is known
// already or of one that is not, and the count of bytes is right.
func TestGuardIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSecrets(nil)
		s.known = newKnown(4, 100)
		seen := watched(s)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			v := strings.Repeat(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}).Draw(t, "value"), rapid.SampledFrom([]int{4, 5, 30, 150}).Draw(t, "length"))
			if rapid.IntRange(0, 9).Draw(t, "lasting") == 0 {
				s.known.remember(v)
			}
			s.Guard(v)
			size, passing := 0, 0
			for v, n := range seen {
				if n != 1 {
					t.Fatalf("a value of %d bytes is known %d times", len(v), n)
				}
				if !s.known.lasting[v] {
					size += len(v)
					passing++
				}
			}
			if size != s.known.size || size > 100 && passing > 1 || passing > 4 || seen[v] != 1 {
				t.Fatalf("%d values of %d bytes are counted as %d; the newest is known: %v", passing, size, s.known.size, seen[v] == 1)
			}
		}
	})
}
