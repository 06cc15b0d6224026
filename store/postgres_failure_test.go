package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// ledger is what senders were told: the ids that are acknowledged, by event id.
type ledger struct {
	sync.Mutex
	acked map[string]string
	lost  int // answers that the sender did not wait for, or that were errors
}

// send inserts events from many senders until stop is closed, each with a body
// that tells whose it is, and checks that every answer is about its own event.
// patience is how long a sender waits, at random up to it.
func (l *ledger) send(t *testing.T, box inbound.Store, senders int, stop <-chan struct{}, patience func() time.Duration) {
	var n atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%07d", n.Add(1))
				ctx, cancel := context.WithTimeout(t.Context(), patience())
				id, what, err := storetest.Insert(ctx, box, storetest.Event("id-"+name, "evt_"+name, "body of "+name), "hook")
				cancel()
				l.Lock()
				switch {
				case err != nil:
					l.lost++
				case id != "id-"+name || what != inbound.Stored:
					t.Errorf("%s was answered with %s, %v", name, id, what)
				default:
					l.acked[id] = name
				}
				l.Unlock()
			}
		})
	}
	wg.Wait()
}

// check looks for every acknowledged event: it is there once, and whole.
func (l *ledger) check(t *testing.T, box inbound.Store) {
	t.Helper()
	f := inbound.Filter{Limit: inbound.MaxPage}
	count := map[string]int{}
	for {
		page, err := box.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			count[e.EventID]++
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	for event, n := range count {
		if n != 1 {
			t.Errorf("%s is there %d times", event, n)
		}
	}
	checked := 0
	for id, name := range l.acked {
		if count["evt_"+name] != 1 {
			t.Errorf("acknowledged %s is not there", id)
		}
		if checked++; checked <= 500 {
			if e, err := box.Body(t.Context(), id); err != nil || string(e.Body) != "body of "+name {
				t.Errorf("acknowledged %s: %v", id, err)
			}
		}
	}
	t.Logf("%d acknowledged, %d not, %d stored", len(l.acked), l.lost, len(count))
	if len(l.acked) == 0 {
		t.Error("nothing was acknowledged")
	}
}

// TestC48NobodyElsesAnswer: while connections are killed and senders leave at
// random, nobody gets the answer of another, and what is acknowledged is there.
func TestC48NobodyElsesAnswer(t *testing.T) {
	direct := peers.Database(t)
	box := postgres(t, direct, store.Options{}).Inbox()
	name := strings.TrimPrefix(must(t)(pathOf(direct)), "/")
	l := &ledger{acked: map[string]string{}}
	stop := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		defer close(stop)
		for range 25 {
			time.Sleep(60 * time.Millisecond)
			must(t)(peers.Shared(t).SQL("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'"))
		}
	})
	l.send(t, box, 200, stop, func() time.Duration { return time.Duration(5+rand.IntN(400)) * time.Millisecond })
	killing.Wait()
	if l.lost == 0 {
		t.Error("no sender was impatient: the test is too easy")
	}
	l.check(t, box)
}

func pathOf(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	return u.Path, nil
}

// TestF12Restart: the server is killed and started under load. Senders that wait
// two seconds do not notice, and nothing that was acknowledged or saved is lost.
func TestF12Restart(t *testing.T) {
	for how, end := range map[string]func(*peers.Postgres) error{"killed": (*peers.Postgres).Kill, "stopped at once": (*peers.Postgres).StopImmediate} {
		t.Run(how, func(t *testing.T) {
			pg := peers.PostgresFor(t, peers.PostgresOptions{})
			p := postgres(t, pg.URL("postgres"), store.Options{})
			box := p.Inbox()
			l := &ledger{acked: map[string]string{}}
			stop := make(chan struct{})
			var away time.Duration
			var restart sync.WaitGroup
			restart.Go(func() { keepSaving(t, p.Connections(), stop) })
			restart.Go(func() {
				defer close(stop)
				time.Sleep(500 * time.Millisecond)
				start := time.Now()
				if err := errors.Join(end(pg), pg.Start()); err != nil {
					t.Errorf("restart: %v", err)
				}
				away = time.Since(start)
				time.Sleep(700 * time.Millisecond)
			})
			l.send(t, box, 50, stop, func() time.Duration { return 2 * time.Second })
			restart.Wait() // and what was saved was checked
			if l.lost > 0 && away < 1500*time.Millisecond {
				t.Errorf("%d senders were refused although the server was away for %v only", l.lost, away)
			}
			t.Logf("the server was away for %v", away)
			l.check(t, box)
		})
	}
}

