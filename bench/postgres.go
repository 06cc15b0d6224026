package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-proxy/postern/peers"
)

// cluster is a PostgreSQL of the run's own on the measured disk, durable as it is by default, and each peer's database.
type cluster struct {
	server *peers.Postgres
	dir    string
	pools  []*pgxpool.Pool
}

func startCluster(set settings) (*cluster, error) {
	dir, err := os.MkdirTemp(set.Dir, "postern-bench-pg-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user when we are root
		return nil, errors.Join(err, c.close())
	}
	if err := os.Mkdir(filepath.Join(dir, "cluster"), 0o700); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.server, err = peers.StartPostgres(filepath.Join(dir, "cluster"), peers.PostgresOptions{Settings: map[string]string{
		"shared_buffers": "512MB", "max_connections": "300", "max_wal_size": "4GB", "shared_preload_libraries": "pg_stat_statements",
	}})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *cluster) close() error {
	for _, pool := range c.pools {
		pool.Close()
	}
	var err error
	if c.server != nil {
		err = c.server.Close()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// database makes an empty database and connects to it.
func (c *cluster) database(ctx context.Context, name string) (*pgxpool.Pool, error) {
	if err := c.server.CreateDatabase(name); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(c.server.URL(name))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	c.pools = append(c.pools, pool)
	_, err = pool.Exec(ctx, "CREATE EXTENSION pg_stat_statements")
	return pool, err
}

// cpu is what the server has used: its processes, those that have ended included.
func (c *cluster) cpu() (time.Duration, error) { return cpuWithEnded(c.server.Pid()) }

// ours marks the statements of the load generator, which are not counted.
const ours = "/* bench */"

// ask asks for one number.
func ask(ctx context.Context, pool *pgxpool.Pool, query string) (n int, err error) {
	err = pool.QueryRow(ctx, strings.Replace(query, "SELECT", "SELECT "+ours, 1)).Scan(&n)
	return n, err
}

// statements counts what the peers' processes have had executed in their database, all that is not for events included.
func statements(pool *pgxpool.Pool) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		return ask(ctx, pool, `SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
			WHERE d.datname = current_database() AND strpos(s.query, '`+ours+`') = 0`)
	}
}

