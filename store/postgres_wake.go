package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// That something is due is told to the other replicas, but not reliably: their
// polling is what finds it in any case.
const (
	channel   = "postern_due"
	newsEvery = 10 * time.Millisecond // at most
)

// announce says that something became due that another replica may take. It
// never blocks.
func (p *Postgres) announce() {
	if p.alone.Load() {
		return
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// notify tells the others of news, once for many. Its commit does not wait for
// the disk: there is nothing to lose.
func (p *Postgres) notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.news:
		}
		b := &pgx.Batch{}
		b.Queue("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", channel, p.replica)
		_ = p.send(ctx, quick, b) // they poll
		if !pause(ctx, newsEvery) {
			return
		}
	}
}

// notified wakes this replica for the news of another one.
func (p *Postgres) notified(n *pgconn.Notification) {
	if n.Channel == channel && (p.replica == "" || n.Payload != p.replica) {
		p.opt.wake()
	}
}

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// listen waits for news on a connection of its own. It is told once that this
// does not work, not again and again.
func (p *Postgres) listen(ctx context.Context, config *pgx.ConnConfig) {
	retry, told := firstRetry, false
	for {
		began := time.Now()
		err := p.hear(ctx, config)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			retry, told = firstRetry, false
		}
		if !told {
			told = true
			p.opt.trouble("listening for the news of other replicas; polling goes on", err)
		}
		if !pause(ctx, retry) {
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

func (p *Postgres) hear(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	p.opt.wake() // for what was missed
	for {
		if err := conn.PgConn().WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// pause reports whether ctx is still on after d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
