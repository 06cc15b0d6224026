package main

import (
	"context"
	"slices"
)

// namedBlock gives each call a key that its number makes, and remembers nothing.
const namedBlock = bearerBlock + `

  route "POST /v1/items" {
    idempotency {
      key = request.body.id
    }
  }`

// keptBlock is namedBlock with an answer that is kept: the call is on disk before it is sent, its answer before its last
// byte is passed on.
const keptBlock = bearerBlock + `

  route "POST /v1/items" {
    idempotency {
      key  = request.body.id
      keep = "1h"
    }
  }`

// startKeyed gives processes with the full policy that differ in nothing but the store of answers.
func startKeyed(ctx context.Context, set settings, f *field, upstream string) ([]*peer, error) {
	if !slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.side == "keyed" && set.Only.MatchString(s.name) }) {
		return nil, nil
	}
	var all []*peer
	for _, kind := range []struct{ name, about, block string }{
		{"named", "full policy, a key made of the call's number", namedBlock},
		{"named-again", "the same in another process: as far from 1 as it is, so far are ratios in doubt", namedBlock},
		{"kept", "the same, and each call and its answer on disk (SQLite, synchronous=FULL)", keptBlock},
	} {
		if leftOut(set, kind.name) {
			continue
		}
		p := &peer{name: kind.name, about: kind.about, side: "keyed", policed: true}
		all = append(all, p)
		if set.Postern == "" {
			p.missing = noBinary
			continue
		}
		at, c, err := startProcess(ctx, set, f, kind.name, upstream, kind.block)
		if err != nil {
			return all, err
		}
		p.serves(at, c)
		if p.door, err = at.door(); err != nil {
			return all, err
		}
	}
	return all, nil
}
