package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// copyEnv has a test binary copy, from and to what it names, and say how far it is.
const copyEnv = "POSTERN_TEST_COPY"

func copying(text string) {
	from, to, _ := strings.Cut(text, " ")
	sum, err := store.Copy(context.Background(), from, to, func(p store.Progress) { fmt.Println(p.Doing, p.Done) })
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	line, _ := json.Marshal(sum)
	fmt.Println("ended", string(line))
}

// killedAt copies in another process until it says that it is so far, or a random
// moment later, and kills it there. It returns the summary of a copy that ended.
func killedAt(t *testing.T, from, to, doing string, at int64) (sum store.Summary, begun int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), copyEnv+"="+from+" "+to)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun = -1
	var since time.Time // it is at it
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		var n int64
		_, _ = fmt.Sscan(rest, &n)
		switch {
		case what == "error":
			t.Fatalf("copy: %s", rest)
		case what == "ended":
			if err := json.Unmarshal([]byte(rest), &sum); err != nil {
				t.Fatal(err)
			}
		case begun < 0:
			begun = n
		}
		if what == doing && since.IsZero() {
			since = time.Now()
		}
		if what == doing && n >= at {
			time.Sleep(time.Duration(rand.Int64N(int64(time.Since(since))/8 + 1))) // somewhere in a batch, and before the end
			_ = cmd.Process.Kill()
			break
		}
	}
	_ = cmd.Wait()
	return sum, begun
}

// crowd fills a database with n events with bodies, of which two in three have
// been attempted, and returns its URL.
func crowd(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern.db")
	s, err := store.OpenSQLite(t.Context(), path, store.Options{Replica: "crowd"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	box, ctx := s.Inbox(), context.Background()
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < n; i += 64 {
				id := fmt.Sprintf("id-%07d", i)
				e := storetest.Event(id, id, strings.Repeat(id, rand.IntN(200)))
				if i%4 == 0 {
					e.Lane = fmt.Sprint("lane-", i%1000)
				}
				if _, _, err := storetest.Insert(ctx, box, e, "hook"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for done := 0; done < 2*n/3; {
		items, _, err := box.Claim(ctx, map[string]int{"hook": 1000}, time.Hour)
		if err != nil || len(items) == 0 {
			t.Fatalf("%d claimed, %v", len(items), err)
		}
		done += len(items)
		for i, it := range items {
			to := []inbound.State{inbound.Applied, inbound.Applied, inbound.Failed, inbound.Retrying}[i%4]
			wg.Go(func() {
				if err := box.Finish(ctx, it.Lease, inbound.Move{To: to, Due: time.Now().Add(time.Hour), Attempt: 1, Reason: string(to)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	return "sqlite:" + path
}

// TestCopyKilled kills a copy three times on the way, and once more while it
// compares; what ends is identical.
func TestCopyKilled(t *testing.T) {
	n := 3000
	if os.Getenv("POSTERN_SOAK") != "" {
		n = 200_000
	}
	began := time.Now()
	from := crowd(t, n)
	t.Logf("%d events stored in %v", n, time.Since(began).Round(time.Millisecond))
	for name, to := range map[string]string{"PostgreSQL": peers.Database(t), "SQLite": "sqlite:" + filepath.Join(t.TempDir(), "to.db")} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			var last int64
			for i, at := range []int{n / 5, n / 2, 4 * n / 5} {
				_, begun := killedAt(t, from, to, "copying", int64(at))
				if begun < last || i > 0 && begun == 0 {
					t.Errorf("kill %d: went on from %d, killed at %d before", i+1, begun, last)
				}
				last = int64(at)
			}
			killedAt(t, from, to, "verifying", int64(n/3))
			undisturbed := time.Now()
			sum, begun := killedAt(t, from, to, "never", 0)
			if begun != int64(n) || sum.Events != int64(n) || sum.Deliveries != int64(n) || sum.Moves < int64(n) {
				t.Errorf("ended with %+v, begun at %d", sum, begun)
			}
			t.Logf("copied and compared %d events, %d MiB of bodies, in %v with four kills; the last comparison took %v",
				n, sum.Bytes>>20, time.Since(began).Round(time.Millisecond), time.Since(undisturbed).Round(time.Millisecond))
			alike(t, from, to, n)
		})
	}
}

// alike looks at both databases as their users do.
func alike(t *testing.T, from, to string, n int) {
	t.Helper()
	a, err := store.Open(t.Context(), from, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := store.Open(t.Context(), to, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 200 {
		id := fmt.Sprintf("id-%07d", rand.IntN(n))
		for _, look := range []func(inbound.Store) (any, error){
			func(s inbound.Store) (any, error) { return s.Show(t.Context(), id) },
			func(s inbound.Store) (any, error) { return s.Body(t.Context(), id) },
		} {
			x, errX := look(a.Inbox())
			y, errY := look(b.Inbox())
			if errX != nil || errY != nil || !reflect.DeepEqual(plain(t, x), plain(t, y)) {
				t.Fatalf("%s: %v, %v\n%s\n%s", id, errX, errY, plain(t, x), plain(t, y))
			}
		}
	}
	x, errX := a.Inbox().Stats(t.Context())
	y, errY := b.Inbox().Stats(t.Context())
	if errX != nil || errY != nil || !reflect.DeepEqual(counts(x), counts(y)) {
		t.Errorf("counts %v, %v and %v, %v", counts(x), errX, counts(y), errY)
	}
}

// plain is v in words, times in UTC.
func plain(t *testing.T, v any) string {
	t.Helper()
	utc := func(at *time.Time) { *at = at.UTC() }
	switch v := v.(type) {
	case *inbound.Record:
		utc(&v.Received)
		utc(&v.Occurred)
		for i := range v.Deliveries {
			utc(&v.Deliveries[i].Due)
		}
		for i := range v.Trail {
			utc(&v.Trail[i].At)
			utc(&v.Trail[i].Received)
		}
	case *inbound.Event:
		v.Body = append([]byte{}, v.Body...)
		utc(&v.Received)
		utc(&v.Occurred)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
