package store_test

import (
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// emptyDatabase is an empty database and what asks it past the store.
func emptyDatabase(t testing.TB) (url string, sql func(string) string) {
	t.Helper()
	url = peers.Database(t)
	name := strings.TrimPrefix(must(t)(pathOf(url)), "/")
	return url, func(text string) string {
		t.Helper()
		return must(t)(peers.Shared(t).SQL(name, text))
	}
}

// TestF43PostgresNewerSchemaIsRefused in the words of SQLite.
func TestF43PostgresNewerSchemaIsRefused(t *testing.T) {
	url, sql := emptyDatabase(t)
	postgres(t, url, store.Options{})
	sql("INSERT INTO postern_schema (version_id, is_applied) VALUES (9999, true)")
	if _, err := store.Open(t.Context(), url, store.Options{}); err == nil || !strings.Contains(err.Error(), "used by a newer Postern") {
		t.Errorf("opened: %v", err)
	}
}

// TestF43ManyMigrateAtOnce: replicas that start together on an empty database
// make its schema once, directly and through a pooler.
func TestF43ManyMigrateAtOnce(t *testing.T) {
	bouncer := peers.PgBouncerFor(t, peers.Shared(t), peers.PgBouncerOptions{})
	direct, _ := emptyDatabase(t)
	other, _ := emptyDatabase(t)
	for _, url := range []string{direct, through(t, bouncer, other)} {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				p, err := store.OpenPostgres(t.Context(), url, store.Options{})
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				p.Close()
			})
		}
		wg.Wait()
		insert(t, postgres(t, url, store.Options{}).Inbox(), 1)
	}
}

// TestOpenPostgresTellsWhy: what is wrong with the server or the URL is said at
// once, and never the password.
func TestOpenPostgresTellsWhy(t *testing.T) {
	u := peers.Shared(t).URL("nowhere")
	for url, want := range map[string]string{
		u: `database "nowhere" does not exist`,
		strings.Replace(u, "postgres@", "postgres:hunter2@", 1) + "&sslmode=nonsense":    "URL cannot be read",
		"postgres://postern:hunter2@127.0.0.1:1/x?sslmode=disable&target_session_attrs=": "URL cannot be read",
		"postgres://postern:/hunter2@127.0.0.1:1/x":                                      "is written %2F",
		"postgres://postern:hun%ter2@127.0.0.1:1/x":                                      "url must name a host and a database",
	} {
		start := time.Now()
		_, err := store.Open(t.Context(), url, store.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hun") {
			t.Errorf("%v, want %s", err, want)
		}
		if time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
	url := peers.Database(t)
	p := postgres(t, strings.Replace(url, "postgres@", "postgres:hunter2@", 1)+"&application_name=hunter2", store.Options{})
	if where := p.Where(); strings.Contains(where, "hunter2") || !strings.HasPrefix(where, "postgres://postgres@127.0.0.1:") || strings.Contains(where, "?") {
		t.Errorf("where: %s", where)
	}
}

// TestAnyBytes: whatever a provider sends is stored, under its own key, and comes
// back as it was.
func TestAnyBytes(t *testing.T) {
	url, _ := emptyDatabase(t)
	box := postgres(t, url, store.Options{Replica: "r\x00"}).Inbox()
	odd := []string{"a\x00b", "a\\x00b", "a\x1a00b", "\xff\xfe", "\x1aff\x1afe", "\x1a", "\x1a1a", "\u0000\ufffd", strings.Repeat("k\x00", 5000), ""}
	for i, text := range odd {
		e := storetest.Event("id-"+strings.Repeat("i", i+1), text, "body")
		e.Account, e.Type, e.Key, e.Lane = text, text, text, text
		e.Header = http.Header{"X-Odd": {text, "plain"}}
		e.Occurred = time.Time{}
		if i%2 == 1 {
			e.Occurred = time.Date(200000, 1, 1, 0, 0, 0, 0, time.UTC) // on nobody's calendar
		}
		if _, what, err := storetest.Insert(t.Context(), box, e, "hook"); err != nil || what != inbound.Stored {
			t.Fatalf("%.20q: %v, %v", text, what, err)
		}
		got, err := box.Body(t.Context(), e.ID)
		if err != nil || got.EventID != text || got.Account != text || got.Type != text || got.Key != text || got.Lane != text || !reflect.DeepEqual(got.Header, e.Header) || !got.Occurred.IsZero() {
			t.Errorf("%.20q came back as %+v, %v", text, got, err)
		}
		if text == "" {
			continue
		}
		if page, err := box.List(t.Context(), inbound.Filter{EventID: text, Account: text, Type: text}); err != nil || len(page.Events) != 1 {
			t.Errorf("%.20q: found %d, %v", text, len(page.Events), err)
		}
	}
	items, _, err := box.Claim(t.Context(), map[string]int{"hook": 100}, time.Minute)
	if err != nil || len(items) != len(odd) {
		t.Fatalf("claimed %d, %v, want %d", len(items), err, len(odd))
	}
	for _, it := range items {
		if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: inbound.Failed, Attempt: 1, Reason: "\x00why\xff", Detail: "\xff\x00"}); err != nil {
			t.Errorf("finish: %v", err)
		}
	}
	r, err := box.Show(t.Context(), "id-i")
	if err != nil || r.Trail[1].Reason != "\x00why\xff" || r.Trail[1].Detail != "\xff\x00" || r.Trail[1].Replica != "r\x00" {
		t.Errorf("trail %+v, %v", r.Trail, err)
	}
	if n, err := box.Count(t.Context(), inbound.Filter{Error: "\x00WHY"}); err != nil || n.N != len(odd) {
		t.Errorf("%d with the reason, %v", n.N, err)
	}
}