// cutter is the way to a server, on which the next answer can get lost together
// with its connection.
type cutter struct {
	net.Listener
	next atomic.Bool
	lost atomic.Int64
	shut sync.RWMutex // held while no new connection gets through
}

func newCutter(t *testing.T, upstream string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.shut.RLock()
			server, err := net.Dial("tcp", upstream)
			c.shut.RUnlock()
			if err != nil {
				client.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(server, client); server.Close() })
			running.Go(func() { c.answer(client, server); client.Close(); server.Close() })
		}
	})
	return c
}

func (c *cutter) answer(client, server net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if n > 0 && c.next.CompareAndSwap(true, false) {
			c.lost.Add(1)
			return
		}
		if _, e := client.Write(buffer[:n]); e != nil || err != nil {
			return
		}
	}
}

// cuttable opens an empty database over one connection that can be cut.
func cuttable(t *testing.T) (inbound.Store, *cutter) {
	p, way := cuttableAt(t, peers.Database(t))
	return p.Inbox(), way
}

// cuttableAt opens a database over one connection that can be cut.
func cuttableAt(t *testing.T, direct string) (*store.Postgres, *cutter) {
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	way := newCutter(t, u.Host)
	u.Host = way.Addr().String()
	p := postgres(t, u.String()+"&pool_max_conns=1", store.Options{})
	if _, err := p.Members().Beat(t.Context(), replica.Self("only", "1"), time.Minute); err != nil {
		t.Fatal(err) // it is alone now, and tells nobody of news
	}
	return p, way
}

// TestF12UnknownCommit: where the answer to a commit is lost, an event that is
// stored is said to be stored, once, and a delivery that is ended to be ended by
// whoever did it.
func TestF12UnknownCommit(t *testing.T) {
	box, way := cuttable(t)
	// Each new connection describes its statements first, and then loses an answer.
	for i, step := range []struct{ lane, lose string }{{"", ""}, {"", "insert"}, {"", ""}, {"", "finish"}, {"a", ""}, {"a", "insert"}, {"a", ""}, {"a", "finish"}} {
		e := storetest.Event(fmt.Sprint("id-", i), fmt.Sprint("evt_", i), "{}")
		e.Lane = step.lane
		way.next.Store(step.lose == "insert")
		if id, what, err := storetest.Insert(t.Context(), box, e, "hook"); err != nil || id != e.ID || what != inbound.Stored {
			t.Fatalf("insert %d: %s, %v, %v", i, id, what, err)
		}
		way.next.Store(false)
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 9}, time.Minute)
		if err != nil || len(items) != 1 {
			t.Fatalf("claimed %d, %v", len(items), err)
		}
		lease, m := items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 1}
		way.next.Store(step.lose == "finish")
		if err := box.Finish(t.Context(), lease, m); err != nil {
			t.Errorf("finish %d: %v", i, err)
		}
		way.next.Store(false)
		if err := box.Finish(t.Context(), lease, m); !errors.Is(err, queue.ErrStale) {
			t.Errorf("finish %d again: %v, want ErrStale", i, err)
		}
		if r, err := box.Show(t.Context(), e.ID); err != nil || r.Status != inbound.Applied || len(r.Trail) != 2 || r.Variant != 1 {
			t.Errorf("event %d: %+v, %v", i, r, err)
		}
	}
	if n := way.lost.Load(); n != 4 {
		t.Errorf("%d answers were lost, want 4: the test looks in the wrong place", n)
	}
}

