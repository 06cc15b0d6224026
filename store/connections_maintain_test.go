package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// asked is a database and what asks it past the store; prefix is that of its
// tables, ago an expression for a time before now.
type asked struct {
	open        func(retain time.Duration) store.Database
	sql         func(string) string
	prefix      string
	hourAgo     string
	manyNumbers string // n from 2 to 2500
}

func askedSQLite(t *testing.T) asked {
	path := filepath.Join(t.TempDir(), "postern.db")
	return asked{
		open: func(retain time.Duration) store.Database {
			s, err := store.OpenSQLite(t.Context(), path, store.Options{Retain: retain})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		sql: func(text string) (answer string) {
			db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if strings.HasPrefix(text, "SELECT") {
				err = db.QueryRow(text).Scan(&answer)
			} else {
				_, err = db.Exec(text)
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			return answer
		},
		hourAgo:     strconv.FormatInt(time.Now().Add(-time.Hour).UnixMicro(), 10),
		manyNumbers: "WITH RECURSIVE many(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM many WHERE n < 2500)",
	}
}

func askedPostgres(t *testing.T) asked {
	url, sql := emptyDatabase(t)
	return asked{
		open: func(retain time.Duration) store.Database {
			p, err := store.OpenPostgres(t.Context(), url, store.Options{Retain: retain})
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		sql: func(text string) string { return strings.TrimSpace(sql(text)) }, prefix: "postern_",
		hourAgo: "now() - interval '1 hour'", manyNumbers: "WITH many(n) AS (SELECT generate_series(2, 2500))",
	}
}

// TestMaintainConnections: of each connection the newest thousand moves stay, of
// those that are too old the last one, and tickets until they expire.
func TestMaintainConnections(t *testing.T) {
	for name, ask := range map[string]func(*testing.T) asked{"SQLite": askedSQLite, "PostgreSQL": askedPostgres} {
		t.Run(name, func(t *testing.T) {
			a := ask(t)
			db := a.open(30 * time.Minute)
			defer func() { db.Close() }()
			s := db.Connections()
			furnishHistory(t, s, a)
			check := func(when string, want map[string]int) {
				t.Helper()
				for account, n := range want {
					moves, err := s.History(t.Context(), connection.Key{Provider: "p", Account: account, Credential: "oauth2"}, 0)
					if err != nil || len(moves) != n {
						t.Errorf("%s: %d moves of %s, %v, want %d", when, len(moves), account, err, n)
					} else if last := map[string]string{"many": "2500", "old": "second", "fresh": "second"}[account]; moves[0].Reason != last {
						t.Errorf("%s: the last move of %s is %q, want %q", when, account, moves[0].Reason, last)
					}
				}
			}
			check("before", map[string]int{"many": 2500, "old": 2, "fresh": 2})
			if err := db.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			check("after", map[string]int{"many": 1000, "old": 1, "fresh": 2})
			if n := a.sql("SELECT count(*) FROM " + a.prefix + "tickets"); n != "1" {
				t.Errorf("%s tickets are left", n)
			}
			if _, err := s.Take(t.Context(), storetest.Ticket("live", time.Hour).ID); err != nil {
				t.Errorf("the one that lives: %v", err)
			}
			db.Close()

			a.sql("UPDATE " + a.prefix + "connection_moves SET at = " + a.hourAgo)
			db = a.open(0)
			s = db.Connections()
			if err := db.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			check("kept for ever", map[string]int{"many": 1000, "old": 1, "fresh": 2})
		})
	}
}

// furnishHistory makes connections with many, old, and new moves, and tickets.
func furnishHistory(t *testing.T, s connection.Store, a asked) {
	t.Helper()
	for _, account := range []string{"many", "old", "fresh"} {
		r := storetest.Row("p", account)
		for _, reason := range []string{"first", "second"} {
			var err error
			if r, err = s.Save(t.Context(), r, connection.Move{Reason: reason}); err != nil {
				t.Fatal(err)
			}
			if account == "many" {
				break
			}
		}
	}
	id := func(account string) string {
		return fmt.Sprintf("(SELECT id FROM %sconnections WHERE account = '%s')", a.prefix, account)
	}
	columns, write := "connection, fence, at, from_state, to_state, generation, reason, actor, replica", ""
	if a.prefix != "" {
		columns, write = columns+", write", ", ''"
	}
	a.sql(a.manyNumbers + " INSERT INTO " + a.prefix + "connection_moves (" + columns + ") SELECT " + id("many") +
		", n, (SELECT max(at) FROM " + a.prefix + "connection_moves), '', '', 0, CAST(n AS text), '', ''" + write + " FROM many")
	a.sql("UPDATE " + a.prefix + "connections SET fence = 2500 WHERE account = 'many'")
	a.sql("UPDATE " + a.prefix + "connection_moves SET at = " + a.hourAgo + " WHERE connection = " + id("old"))
	for name, lasts := range map[string]time.Duration{"live": time.Hour, "dead": -time.Second, "long dead": -time.Hour} {
		if err := s.Keep(t.Context(), storetest.Ticket(name, lasts)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSQLiteEndsRenewals: what a process held that is gone is free at the next
// start, and nothing else about it is changed.
func TestSQLiteEndsRenewals(t *testing.T) {
	a := askedSQLite(t)
	db := a.open(0)
	r := storetest.Row("p", "a")
	r.State, r.Holder, r.Until = connection.Refreshing, "dead-1", time.Now().Add(time.Hour)
	before, err := db.Connections().Save(t.Context(), r, connection.Move{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	db = a.open(0)
	defer db.Close()
	after, err := db.Connections().Load(t.Context(), r.Key)
	if err != nil || after.Until.After(after.Now) || after.Holder != "dead-1" || after.State != connection.Refreshing || after.Fence != before.Fence {
		t.Errorf("held until %v at %v by %q, %s, fence %d, %v", after.Until, after.Now, after.Holder, after.State, after.Fence, err)
	}
}
