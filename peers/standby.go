package peers

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// replicateWithin bounds what waits for a standby.
const replicateWithin = 60 * time.Second

// Standby makes a streaming replica in dir, or in a folder of its own when dir is empty, and returns when it serves
// reads. Its name, of a-z, 0-9 and _, is its application_name at p and its replication slot there, which keeps for it the
// log it has not read. With sync, p waits for it at each commit, as SetSync says.
func (p *Postgres) Standby(dir, name string, sync bool) (*Postgres, error) {
	standby, err := newPostgres(dir, p.bin, func(f *folder, data string) error {
		ctx, cancel := context.WithTimeout(context.Background(), sqlWithin)
		defer cancel()
		from := fmt.Sprintf("host=127.0.0.1 port=%s user=postgres application_name=%s", port(p.addr), name)
		_, err := f.tool(ctx, "", filepath.Join(p.bin, "pg_basebackup"), "--pgdata", data, "--dbname", from, "--write-recovery-conf",
			"--wal-method", "stream", "--checkpoint", "fast", "--no-sync", "--create-slot", "--slot", name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making the standby %s: %w", name, err)
	}
	if err := p.await(`SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '`+name+`'`, "1"); err != nil {
		return nil, closed(standby, err)
	}
	if sync {
		if err := p.SetSync(name); err != nil {
			return nil, closed(standby, err)
		}
	}
	return standby, nil
}

// SetSync makes each commit wait until the standby of that name has it on disk, and returns when that holds; the standby
// has to be connected. The empty name makes replication asynchronous again.
func (p *Postgres) SetSync(name string) error {
	value := ""
	if name != "" {
		value = quoted(name)
	}
	if err := p.set("synchronous_standby_names", value); err != nil {
		return err
	}
	if name == "" {
		return nil
	}
	return p.await(`SELECT sync_state FROM pg_stat_replication WHERE application_name = '`+name+`'`, "sync")
}

// set changes a setting of the running cluster for good and returns when new sessions see it.
func (p *Postgres) set(name, value string) error {
	literal := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if _, err := p.SQL("postgres", "ALTER SYSTEM SET "+name+" = "+literal+"; SELECT pg_reload_conf()"); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return p.await("SHOW "+name, value)
}

// Promote makes a standby a primary that waits for no standby of its own, and returns when it takes writes. The old
// primary is not told: kill or pause it first, or there are two. What asks for it must not wait for it: its snapshot would
// be in the way of what is still to be replayed.
func (p *Postgres) Promote() error {
	_, err := p.SQL("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf(); SELECT pg_promote(false)")
	if err != nil {
		return fmt.Errorf("promoting: %w", err)
	}
	return p.await("SELECT pg_is_in_recovery()", "f")
}

// WaitReplay returns when standby shows everything that is committed at p now.
func (p *Postgres) WaitReplay(standby *Postgres) error {
	at, err := p.SQL("postgres", "SELECT pg_current_wal_lsn()")
	if err != nil {
		return err
	}
	return standby.await("SELECT pg_last_wal_replay_lsn() >= '"+at+"'", "t")
}

// await asks until the answer is what is wanted.
func (p *Postgres) await(query, want string) error {
	for deadline := time.Now().Add(replicateWithin); ; time.Sleep(10 * time.Millisecond) {
		got, err := p.SQL("postgres", query)
		switch {
		case err == nil && got == want:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s is %q after %s, want %q (%v); the log:\n%s", query, got, replicateWithin, want, err, p.Log())
		}
	}
}
