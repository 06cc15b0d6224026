package main

import (
	"sync/atomic"

	"github.com/postern-proxy/postern/policy/limit"
)

// tokens is where the limits of a gate take theirs, and among how many replicas
// a limit is divided. The source is set before anything is served.
type tokens struct {
	limit.Source
	others atomic.Int64 // replicas that live, without this one
}

// live is how many replicas there are. It is asked for every call.
func (t *tokens) live() int { return 1 + int(t.others.Load()) }

func (t *tokens) changed(live int) { t.others.Store(int64(max(0, live-1))) }

// openTokens makes the source of the limits.
func (g *gate) openTokens() (err error) {
	g.tokens.Source, err = limit.NewLocal(g.tokens.live)
	return err
}
