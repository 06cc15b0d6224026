package store_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// crashEnv names the database to a test binary that is started to be killed.
const crashEnv = "POSTERN_TEST_CRASH"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		victim(path)
		return
	}
	if text := os.Getenv(workerEnv); text != "" {
		work(text)
		return
	}
	if text := os.Getenv(copyEnv); text != "" {
		copying(text)
		return
	}
	if os.Getenv("POSTERN_SOAK") == "" {
		_ = flag.Set("rapid.checks", "25") // of each database: every step is a trip to it
	}
	goleak.VerifyTestMain(m)
}

// victim stores and finishes events and saves connections until it is killed,
// and says so, a line for each, only after the store has.
func victim(path string) {
	s, err := store.OpenSQLite(context.Background(), path, store.Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx, box, run := context.Background(), s.Inbox(), os.Getpid()
	fmt.Println("open")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", run, w, i)
				body := strings.Repeat(id, 1+rand.IntN(100))
				got, _, err := storetest.Insert(ctx, box, storetest.Event(id, id, body), "hook")
				if err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("stored", got)
			}
		})
	}
	for w := range 2 {
		wg.Go(func() {
			r := storetest.Row("p", fmt.Sprint(run, "-", w))
			for {
				var err error
				if r, err = s.Connections().Save(ctx, r, connection.Move{}); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Printf("saved %s-%d\n", r.Account, r.Fence)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for {
				items, _, err := box.Claim(ctx, map[string]int{"hook": 8}, 50*time.Millisecond)
				if err != nil {
					fmt.Println("error", err)
					return
				}
				for _, it := range items {
					err := box.Finish(ctx, it.Lease, inbound.Move{To: inbound.Applied, Attempt: it.Work.Attempt})
					if err == nil {
						fmt.Println("applied", it.Work.Event.ID)
					} else if !errors.Is(err, queue.ErrStale) {
						fmt.Println("error", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestF1Kill9 kills a process that stores, finishes and saves, again and again,
// at random instants: what it said is true afterwards, and every event ends.
func TestF1Kill9(t *testing.T) {
	rounds := 6
	if os.Getenv("POSTERN_SOAK") != "" {
		rounds = 60
	}
	path := filepath.Join(t.TempDir(), "postern.db")
	said := map[string]map[string]bool{"stored": {}, "applied": {}, "saved": {}}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "open" {
			t.Fatalf("round %d began with %q", round, lines.Text())
		}
		kill := time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			what, id, ok := strings.Cut(lines.Text(), " ")
			if what == "error" {
				t.Errorf("round %d: %s", round, lines.Text())
			}
			if ok && strings.Count(id, "-") == 2 { // the last line may be cut
				said[what][id] = true
			}
		}
		_ = cmd.Wait()
		kill.Stop()
	}
	if len(said["stored"]) < 10*rounds || len(said["applied"]) < rounds || len(said["saved"]) < rounds {
		t.Fatalf("only %d stored, %d applied and %d saved", len(said["stored"]), len(said["applied"]), len(said["saved"]))
	}
	s := open(t, path) // checks the file
	for id := range said["saved"] {
		savedStands(t, s.Connections(), id)
	}
	box := s.Inbox()
	for id := range said["stored"] {
		if e, err := box.Body(t.Context(), id); err != nil || len(e.Body) != e.Size {
			t.Errorf("I1: acknowledged %s: %v", id, err)
		}
	}
	for id := range said["applied"] {
		if r, err := box.Show(t.Context(), id); err != nil || r.Status != inbound.Applied {
			t.Errorf("applied %s: %v", id, err)
		}
	}
	time.Sleep(100 * time.Millisecond) // the leases of the dead run out
	for {
		items, _, err := box.Claim(t.Context(), map[string]int{"hook": 256}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			if err := box.Finish(t.Context(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	total, _ := box.Count(t.Context(), inbound.Filter{})
	applied, _ := box.Count(t.Context(), inbound.Filter{State: inbound.Applied})
	if applied != total {
		t.Errorf("I2: %d of %d events applied in the end", applied.N, total.N)
	}
	t.Logf("%d rounds: %d acknowledged, %d said to be applied, %d stored, %d said to be saved", rounds, len(said["stored"]), len(said["applied"]), total.N, len(said["saved"]))
}

// savedStands looks for a connection that was said to be saved, by its account
// and its fence, with a move for every write.
func savedStands(t *testing.T, s connection.Store, said string) {
	t.Helper()
	i := strings.LastIndex(said, "-")
	fence, _ := strconv.ParseInt(said[i+1:], 10, 64)
	k := storetest.Row("p", said[:i]).Key
	r, err := s.Load(t.Context(), k)
	if err != nil || r.Fence < fence {
		t.Errorf("saved %s: fence %d, %v", said, r.Fence, err)
	}
	if moves, err := s.History(t.Context(), k, 0); err != nil || int64(len(moves)) != r.Fence {
		t.Errorf("saved %s: %d moves of %d writes, %v", said, len(moves), r.Fence, err)
	}
}
