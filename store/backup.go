package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Backed is what stands in a backup.
type Backed struct {
	Schema, Events, Deliveries, Connections int64
	Size                                    int64 // of the file in bytes
}

// Backup writes a copy of the SQLite database at path into a file that only its
// owner may read, while a Postern may be running on the database: what was
// acknowledged before the call is in it, and the file is a database like the
// first. It is checked before it appears under its name, whole or not at all. A
// file that is there is replaced only if that is asked for.
func Backup(ctx context.Context, path, to string, replace bool) (b Backed, err error) {
	fail := func(err error) (Backed, error) {
		return Backed{}, fmt.Errorf("back up %s: %w", path, err)
	}
	if _, err := os.Stat(path); err != nil {
		return fail(err)
	}
	if _, err := os.Lstat(to); err == nil && !replace {
		return fail(fmt.Errorf("%s is there already", to))
	}
	part, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*.part") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	if err := vacuumInto(ctx, path, part.Name()); err != nil {
		return fail(err)
	}
	if err := part.Sync(); err != nil {
		return fail(err)
	}
	if b, err = checkBackup(ctx, part.Name()); err != nil {
		return fail(err)
	}
	if err := appear(part.Name(), to, replace); err != nil {
		return fail(err)
	}
	return b, nil
}

// reading opens a file that nothing is written to.
func reading(path, query string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: query}).String())
}

func vacuumInto(ctx context.Context, path, part string) error {
	db, err := reading(path, "mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	if from, _, err := copyFrom(ctx, db); err != nil {
		return err
	} else if from != "" {
		return errUnfinished
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", part)
	return err
}

// checkBackup reads the whole file.
func checkBackup(ctx context.Context, part string) (b Backed, err error) {
	db, err := reading(part, "mode=ro&immutable=1")
	if err != nil {
		return b, err
	}
	defer db.Close()
	if err := quickCheck(ctx, db); err != nil {
		return b, err
	}
	for _, one := range []struct {
		since int64 // version of the schema
		query string
		into  *int64
	}{
		{0, "SELECT max(version_id) FROM goose_db_version WHERE is_applied", &b.Schema},
		{1, "SELECT count(*) FROM events", &b.Events},
		{8, "SELECT count(*) FROM events WHERE gone = 0", &b.Events},
		{1, "SELECT count(*) FROM deliveries", &b.Deliveries},
		{3, "SELECT count(*) FROM connections", &b.Connections},
	} {
		if b.Schema < one.since {
			continue // an older Postern runs on it
		}
		if err := db.QueryRowContext(ctx, one.query).Scan(one.into); err != nil {
			return b, fmt.Errorf("it is not a database of Postern: %w", err)
		}
	}
	st, err := os.Stat(part)
	if err != nil {
		return b, err
	}
	b.Size = st.Size()
	return b, nil
}

// appear gives a file its name for good.
func appear(part, to string, replace bool) error {
	if replace {
		if err := os.Rename(part, to); err != nil {
			return err
		}
	} else if err := os.Link(part, to); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already", to)
	} else if err != nil { // a file system without links
		if err := os.Rename(part, to); err != nil {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
