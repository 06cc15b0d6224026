package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The faults of a ledger. Those that end with done happen after the row was
// committed; late ones happen before, and the row is committed afterwards.
const (
	works         = "works"
	resetBefore   = "reset before"
	resetDone     = "reset, done"
	timeoutBefore = "timeout"
	timeoutDone   = "timeout, done"
	timeoutLate   = "timeout, done later"
	errorBefore   = "500"
	errorDone     = "500, done"
	cutDone       = "answer cut off, done"
	cutHeadDone   = "answer cut off in its head, done"
)

var faults = []string{resetBefore, resetDone, timeoutBefore, timeoutDone, timeoutLate, errorBefore, errorDone, cutDone, cutHeadDone}

// hangs is how long a ledger does not answer: longer than an attempt may take.
const hangs = 600 * time.Millisecond

// A ledger is a provider that keeps rows in SQLite under a unique constraint, and
// does not always say so. Rows show in look-ups with a delay.
type ledger struct {
	*httptest.Server
	t  *testing.T
	db *sql.DB

	mu        sync.Mutex
	rnd       *rand.Rand
	first     map[string]bool // refs that were written to
	seen      map[string]int  // faults
	conflicts int
	late      atomic.Int64 // writes under way that nobody waits for any more
}

func newLedger(t *testing.T, seed uint64) *ledger {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "shop.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE rows (id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, changed INTEGER NOT NULL DEFAULT 0, shows INTEGER NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	s := &ledger{t: t, db: db, rnd: rand.New(rand.NewPCG(seed, 5)), first: map[string]bool{}, seen: map[string]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close(); s.settle(); db.Close() })
	return s
}

// next draws what happens to a write of ref: the first one is never answered
// as it should be.
func (s *ledger) next(ref string) (fault string, shows time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault = works
	if !s.first[ref] || s.rnd.IntN(8) == 0 {
		fault = faults[s.rnd.IntN(len(faults))]
	}
	s.first[ref] = true
	s.seen[fault]++
	if s.rnd.IntN(3) == 0 {
		shows = time.Duration(s.rnd.IntN(100)) * time.Millisecond
	}
	return fault, shows
}

// flaky reports whether a look-up fails.
func (s *ledger) flaky() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rnd.IntN(20) == 0
}

// A shopRow is a row as the shop gives it.
type shopRow struct {
	ID   int64  `json:"id"`
	Ref  string `json:"ref"`
	Plan string `json:"plan"`
}

func (s *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in shopRow
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != "GET" && json.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch id, one := strings.CutPrefix(r.URL.Path, "/rows/"); {
	case r.Method == "GET":
		s.list(w, r.URL.Query().Get("ref"))
	case r.Method == "POST" && r.URL.Path == "/rows":
		fault, shows := s.next(in.Ref)
		s.write(w, fault, func() (int, any) {
			return s.row(http.StatusCreated, `INSERT INTO rows (ref, plan, shows) VALUES (?, ?, ?) RETURNING id, ref, plan`, in.Ref, in.Plan, time.Now().Add(shows).UnixMicro())
		})
	case r.Method == "PATCH" && one:
		fault, _ := s.next(in.Ref)
		s.write(w, fault, func() (int, any) {
			return s.row(http.StatusOK, `UPDATE rows SET plan = ?, changed = changed + 1 WHERE id = ? RETURNING id, ref, plan`, in.Plan, id)
		})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *ledger) list(w http.ResponseWriter, ref string) {
	if s.flaky() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	data := []any{}
	if status, row := s.row(http.StatusOK, `SELECT id, ref, plan FROM rows WHERE ref = ? AND shows <= ?`, ref, time.Now().UnixMicro()); status == http.StatusOK {
		data = append(data, row)
	}
	give(w, http.StatusOK, map[string]any{"data": data})
}

// row runs a statement that yields one.
func (s *ledger) row(status int, query string, args ...any) (int, any) {
	var row shopRow
	switch err := s.db.QueryRow(query, args...).Scan(&row.ID, &row.Ref, &row.Plan); {
	case err == nil:
		return status, row
	case strings.Contains(err.Error(), "UNIQUE"):
		s.mu.Lock()
		s.conflicts++
		s.mu.Unlock()
		return http.StatusConflict, map[string]string{"error": "there is one with this ref"}
	case err == sql.ErrNoRows:
		return http.StatusNotFound, map[string]string{"error": "there is none"}
	default:
		s.t.Error(err)
		return http.StatusInternalServerError, nil
	}
}

// write makes a change, and answers as the fault says.
func (s *ledger) write(w http.ResponseWriter, fault string, change func() (int, any)) {
	switch fault {
	case resetBefore:
		panic(http.ErrAbortHandler)
	case errorBefore:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case timeoutBefore:
		time.Sleep(hangs)
		panic(http.ErrAbortHandler)
	case timeoutLate:
		s.late.Add(1)
		go func() {
			defer s.late.Add(-1)
			time.Sleep(hangs + 300*time.Millisecond)
			change()
		}()
		time.Sleep(hangs)
		panic(http.ErrAbortHandler)
	}
	status, answer := change()
	switch fault {
	case resetDone:
		panic(http.ErrAbortHandler)
	case errorDone:
		w.WriteHeader(http.StatusInternalServerError)
	case timeoutDone:
		time.Sleep(hangs)
		panic(http.ErrAbortHandler)
	case cutDone, cutHeadDone:
		s.cut(w, status, answer, fault == cutHeadDone)
	default:
		give(w, status, answer)
	}
}

// cut sends a part of an answer, and then nothing.
func (s *ledger) cut(w http.ResponseWriter, status int, answer any, head bool) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	text, _ := json.Marshal(answer)
	all := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", status, len(text))
	if !head {
		all += "\r\n" + string(text[:len(text)/2])
	}
	_, _ = buf.WriteString(all)
	_ = buf.Flush()
}

func give(w http.ResponseWriter, status int, v any) {
	text, _ := json.Marshal(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// rows lists what is there by ref.
func (s *ledger) rows() map[string]shopRow {
	s.t.Helper()
	list, err := s.db.Query(`SELECT id, ref, plan FROM rows`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer list.Close()
	all := map[string]shopRow{}
	for list.Next() {
		var row shopRow
		if err := list.Scan(&row.ID, &row.Ref, &row.Plan); err != nil {
			s.t.Fatal(err)
		}
		all[row.Ref] = row
	}
	return all
}
