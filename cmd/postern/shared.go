package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/shared"
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
func (g *gate) openTokens(l *loaded) error {
	url, err := l.Shared.Where()
	if err != nil {
		return err
	}
	if url == "" {
		g.tokens.Source, err = limit.NewLocal(g.tokens.live)
		return err
	}
	g.shared, err = shared.Open(shared.Options{
		URL: url, Prefix: l.Shared.Prefix, Live: g.tokens.live,
		State:    g.tel.LimitsShared,
		FellBack: func(why shared.Reason) { g.tel.LimitFellBack(string(why)) },
	})
	if err != nil {
		return err
	}
	g.tokens.Source = g.shared
	return nil
}

// places are where replicas leave word of themselves.
func (g *gate) places() (list []replica.Members) {
	if m := g.db.Members(); m != nil {
		list = append(list, m)
	}
	if g.shared != nil {
		list = append(list, g.shared.Members())
	}
	return list
}

// limitsCheck says where limits are counted. They always are.
func (g *gate) limitsCheck() []admin.Check {
	if g.shared == nil {
		return nil
	}
	return []admin.Check{{Name: "limits", Informs: true, Run: func(context.Context) error {
		if err := g.shared.State(); err != nil {
			return fmt.Errorf("local, each of %s has its share: %w", count(g.tokens.live(), "replica"), err)
		}
		return nil
	}}}
}

// closeShared ends the connection to Redis.
func (g *gate) closeShared() error {
	if g.shared == nil {
		return nil
	}
	return g.shared.Close()
}

// sharing says who else counts in the limits of a configuration, "" if that is
// nobody.
func (l *loaded) sharing() string {
	switch {
	case l.Shared != nil:
		return "shared by replicas (shared.url)"
	case !l.Store.Alone():
		return "divided among the replicas of the store"
	}
	return ""
}