// TestPostgresBatchesDoNotShareMistakes: of many events that are stored together,
// one that cannot be stored fails alone.
func TestPostgresBatchesDoNotShareMistakes(t *testing.T) {
	url, sql := emptyDatabase(t)
	box := postgres(t, url, store.Options{}).Inbox()
	sql("ALTER TABLE postern_events ADD CHECK (type <> 'bad')")
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 200 {
		wg.Go(func() {
			e := storetest.Event("id-"+strings.Repeat("x", i), strings.Repeat("x", i), "{}")
			if i%50 == 3 {
				e.Type = "bad"
			}
			if _, _, err := storetest.Insert(t.Context(), box, e, "hook"); (err != nil) != (e.Type == "bad") {
				t.Errorf("event %d of type %s: %v", i, e.Type, err)
			} else if err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if n, _ := box.Count(t.Context(), inbound.Filter{}); failed.Load() != 4 || n.N != 196 {
		t.Errorf("%d failed, %d stored, want 4 and 196", failed.Load(), n.N)
	}
}

// TestWake: what one replica stores wakes the other, but not itself.
func TestWake(t *testing.T) {
	url, _ := emptyDatabase(t)
	var self, other atomic.Int64
	a := postgres(t, url, store.Options{Replica: "a", Wake: func() { self.Add(1) }})
	postgres(t, url, store.Options{Replica: "b", Wake: func() { other.Add(1) }})
	eventually(t, "listening", func() bool { return self.Load() == 1 && other.Load() == 1 }) // once at the beginning
	fillBy(t, a.Inbox(), 64, 2000)
	eventually(t, "woken", func() bool { return other.Load() > 1 })
	if self.Load() > 1 {
		t.Error("its own news woke it")
	}
	if n := other.Load(); n > 400 {
		t.Errorf("woken %d times for 2000 events", n)
	}
}

// TestF4Promise: what the server's settings mean is said in a sentence.
func TestF4Promise(t *testing.T) {
	for name, test := range map[string]struct {
		settings map[string]string
		sure     bool
		has      string
	}{
		"default":                  {nil, true, "survives a crash of this process and of the database machine"},
		"fsync off":                {map[string]string{"fsync": "off"}, false, "fsync = off"},
		"full_page_writes off":     {map[string]string{"full_page_writes": "off"}, false, "full_page_writes = off"},
		"synchronous_commit off":   {map[string]string{"synchronous_commit": "off"}, true, "Postern sets it to on"},
		"synchronous_commit local": {map[string]string{"synchronous_commit": "local", "synchronous_standby_names": "x"}, false, "does not wait for standbys"},
	} {
		t.Run(name, func(t *testing.T) {
			pg := peers.PostgresFor(t, peers.PostgresOptions{Settings: test.settings})
			sentence, sure := postgres(t, pg.URL("postgres"), store.Options{}).Promise()
			if sure != test.sure || !strings.Contains(sentence, test.has) || strings.Contains(sentence, ". ") {
				t.Errorf("%v, %q", sure, sentence)
			}
		})
	}
	primary := peers.PostgresFor(t, peers.PostgresOptions{})
	peers.StandbyFor(t, primary, "second", false)
	if sentence, sure := postgres(t, primary.URL("postgres"), store.Options{}).Promise(); sure || !strings.Contains(sentence, "may lose the last ones") {
		t.Errorf("with an asynchronous standby: %v, %q", sure, sentence)
	}
}

// TestF4CommitsWaitForTheDisk: a server that acknowledges before its log is on
// disk does not do so to Postern. The log is flushed when a statement returns.
func TestF4CommitsWaitForTheDisk(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{Settings: map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "100MB"}})
	bouncer := peers.PgBouncerFor(t, pg, peers.PgBouncerOptions{})
	for _, url := range []string{pg.URL("postgres"), bouncer.URL("postgres")} {
		box := postgres(t, url, store.Options{}).Inbox()
		for i := range 3 {
			id := url + string(rune('a'+i))
			if _, _, err := storetest.Insert(t.Context(), box, storetest.Event(id, id, "{}"), "hook"); err != nil {
				t.Fatal(err)
			}
			if behind := must(t)(pg.SQL("postgres", "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() > 200")); behind != "f" {
				t.Error("acknowledged before the log was on disk")
			}
		}
	}
	acked := "SELECT count(*) FROM postern_events"
	before := must(t)(pg.SQL("postgres", acked))
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	if after := must(t)(pg.SQL("postgres", acked)); after != before {
		t.Errorf("%s events are left of %s", after, before)
	}
}

// TestStatements: under load an event costs at most three statements from its
// arrival to its end.
func TestStatements(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{Settings: map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top"}})
	must(t)(pg.SQL("postgres", "CREATE EXTENSION pg_stat_statements"))
	must(t)(pg.SQL("postgres", "CREATE DATABASE postern"))
	p := postgres(t, pg.URL("postern"), store.Options{})
	box := p.Inbox()
	must(t)(pg.SQL("postgres", "SELECT pg_stat_statements_reset()"))
	const n = 5000
	var inserting sync.WaitGroup
	inserting.Go(func() { fillBy(t, box, 64, n) })
	var ends sync.WaitGroup
	for claimed := 0; claimed < n && !t.Failed(); {
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 100}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		claimed += len(items)
		for _, it := range items {
			ends.Go(func() {
				if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
					t.Errorf("finish: %v", err)
				}
			})
		}
		time.Sleep(2 * time.Millisecond) // as the dispatcher does
	}
	inserting.Wait()
	ends.Wait()
	calls := must(t)(pg.SQL("postgres", "SELECT sum(calls)::bigint <= 3 * 5000, sum(calls), round(sum(calls) / 5000.0, 3) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = 'postern'"))
	t.Logf("statements for %d events: %s", n, calls)
	if !strings.HasPrefix(calls, "t|") {
		t.Errorf("statements for %d events: %s", n, calls)
	}
}