// TestF12LostClaim: what was claimed by a claim whose answer got lost does not
// wait for its lease to run out.
func TestF12LostClaim(t *testing.T) {
	box, way := cuttable(t)
	for i, lane := range []string{"", "", "a"} { // the first describes the statements
		e := storetest.Event(fmt.Sprint("id-", i), fmt.Sprint("evt_", i), "{}")
		e.Lane = lane
		if _, _, err := storetest.Insert(t.Context(), box, e, "hook"); err != nil {
			t.Fatal(err)
		}
		if way.next.Store(i > 0); i > 0 {
			if _, _, err := box.Claim(t.Context(), map[string]int{"hook": 9}, time.Minute); err == nil {
				t.Fatal("the answer of the claim was not lost")
			}
			if r, err := box.Show(t.Context(), e.ID); err != nil || r.Status != inbound.Processing {
				t.Fatalf("the lost claim left it %+v, %v: the test looks in the wrong place", r, err)
			}
		}
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 9}, time.Minute)
		if err != nil || len(items) != 1 || items[0].Work.Attempt != 1 || items[0].Work.From != inbound.Received {
			t.Fatalf("claimed %+v, %v", items, err)
		}
		if err := box.Finish(t.Context(), items[0].Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostBody: an event whose body is gone is given up, with the reason, and
// keeps no other from being delivered.
func TestLostBody(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		pg := peers.Shared(t)
		u, err := url.Parse(peers.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		lostBody(t, postgres(t, u.String(), store.Options{}).Inbox(), func() error {
			_, err := pg.SQL(strings.Trim(u.Path, "/"), "DELETE FROM postern_bodies WHERE seq = (SELECT seq FROM postern_events WHERE id = 'id-b')")
			return err
		})
	})
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "postern.db")
		lostBody(t, open(t, path).Inbox(), func() error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), "DELETE FROM bodies WHERE seq = (SELECT seq FROM events WHERE id = 'id-b')")
			return err
		})
	})
}

func lostBody(t *testing.T, box inbound.Store, lose func() error) {
	for _, name := range []string{"a", "b", "c"} {
		if _, _, err := storetest.Insert(t.Context(), box, storetest.Event("id-"+name, "evt_"+name, "body of "+name), "hook"); err != nil {
			t.Fatal(err)
		}
	}
	if err := lose(); err != nil {
		t.Fatal(err)
	}
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 9}, time.Minute)
	if err != nil || len(items) != 2 {
		t.Fatalf("claimed %d, %v, want the two that are whole", len(items), err)
	}
	page, err := box.List(t.Context(), inbound.Filter{State: inbound.Failed})
	if err != nil || len(page.Events) != 1 || page.Events[0].ID != "id-b" || !strings.Contains(page.Events[0].Deliveries[0].Reason, "its body is not in the database") {
		t.Errorf("given up: %+v, %v", page.Events, err)
	}
	if _, err := box.Body(t.Context(), "id-b"); err == nil {
		t.Error("a body that is gone was read")
	}
}

// TestF33BusyRenewal: a renewal that could not be made, because somebody held the
// row all the time, is none.
func TestF33BusyRenewal(t *testing.T) {
	where := peers.Database(t)
	box := postgres(t, where, store.Options{}).Inbox()
	if _, _, err := storetest.Insert(t.Context(), box, storetest.Event("id-a", "evt_a", "{}"), "hook"); err != nil {
		t.Fatal(err)
	}
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 1}, time.Minute)
	if err != nil || len(items) != 1 {
		t.Fatalf("claimed %d, %v", len(items), err)
	}
	db, err := sql.Open("pgx", where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT 1 FROM postern_deliveries FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	leases := []queue.Lease{items[0].Lease}
	if lost, err := box.Renew(t.Context(), leases, time.Minute); err == nil {
		t.Errorf("renewed while the row was locked; lost %v", lost)
	}
	_ = tx.Rollback()
	if lost, err := box.Renew(t.Context(), leases, time.Minute); err != nil || len(lost) != 0 {
		t.Errorf("renewed: lost %v, %v", lost, err)
	}
}

// TestF13DuplicateWaitsToo: an event that is committed here, and on no standby
// although a commit has to be there, is not acknowledged when it comes again.
func TestF13DuplicateWaitsToo(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	box := postgres(t, pg.URL("postgres"), store.Options{}).Inbox()
	waitFor := func(standby string) {
		if out, err := pg.SQL("postgres", "ALTER SYSTEM SET synchronous_standby_names = '"+standby+"'; SELECT pg_reload_conf()"); err != nil {
			t.Fatal(out, err)
		}
	}
	waitFor("gone")
	send := func(id string, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, _, err := storetest.Insert(ctx, box, storetest.Event(id, "evt_1", "{}"), "hook")
		return err
	}
	if err := send("first", time.Second); err == nil {
		t.Fatal("acknowledged although no standby has it: the test looks in the wrong place")
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, err := pg.SQL("postgres", "SELECT count(*) FROM postern_events")
		if err == nil && strings.Contains(out, "1") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the first was not committed here: %q, %v", out, err)
		}
	}
	for _, id := range []string{"first", "again"} {
		if err := send(id, time.Second); err == nil {
			t.Errorf("%s was acknowledged", id)
		}
	}
	waitFor("")
	if err := send("again", 20*time.Second); err != nil {
		t.Errorf("no standby is needed any more: %v", err)
	}
}