// startPostgres gives the peers of the scenarios on PostgreSQL, and starts it, when one of these is to run.
func startPostgres(ctx context.Context, set settings, f *field) ([]*peer, error) {
	if !slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.side == "postgres" && set.Only.MatchString(s.name) }) {
		return nil, nil
	}
	var err error
	if f.cluster, err = startCluster(set); errors.Is(err, peers.ErrMissing) {
		return []*peer{{name: "unnest", side: "postgres", missing: "no PostgreSQL here (apt install postgresql)"}}, nil
	} else if err != nil {
		return nil, err
	}
	var all []*peer
	for _, add := range []func() ([]*peer, error){
		func() ([]*peer, error) { return startUnnest(ctx, set, f) },
		func() ([]*peer, error) { return startReplicas(ctx, set, f, 1) },
		func() ([]*peer, error) { return startReplicas(ctx, set, f, 2) },
		func() ([]*peer, error) { return startReplicas(ctx, set, f, 4) },
		func() ([]*peer, error) { return startLanes(ctx, set, f) },
	} {
		more, err := add()
		all = append(all, more...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// replicaConfig is one process of several; its webhooks are those of posternWebhook.
const replicaConfig = `environment = "bench"

proxy {
  listen    = "%s"
  unmatched = "deny"
}

inbound {
  listen = "%s"
}

admin {
  listen = "%s"
  %s
}

store {
  url = "%s"
}
`

// startReplicas gives n processes on one database: acknowledging only, and with whole lives.
func startReplicas(ctx context.Context, set settings, f *field, n int) ([]*peer, error) {
	name := fmt.Sprint("postern-", n)
	if leftOut(set, name) {
		return nil, nil
	}
	ack := &peer{name: name, side: "postgres", only: "postgres-ack", path: "/held", about: fmt.Sprintf("processes on one PostgreSQL: %d; acknowledging; the application holds one delivery of each", n)}
	life := &peer{name: name, side: "postgres", only: "postgres-life postgres-statements", path: "/life", about: fmt.Sprintf("processes on one PostgreSQL: %d; the application answers at once", n)}
	both := []*peer{ack, life}
	if set.Postern == "" {
		ack.missing, life.missing = noBinary, noBinary
		return both, nil
	}
	pool, err := f.cluster.database(ctx, strings.ReplaceAll(name, "-", "_"))
	if err != nil {
		return nil, err
	}
	for at := range n {
		if err := startReplica(ctx, set, f, both, at); err != nil {
			return both, err
		}
	}
	ack.stored = func(ctx context.Context) (int, error) {
		return ask(ctx, pool, "SELECT count(*) FROM postern_events WHERE webhook = 'held'")
	}
	applied := func(ctx context.Context) (int, error) {
		return ask(ctx, pool, "SELECT coalesce(sum(n), 0)::bigint FROM postern_tally WHERE webhook = 'life' AND state = 'applied'")
	}
	life.settle = func(ctx context.Context, n int) error { return reached(ctx, "events applied", n, applied) }
	life.stored = func(ctx context.Context) (int, error) { return f.livedOnce(ctx, name, applied) }
	ack.executed, life.executed = statements(pool), statements(pool)
	return both, nil
}

// livedOnce counts the events that were applied, and fails if the application was called more often.
func (f *field) livedOnce(ctx context.Context, name string, applied func(context.Context) (int, error)) (int, error) {
	var s seen
	if err := fetchJSON(ctx, "http://"+f.control+"/seen", &s); err != nil {
		return 0, err
	}
	n, err := applied(ctx)
	if err == nil && s.Lives[name] != int64(n) {
		return int(s.Lives[name]), nil // which is then not what was sent
	}
	return n, err
}

func startReplica(ctx context.Context, set settings, f *field, both []*peer, at int) error {
	name := both[0].name
	dir := filepath.Join(f.dir, fmt.Sprint(name, "-", at))
	binary, err := filepath.Abs(set.Postern)
	if err != nil {
		return err
	}
	var addr [3]string // proxy, inbound, admin
	for i := range addr {
		if addr[i], err = freePort(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	url := f.cluster.server.URL(strings.ReplaceAll(name, "-", "_"))
	for file, text := range map[string]string{
		"postern.hcl":  fmt.Sprintf(replicaConfig, addr[0], addr[1], addr[2], set.AdminHCL, url),
		"webhooks.hcl": fmt.Sprintf(posternWebhook+"\n", "held", f.control, 1) + fmt.Sprintf(posternWebhook, "life", f.control+"/lives/"+name, 64),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.Command(binary, append([]string{"run", "-c", dir}, words(set.PosternArgs, " ")...)...)
	cmd.Dir = dir
	c, err := startChild(cmd, f.dir, name, append([]string{"BENCH_WEBHOOK_SECRET=" + webhookSecret}, words(set.PosternEnv, ",")...))
	if err != nil {
		return err
	}
	for _, p := range both {
		p.inboxes = append(p.inboxes, addr[1])
		if at > 0 {
			p.others = append(p.others, c)
			continue
		}
		p.child, p.profile = c, profileURL(addr[2])
	}
	return until(ctx, 30*time.Second, &peer{name: name, child: c}, func() error {
		_, err := fetch(ctx, "http://"+addr[2]+"/readyz")
		return err
	})
}

// reached waits until count says n.
func reached(ctx context.Context, what string, n int, count func(context.Context) (int, error)) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := count(ctx)
		if err == nil && got >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d %s: %w", got, n, what, errors.Join(err, ctx.Err()))
		case <-again.C:
		}
	}
}
