package peers

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A PgBouncer shares few sessions of one PostgreSQL among many clients, a transaction at a time.
type PgBouncer struct{ server }

// PgBouncerOptions are what it is started with.
type PgBouncerOptions struct {
	// Settings are lines of its section [pgbouncer]. By default pool_mode is transaction, default_pool_size 10 and
	// max_client_conn 500, and no startup parameter is ignored.
	Settings map[string]string
}

// StartPgBouncer starts a PgBouncer in front of the PostgreSQL at upstream, "host:port". All databases there are reached
// through it, and its own console as database "pgbouncer". dir is as for StartPostgres.
func StartPgBouncer(dir, upstream string, o PgBouncerOptions) (*PgBouncer, error) {
	program, err := find("pgbouncer")
	if err != nil {
		return nil, err
	}
	host, upstreamPort, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, fmt.Errorf("starting PgBouncer: %w", err)
	}
	s, err := newServer(dir, "pgbouncer")
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{*s}
	b.polite = sigTerm
	users, config := filepath.Join(b.folder.path, "users.txt"), filepath.Join(b.folder.path, "pgbouncer.ini")
	settings := map[string]string{
		"listen_addr": "127.0.0.1", "listen_port": port(b.addr), "unix_socket_dir": "",
		"auth_type": "trust", "auth_file": users, "admin_users": "postgres",
		"pool_mode": "transaction", "default_pool_size": "10", "max_client_conn": "500", "server_login_retry": "1",
	}
	maps.Copy(settings, o.Settings)
	text := "[databases]\n* = host=" + host + " port=" + upstreamPort + "\n[pgbouncer]\n"
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text += name + " = " + settings[name] + "\n"
	}
	b.argv = []string{program, config}
	if err = errors.Join(os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644), os.WriteFile(config, []byte(text), 0o644)); err == nil {
		err = b.Start()
	}
	if err != nil {
		return nil, closed(b, err)
	}
	return b, nil
}

// URL is the address of a database for clients.
func (b *PgBouncer) URL(db string) string {
	return "postgres://postgres@" + b.addr + "/" + db + "?sslmode=disable"
}

// find is where a program is: on the PATH, or where Debian has it, which is not on every user's PATH.
func find(name string) (string, error) {
	for _, name := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrMissing)
}

// closed is err after the peer that it concerns is closed.
func closed(peer interface{ Close() error }, err error) error { return errors.Join(err, peer.Close()) }
