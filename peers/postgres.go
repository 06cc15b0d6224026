package peers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sqlWithin bounds a tool's run: psql, initdb, pg_basebackup.
const sqlWithin = 2 * time.Minute

// A Postgres is a cluster of its own with the superuser "postgres", whom it trusts from loopback. It is as durable as
// PostgreSQL is by default: fsync, full_page_writes and synchronous_commit are on.
type Postgres struct {
	server
	bin string // the folder of its programs
}

// PostgresOptions are what a cluster is made with.
type PostgresOptions struct {
	// Settings are lines of postgresql.conf. ALTER SYSTEM overrides them.
	Settings map[string]string
}

// StartPostgres makes a cluster in dir, or in a folder of its own when dir is empty, and starts it. Its programs are
// those of the PATH, or else Debian's newest. As root, dir is given to the user that the peer runs as, and everybody must
// be able to pass the folders above it, which t.TempDir does not allow.
func StartPostgres(dir string, o PostgresOptions) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"max_connections": "200", "shared_buffers": "32MB", "wal_retrieve_retry_interval": "100ms"}
	maps.Copy(settings, o.Settings)
	return newPostgres(dir, bin, func(f *folder, data string) error {
		ctx, cancel := context.WithTimeout(context.Background(), sqlWithin)
		defer cancel()
		// Nobody misses the empty cluster of a machine that lost its power: only here is durability given up.
		if _, err := f.tool(ctx, "", filepath.Join(bin, "initdb"), "--no-sync", "--no-instructions", "--pgdata", data,
			"--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C"); err != nil {
			return err
		}
		return configure(data, settings)
	})
}

// newPostgres starts a cluster that fill makes.
func newPostgres(dir, bin string, fill func(f *folder, data string) error) (*Postgres, error) {
	s, err := newServer(dir, "postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{server: *s, bin: bin}
	p.polite, p.ready = sigFast, p.serves
	if err = fill(p.folder, p.data()); err == nil {
		p.argv = []string{
			filepath.Join(bin, "postgres"), "-D", p.data(), "-p", port(p.addr),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		}
		err = p.Start()
	}
	if err != nil {
		return nil, closed(p, fmt.Errorf("making a PostgreSQL: %w", err))
	}
	return p, nil
}

func (p *Postgres) data() string { return filepath.Join(p.folder.path, "data") }

// serves reads what pg_ctl reads: the process that has the folder, and its state in line 8.
func (p *Postgres) serves(pid int) error {
	text, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	if lines[0] != strconv.Itoa(pid) || len(lines) < 8 || strings.TrimSpace(lines[7]) != "ready" {
		return errors.New("postmaster.pid does not say ready")
	}
	return nil
}

// URL is the address of a database for clients.
func (p *Postgres) URL(db string) string {
	return "postgres://postgres@" + p.addr + "/" + db + "?sslmode=disable"
}

// SQL runs statements by psql, each in a transaction of its own, and returns the rows: a line each, columns parted by "|".
func (p *Postgres) SQL(db, text string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), sqlWithin)
	defer cancel()
	return p.folder.tool(ctx, text, filepath.Join(p.bin, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", p.URL(db), "-f", "-")
}

// CreateDatabase makes an empty database.
func (p *Postgres) CreateDatabase(name string) error {
	if _, err := p.SQL("postgres", "CREATE DATABASE "+quoted(name)); err != nil {
		return fmt.Errorf("making the database %s: %w", name, err)
	}
	return nil
}

// DropDatabase removes a database and ends its sessions.
func (p *Postgres) DropDatabase(name string) error {
	if _, err := p.SQL("postgres", "DROP DATABASE "+quoted(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("removing the database %s: %w", name, err)
	}
	return nil
}

// StopImmediate is PostgreSQL's immediate shutdown: its clients are told, and the next start recovers. Kill tells nobody.
func (p *Postgres) StopImmediate() error { return p.end(sigImmediate) }

// quoted is an identifier as SQL wants it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// configure adds settings to postgresql.conf.
func configure(data string, settings map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configuring PostgreSQL: %w", err)
	}
	_, err = f.WriteString(text.String())
	return errors.Join(err, f.Close())
}

// postgresPrograms is the folder in which initdb is found: PATH, or the newest of Debian's.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL: %w", ErrMissing)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}
