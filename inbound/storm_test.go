package inbound_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
)

// change is one event of a thing, as the provider's script has it.
type change struct {
	ID      string `json:"id"`
	Key     string `json:"key"`
	Version int    `json:"version"`
	Type    string `json:"type"`
}

// script is a storm: every thing changes a few times, may be deleted, and may be made
// again; the events come in any order, and many come twice.
func script(r *rand.Rand, keys int) (storm []change, newest map[string]change) {
	newest = map[string]change{}
	for k := range keys {
		key := fmt.Sprint("thing", k)
		for v := range 1 + r.IntN(5) {
			c := change{fmt.Sprintf("%s.%d", key, v+1), key, v + 1, "updated"}
			if r.IntN(5) == 0 {
				c.Type = "deleted"
			}
			newest[key] = c
			storm = append(storm, c)
			if r.IntN(4) == 0 {
				storm = append(storm, c)
			}
			if c.Type == "deleted" { // an update of the same version that is late
				storm = append(storm, change{c.ID + "u", key, c.Version, "updated"})
			}
		}
	}
	r.Shuffle(len(storm), func(i, j int) { storm[i], storm[j] = storm[j], storm[i] })
	return storm, newest
}

// world is an application that fails now and then, and writes down its calls.
type world struct {
	*httptest.Server
	mu    sync.Mutex
	r     *rand.Rand
	calm  bool
	calls []change // in order
	had   []bool   // of calls: it had its effect
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	w := &world{r: r}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var c change
	_ = json.Unmarshal(body, &c)
	w.mu.Lock()
	luck := w.r.IntN(100)
	if w.calm {
		luck = 99
	}
	w.calls, w.had = append(w.calls, c), append(w.had, luck >= 10)
	w.mu.Unlock()
	if luck < 20 { // refused before its effect, or after it
		rw.WriteHeader(503)
	}
}

const inOneLane = `order { mode = "lane" }`

// storms runs a script against an inbox that is restarted now and then, and returns
// what the application was told and what is stored, the oldest first.
func storms(t *testing.T, seed uint64, keys int, order string, open func() (inbound.Store, func())) (w *world, newest map[string]change, all []inbound.Record) {
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var storm []change
	storm, newest = script(r, keys)
	w = newWorld(t, rand.New(rand.NewPCG(seed, 2)))
	src := strings.NewReplacer("attempts = 3", "attempts = 1000", `first  = "5ms"`, `first  = "1ms"`, `max    = "10ms"`, `max    = "20ms"`).Replace(ordered(w.URL, order))
	set := mustLoad(t, src)
	rounds := 3
	for round := range rounds {
		s, shut := open()
		in := inbound.New(inbound.Options{Store: s, Grace: time.Millisecond, Poll: 20 * time.Millisecond})
		in.Swap(set)
		ctx, cancel := context.WithCancel(context.Background())
		var running, posting sync.WaitGroup
		running.Go(func() { in.Run(ctx) })
		part := storm[len(storm)*round/rounds : len(storm)*(round+1)/rounds]
		for i := range 8 {
			posting.Go(func() {
				for j, c := range part {
					by := j
					if order == inOneLane { // in what order two of a key that are posted at once arrive, nobody can say
						by = int(c.Key[len(c.Key)-1])
					}
					if by%8 != i {
						continue
					}
					body, _ := json.Marshal(c)
					for try := 0; ; try++ {
						rec := httptest.NewRecorder()
						in.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader(body)))
						if rec.Code == http.StatusOK {
							break
						}
						if try == 50 {
							t.Errorf("not stored: %d %s", rec.Code, rec.Body)
							return
						}
					}
				}
			})
		}
		posting.Wait()
		if round == rounds-1 {
			w.mu.Lock()
			w.calm = true
			w.mu.Unlock()
			drained(t, in)
		}
		cancel()
		running.Wait()
		if round == rounds-1 {
			all = everything(t, s)
		}
		shut()
	}
	return w, newest, all
}

