package outbox

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDiagram compares the diagram in docs/outbox.md with the table of moves.
func TestDiagram(t *testing.T) {
	text, err := os.ReadFile("../docs/outbox.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^    (\w+) --> (\w+): \S`).FindAllStringSubmatch(string(text), -1) {
		drawn[m[1]+" --> "+m[2]] = true
	}
	table := map[string]bool{}
	for from, list := range moves {
		for _, to := range list {
			table[string(from)+" --> "+string(to)] = true
		}
	}
	if !maps.Equal(drawn, table) {
		t.Errorf("docs/outbox.md draws\n%q\nthe table has\n%q", slices.Sorted(maps.Keys(drawn)), slices.Sorted(maps.Keys(table)))
	}
	for _, s := range States {
		if _, ok := moves[s]; !ok {
			t.Errorf("%s has no row", s)
		}
	}
}
