package main

import (
	"context"
	"fmt"

	"github.com/postern-proxy/postern/connection"
)

// connected lists the accounts that are connected at a provider.
func (g *gate) connected(ctx context.Context, provider string) (accounts []string, err error) {
	const page = 500
	f := connection.Filter{Provider: provider, Limit: page}
	for {
		rows, err := g.db.Connections().List(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		for i := range rows {
			if s := rows[i].State; (s == connection.Active || s == connection.Refreshing) && (len(accounts) == 0 || accounts[len(accounts)-1] != rows[i].Account) {
				accounts = append(accounts, rows[i].Account)
			}
		}
		if len(rows) < page {
			return accounts, nil
		}
		f.After = rows[len(rows)-1].Key
	}
}
