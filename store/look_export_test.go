package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Setting is what a setting of the database is while p looks, and while it reads.
func (p *Postgres) Setting(ctx context.Context, name string) (looking, reading string, err error) {
	const query = "SELECT current_setting($1)"
	err = p.look(ctx, func(r pgx.Rows) error { return r.Scan(&looking) }, query, name)
	return looking, reading, errors.Join(err, p.read(ctx, func(r pgx.Rows) error { return r.Scan(&reading) }, query, name))
}
