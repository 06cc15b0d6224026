package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

const (
	schemaTable   = "postern_schema"      // which migrations were made
	schemaLock    = "postern_schema_lock" // who makes them now
	migrateWithin = 10 * time.Minute
)

// migrate brings the schema up to date, one replica at a time. There is no way
// back: a database that a newer Postern has changed is refused. The lock is a row
// with a lease, because a lock of a session is lost in a pooler.
func (p *Postgres) migrate(ctx context.Context, config *pgx.ConnConfig) error {
	files, err := fs.Sub(postgresMigrations, "migrations/postgres")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresTableLocker(lock.WithTableName(schemaLock), lock.WithTableLeaseDuration(15*time.Second),
		lock.WithTableHeartbeatInterval(3*time.Second), lock.WithTableLockTimeout(200*time.Millisecond, 3000))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config.Copy(), stdlib.OptionAfterConnect(p.meet))
	defer db.Close()
	goosed, err := goose.NewProvider(database.DialectPostgres, db, files, goose.WithTableName(schemaTable), goose.WithLocker(locker))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	sources := goosed.ListSources()
	newest := sources[len(sources)-1].Version
	have, err := p.schema(ctx)
	if err == nil {
		err = p.refuseHalf(ctx)
	}
	if err != nil || have == newest {
		return err
	}
	if have > newest {
		return fmt.Errorf("it has schema version %d and this Postern knows %d: it was used by a newer Postern, run that one", have, newest)
	}
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	if _, err := goosed.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", have, newest, err)
	}
	if err := p.makePartitions(ctx); err != nil { // before there is anything to move
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}

// schema is the version of the schema, 0 if there is none yet.
func (p *Postgres) schema(ctx context.Context) (version int64, err error) {
	err = p.read(ctx, func(r pgx.Rows) error { return r.Scan(&version) }, "SELECT coalesce(max(version_id), 0) FROM "+schemaTable+" WHERE is_applied")
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "42P01" { // undefined_table
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the schema version: %w", err)
	}
	return version, nil
}