// TestF13ReadOnly: connections to a server that has become read-only are given
// up, all of them, although they work; what is written goes to the server that
// can be written now, and back again.
func TestF13ReadOnly(t *testing.T) {
	first, second := peers.PostgresFor(t, peers.PostgresOptions{}), peers.PostgresFor(t, peers.PostgresOptions{})
	turn := func(pg *peers.Postgres, readOnly string) {
		t.Helper()
		must(t)(pg.SQL("postgres", "SET default_transaction_read_only = off; ALTER SYSTEM SET default_transaction_read_only = "+readOnly))
		must(t)(pg.SQL("postgres", "SELECT pg_reload_conf()"))
	}
	insert(t, postgres(t, second.URL("postgres"), store.Options{}).Inbox(), 1)
	turn(second, "on")
	u, err := url.Parse(first.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = second.Addr() + "," + first.Addr()
	p := postgres(t, u.String(), store.Options{})
	fillBy(t, p.Inbox(), 64, 500) // over every connection
	for n, move := range []struct{ from, to *peers.Postgres }{{first, second}, {second, first}} {
		turn(move.from, "on")
		turn(move.to, "off")
		start := time.Now()
		id := fmt.Sprint("moved-", n)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, _, err := storetest.Insert(ctx, p.Inbox(), storetest.Event(id, id, "{}"), "hook")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("stored after %v", took)
		}
		if got := must(t)(move.to.SQL("postgres", "SELECT count(*) FROM postern_events WHERE id = '"+id+"'")); got != "1" {
			t.Errorf("it is not where it can be written")
		}
		if err := p.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
	}
}

// TestF13Failover: the primary is killed, its standby promoted: within five
// seconds the store can be written, at the other address of the same URL, and
// with a synchronous standby nothing acknowledged is lost.
func TestF13Failover(t *testing.T) {
	primary := peers.PostgresFor(t, peers.PostgresOptions{})
	standby := peers.StandbyFor(t, primary, "second", true)
	u, err := url.Parse(primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = standby.Addr() + "," + primary.Addr()
	p := postgres(t, u.String(), store.Options{})
	if sentence, sure := p.Promise(); !sure || !strings.Contains(sentence, "failover to a synchronous standby") {
		t.Errorf("promise: %v, %q", sure, sentence)
	}
	l := &ledger{acked: map[string]string{}}
	stop := make(chan struct{})
	var failover sync.WaitGroup
	failover.Go(func() {
		defer close(stop)
		time.Sleep(500 * time.Millisecond)
		if err := primary.Kill(); err != nil {
			t.Error(err)
		}
		if err := standby.SetSync(""); err != nil {
			t.Logf("the standby keeps its own settings: %v", err)
		}
		if err := standby.Promote(); err != nil {
			t.Error(err)
		}
		promoted := time.Now()
		for p.Ready(t.Context()) != nil && time.Since(promoted) < 20*time.Second {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(promoted); took > 5*time.Second {
			t.Errorf("writable %v after the promotion", took)
		} else {
			t.Logf("writable %v after the promotion", took)
		}
		time.Sleep(300 * time.Millisecond)
	})
	l.send(t, p.Inbox(), 30, stop, func() time.Duration { return 5 * time.Second })
	failover.Wait()
	l.check(t, p.Inbox())
}

// TestF14Silence: a server that does not answer costs no call more than its
// deadline, and all goes on when it answers again.
func TestF14Silence(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	p := postgres(t, pg.URL("postgres"), store.Options{})
	insert(t, p.Inbox(), 3)
	if err := pg.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 40 { // more than there are connections
		wg.Go(func() {
			if _, _, err := storetest.Insert(ctx, p.Inbox(), storetest.Event(fmt.Sprint("late-", i), fmt.Sprint("late-", i), "{}"), "hook"); err == nil {
				t.Error("stored by a server that does not answer")
			}
			if _, err := p.Inbox().List(ctx, inbound.Filter{}); err == nil {
				t.Error("listed by a server that does not answer")
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("callers with 300 ms waited for %v", took)
	}
	if err := pg.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready again", func() bool { return p.Ready(t.Context()) == nil })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("never %s", what)
}
