package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/seal"
)

// keys reads the keys of a configuration: those it names, or the one beside an
// SQLite database, which is made if it is not there and nothing is sealed yet.
// Keys that are in force and still needed have to be among them.
func (g *gate) keys(ctx context.Context, l *loaded) (err error) {
	if l.Seal != nil {
		l.ring, err = l.Seal.Ring()
	} else if g.vault.file != "" {
		err = g.keyBeside(ctx, l)
	}
	if err != nil {
		return err
	}
	var have, had []string
	if l.ring != nil {
		have = l.ring.IDs()
	}
	now := g.vault.held.Load()
	if now != nil {
		had = now.IDs()
	}
	if now != nil && !slices.ContainsFunc(had, func(id string) bool { return !slices.Contains(have, id) }) {
		return nil // none is taken away
	}
	used, err := g.sealedUnder(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(used, func(id string, _ needs) bool { return slices.Contains(have, id) })
	for _, id := range had {
		if used[id] != (needs{}) {
			return fmt.Errorf("the seal key %s is not there any more, and %s sealed under it: put it back behind the first%s", id, used[id].are(), g.vault.known(id))
		}
	}
	g.vault.lost = used
	for _, loss := range g.vault.losses() {
		g.tel.Transition(slog.LevelWarn, loss)
	}
	return nil
}

// keyBeside reads the key beside the database, or makes it.
func (g *gate) keyBeside(ctx context.Context, l *loaded) error {
	k, err := seal.ReadFile(g.vault.file)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = g.makeKey(ctx)
	}
	if err == nil {
		l.ring, err = seal.NewRing(k)
	}
	return err
}

// makeKey makes the key beside the database. A key that was lost is not
// replaced: that would hide the loss.
func (g *gate) makeKey(ctx context.Context) (seal.Key, error) {
	used, err := g.sealedUnder(ctx)
	if err != nil {
		return seal.Key{}, err
	}
	if len(used) > 0 {
		id := slices.Sorted(maps.Keys(used))[0]
		return seal.Key{}, fmt.Errorf("%s sealed under the key %s, which is not in %s: put it back, it is in no backup of the store; if it is lost, put a new one there by `(umask 077; postern secrets keygen > %s)`, and connect those accounts again",
			used[id].are(), id, g.vault.file, quoted(g.vault.file))
	}
	k, err := seal.CreateFile(g.vault.file)
	if err == nil {
		g.vault.made = true
		g.tel.Transition(slog.LevelInfo, "made a seal key: keep a copy of it, apart from backups of the store", slog.String("key", k.ID()), slog.String("file", g.vault.file))
	}
	return k, err
}

// needs is how much is sealed under one key.
type needs struct{ connections, calls int }

// are is "1 connection is" or "2 connections and 3 calls are".
func (n needs) are() string {
	switch {
	case n.calls == 0:
		return are(n.connections, "connection")
	case n.connections == 0:
		return are(n.calls, "call")
	}
	return count(n.connections, "connection") + " and " + count(n.calls, "call") + " are"
}

// instead is what else helps, "" if nothing does.
func (n needs) instead() string {
	if n.connections == 0 {
		return ""
	}
	return ", or connect those accounts again"
}

// sealedUnder counts connections, and calls that are to be sent or wait for a
// person, by the ids of the keys that they are sealed under.
func (g *gate) sealedUnder(ctx context.Context) (map[string]needs, error) {
	used := map[string]needs{}
	calls, err := outbox.Keys(ctx, g.db.Outbox())
	if err != nil {
		return nil, err
	}
	for id, n := range calls {
		used[id] = needs{calls: n}
	}
	for f := (connection.Filter{Limit: 500}); ; {
		rows, err := g.db.Connections().List(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("look which seal keys are needed: %w", err)
		}
		if len(rows) == 0 {
			return used, nil
		}
		for _, r := range rows {
			ids := map[string]bool{seal.KeyID(r.Access): true, seal.KeyID(r.Refresh): true, seal.KeyID(r.Extra): true}
			delete(ids, "") // nothing is sealed there
			for id := range ids {
				n := used[id]
				n.connections++
				used[id] = n
			}
		}
		f.After = rows[len(rows)-1].Key
	}
}

func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return count(n, what) + " are"
}