func drained(t *testing.T, in *inbound.Inbox) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		stats, err := in.Stats(context.Background())
		if err == nil && !slices.ContainsFunc(stats, func(s inbound.Stat) bool { return s.State.Open() && s.Count > 0 }) {
			return
		}
	}
	t.Fatal("the inbox is not drained")
}

func everything(t *testing.T, s inbound.Store) (all []inbound.Record) {
	t.Helper()
	f := inbound.Filter{Limit: inbound.MaxPage}
	for {
		page, err := s.List(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if f.Cursor = page.Next; f.Cursor == "" {
			slices.Reverse(all)
			return all
		}
	}
}

// lanesHold: the calls of a key are in the order of arrival, and all of it is applied.
func lanesHold(t *testing.T, w *world, all []inbound.Record) {
	place, last := map[string]int{}, map[string]int{}
	for i, e := range all {
		place[e.EventID] = i
		if e.Status != inbound.Applied {
			t.Errorf("%s is %s", e.EventID, e.Status)
		}
	}
	for _, c := range w.calls {
		if place[c.ID] < last[c.Key] {
			t.Errorf("%s was called after one that arrived later", c.ID)
		}
		last[c.Key] = place[c.ID]
	}
}

// staleDropped: the application never has an older state after a newer one, nothing
// that is gone is revived by what is not newer, and in the end it has what the
// provider has.
func staleDropped(t *testing.T, w *world, newest map[string]change) {
	has := map[string]change{}
	for i, c := range w.calls {
		if !w.had[i] {
			continue
		}
		before := has[c.Key]
		if c.Version < before.Version || c.Version == before.Version && before.Type == "deleted" && c.Type != "deleted" {
			t.Errorf("%s (%d, %s) was delivered after %s (%d, %s)", c.ID, c.Version, c.Type, before.ID, before.Version, before.Type)
		}
		has[c.Key] = c
	}
	for key, want := range newest {
		if got := has[key]; got.Version != want.Version || got.Type != want.Type {
			t.Errorf("%s ends as %+v, want %+v", key, got, want)
		}
	}
}

// TestOutOfOrderStorm holds lanes, stale_drop and deletions against a model: 1,000
// keys, events in any order and twice, an application that fails before and after its
// effect, and an inbox that is restarted under way.
func TestOutOfOrderStorm(t *testing.T) {
	rounds := 1
	if os.Getenv("POSTERN_SOAK") != "" {
		rounds = 20
	}
	for name, c := range map[string]struct {
		keys int
		open func(*testing.T) func() (inbound.Store, func())
	}{
		"memory": {300, func(*testing.T) func() (inbound.Store, func()) {
			s := store.NewMemory().Inbox()
			return func() (inbound.Store, func()) { return s, func() {} }
		}},
		"sqlite": {400, func(t *testing.T) func() (inbound.Store, func()) {
			path := filepath.Join(t.TempDir(), "postern.db")
			return func() (inbound.Store, func()) {
				s, err := store.OpenSQLite(context.Background(), path, store.Options{Replica: "r"})
				if err != nil {
					t.Fatal(err)
				}
				return s.Inbox(), func() { _ = s.Close() }
			}
		}},
		"postgres": {100, func(t *testing.T) func() (inbound.Store, func()) {
			url := peers.Database(t)
			return func() (inbound.Store, func()) {
				s, err := store.OpenPostgres(context.Background(), url, store.Options{Replica: "r"})
				if err != nil {
					t.Fatal(err)
				}
				return s.Inbox(), func() { _ = s.Close() }
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				keys := c.keys
				if rounds > 1 {
					keys = 1000
				}
				w, _, all := storms(t, rand.Uint64(), keys, inOneLane, c.open(t))
				lanesHold(t, w, all)
				w2, newest, _ := storms(t, rand.Uint64(), keys, "order {\nmode = \"stale_drop\"\nsequence = body.version\ndeleted = event.type == \"deleted\"\n}", c.open(t))
				staleDropped(t, w2, newest)
			}
		})
	}
}
