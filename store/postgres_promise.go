package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const minPostgres = 130000

// promise is what an acknowledged event survives.
type promise struct {
	sentence string
	sure     bool
}

// durability is what a server says of how it keeps what was committed.
type durability struct {
	version      int
	fsync, pages string // fsync, full_page_writes
	commit       string // synchronous_commit
	standbys     string // synchronous_standby_names
	standby      int    // connected standbys
}

// inspect reads how durable the server is. It refuses one that is too old.
func (p *Postgres) inspect(ctx context.Context) (promise, error) {
	var d durability
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	found := false
	err := p.read(ctx, func(r pgx.Rows) error {
		found = true
		return r.Scan(&d.version, &d.fsync, &d.pages, &d.commit, &d.standbys, &d.standby)
	}, `SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'),
  current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
  (SELECT count(*) FROM pg_stat_replication)`)
	if err == nil && !found {
		err = errors.New("no answer")
	}
	if err != nil {
		return promise{}, fmt.Errorf("read the settings of the server: %w", err)
	}
	if d.version < minPostgres {
		return promise{}, fmt.Errorf("PostgreSQL %d is too old: at least %d is needed", d.version/10000, minPostgres/10000)
	}
	return d.promise(), nil
}

func (d durability) promise() promise {
	const process = "an acknowledged event survives a crash of this process"
	switch {
	case d.fsync == "off":
		return promise{process + " but not one of the database machine, which may even lose all of them: the server runs with fsync = off", false}
	case d.pages == "off":
		return promise{process + " but not always one of the database machine: the server runs with full_page_writes = off", false}
	}
	text := process + " and of the database machine, as long as its disk does"
	if d.commit == "off" {
		text += " (the server has synchronous_commit = off; Postern sets it to on for what it writes)"
	}
	switch {
	case d.standbys == "" && d.standby > 0:
		return promise{text + "; a failover to a standby may lose the last ones, because nothing waits for standbys: synchronous_standby_names is empty", false}
	case d.standbys == "":
		return promise{text + "; no standby has a copy at once, so a failover to one would lose the last ones: synchronous_standby_names is empty", true}
	case d.commit == "local":
		return promise{text + "; a failover to a standby may lose the last ones, because synchronous_commit = local does not wait for standbys", false}
	case d.commit == "remote_write":
		return promise{text + ", and a failover to a synchronous standby, unless the machine of that standby crashes at the same time: synchronous_commit = remote_write", true}
	}
	return promise{text + ", and the loss of the primary with a failover to a synchronous standby (" + d.standbys + ")", true}
}
