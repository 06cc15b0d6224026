package store

import (
	"context"
	"fmt"
	"testing"
)

// Tally is what is kept in memory of the deliveries.
func (s *SQLite) Tally() map[string]int { return readable(s.tally.n) }

// Recount counts them.
func (s *SQLite) Recount(t *testing.T) map[string]int {
	if err := s.countAll(context.Background()); err != nil { // the context of the test is over
		t.Error(err)
	}
	return readable(s.tally.n)
}

func readable(n map[place]int) map[string]int {
	out := map[string]int{}
	for p, c := range n {
		out[fmt.Sprintf("%s %s", p.target, p.state)] = c
	}
	return out
}
