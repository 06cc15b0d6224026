package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/disk"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// bench is an inbox whose database is on a disk of its own, and an application.
type bench struct {
	*harness.Postern
	disk *disk.Disk
	app  *receiver.Receiver
	l    *ledger
}

func newBench(t *testing.T, size int64) *bench {
	t.Helper()
	harness.Binary(t)
	d := disk.New(t, size)
	app := application(t, func(receiver.Delivery) int { return http.StatusOK })
	main := harness.Main + fmt.Sprintf("store { url = %q }\n", "sqlite:"+filepath.Join(d.Dir, "postern.db"))
	p := harness.New(t, harness.Files{"postern.hcl": main, "hook.hcl": strings.ReplaceAll(killPolicy, "RECEIVER", app.URL)}, harness.WithEnv("SECRET", killSecret))
	p.Run()
	return &bench{p, d, app, &ledger{body: map[string]string{}, acked: map[string]bool{}}}
}

// during sends events from several connections while do runs.
func (b *bench) during(prefix string, do func()) {
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() { b.l.send(b.Postern, fmt.Sprintf("%s_%d", prefix, s), stop) })
	}
	do()
	close(stop)
	senders.Wait()
}

// acknowledged is how many events were so far.
func (b *bench) acknowledged() int {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	return len(b.l.acked)
}

// check demands that everything that was acknowledged is applied, once but for repeats over these outages.
func (b *bench) check(t *testing.T, outages []outage) {
	t.Helper()
	acked := b.acknowledged()
	b.l.settle(t, b.Postern)
	all, err := b.app.Wait(2*time.Minute, func(all []receiver.Delivery) bool { return len(applied(all)) >= len(b.l.ids) })
	if err != nil {
		t.Error(err)
	}
	waitMetric(t, b.Postern, "postern_inbox_events", float64(len(b.l.ids)), `status="applied"`)
	wrong, repeats := faultsOf(b.l, b.app.Deliveries(), outages)
	for _, w := range wrong[:min(len(wrong), 20)] {
		t.Error(w)
	}
	t.Logf("%d faults: %d events, %d acknowledged before the end, %d deliveries, %d repeats across an outage", len(outages), len(b.l.ids), acked, len(all), repeats)
}

// died waits for the end of the process.
func (b *bench) died(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if !b.Alive() {
			return true
		}
	}
	return false
}

// TestF2KilledAtNthFsync kills the process at the very system call that makes a commit durable.
func TestF2KilledAtNthFsync(t *testing.T) {
	b := newBench(t, 256)
	var outages []outage
	for round := range 3 * harness.Soak() {
		// strace counts the calls of each thread by itself.
		stop := disk.Inject(t, b.Pid(), "fsync,fdatasync", fmt.Sprintf("signal=KILL:when=%d", 1+rand.IntN(25)))
		o := outage{from: time.Now()}
		b.during(fmt.Sprint("evt_", round), func() {
			if !b.died(30 * time.Second) {
				t.Error("it was not killed")
			}
		})
		stop()
		b.Kill()
		b.Run()
		o.to = time.Now()
		outages = append(outages, o)
	}
	b.check(t, outages)
}

// TestF3PowerCut loses everything that was not flushed: what was acknowledged is there.
func TestF3PowerCut(t *testing.T) {
	b := newBench(t, 256)
	var outages []outage
	rounds := 2
	if harness.Soak() > 1 {
		rounds = 10
	}
	for round := range rounds {
		o := outage{}
		b.during(fmt.Sprint("evt_", round), func() {
			time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond)
			o.from = time.Now()
			b.disk.PowerOff()
			time.Sleep(100 * time.Millisecond) // whatever is acknowledged now is a lie
			b.Kill()
		})
		b.disk.PowerOn()
		b.Run()
		o.to = time.Now()
		outages = append(outages, o)
	}
	b.check(t, outages)
}

// answers sends one event after another until enough, and counts the answers by status.
func (b *bench) answers(t *testing.T, prefix string, enough func(map[int]int) bool) map[int]int {
	t.Helper()
	counts := map[int]int{}
	deadline := time.Now().Add(time.Minute)
	for n := 0; !enough(counts) && time.Now().Before(deadline); n++ {
		id, body := fmt.Sprintf("%s_%d", prefix, n), ""
		b.l.mu.Lock()
		body = fmt.Sprintf(`{"id":%q,"type":"thing.updated","pad":%q}`, id, strings.Repeat("x", 3000))
		b.l.ids, b.l.body[id] = append(b.l.ids, id), body
		b.l.mu.Unlock()
		status, answer, err := send(b.Inbound, signStripe("/stripe", killSecret, body, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		counts[status]++
		if status == http.StatusOK {
			b.l.mu.Lock()
			b.l.acked[id] = true
			b.l.mu.Unlock()
		} else if status == http.StatusServiceUnavailable && !strings.Contains(answer, "send it again") {
			t.Errorf("a 503 that says %q", answer)
		}
	}
	for status := range counts {
		if status != http.StatusOK && status != http.StatusServiceUnavailable {
			t.Errorf("%d answers with %d", counts[status], status)
		}
	}
	return counts
}

// wellAgain demands that events are taken again, without a restart.
func (b *bench) wellAgain(t *testing.T, prefix string, before int) {
	t.Helper()
	got := b.answers(t, prefix, func(c map[int]int) bool { return c[http.StatusOK] >= 20 })
	if got[http.StatusOK] < 20 || b.Pid() != before {
		t.Errorf("not well again: %v", got)
	}
}

// TestF5DiskFullService: a full disk is 503 for senders; what was stored is read, and all goes on when there is room.
func TestF5DiskFullService(t *testing.T) {
	b := newBench(t, 24)
	pid := b.Pid()
	b.answers(t, "before", func(c map[int]int) bool { return c[http.StatusOK] >= 50 })
	ballast := b.disk.Fill()
	full := b.answers(t, "full", func(c map[int]int) bool { return c[http.StatusServiceUnavailable] >= 20 })
	if full[http.StatusServiceUnavailable] < 20 {
		t.Fatalf("the disk never filled up: %v", full)
	}
	if status, _, err := b.Get("/api/v1/inbox/events?limit=5"); status != http.StatusOK || err != nil {
		t.Errorf("reading: %d %v", status, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b.wellAgain(t, "after", pid)
	b.check(t, nil)
}

// TestF6FsyncFails: commits that cannot be made durable are not acknowledged, and what was acknowledged outlives a power
// cut that follows.
func TestF6FsyncFails(t *testing.T) {
	for _, fault := range []struct{ name, calls, how string }{
		{"fsync", "fsync,fdatasync", "error=EIO:when=1+2"},
		{"every fsync", "fsync,fdatasync", "error=EIO"},
		{"F7 write", "pwrite64", "error=EIO:when=3+3"},
		{"F11 read-only", "pwrite64,ftruncate,fsync,fdatasync", "error=EROFS"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			b := newBench(t, 128)
			pid := b.Pid()
			b.answers(t, "before", func(c map[int]int) bool { return c[http.StatusOK] >= 30 })
			from := time.Now()
			stop := disk.Inject(t, pid, fault.calls, fault.how)
			bad := b.answers(t, "bad", func(c map[int]int) bool { return c[http.StatusServiceUnavailable] >= 10 })
			if bad[http.StatusServiceUnavailable] < 10 {
				t.Errorf("nothing was refused: %v", bad)
			}
			stop()
			if !b.Alive() {
				t.Fatal("it ended")
			}
			b.wellAgain(t, "after", pid)
			b.disk.PowerOff()
			b.Kill()
			b.disk.PowerOn()
			b.Run()
			b.check(t, []outage{{from, time.Now()}})
		})
	}
}

// TestF8SlowDisk: with a flush of 200 ms senders wait for a few of them, and are asked to come again before they would
// give up.
func TestF8SlowDisk(t *testing.T) {
	b := newBench(t, 128)
	disk.Inject(t, b.Pid(), "fsync,fdatasync", "delay_enter=200000")
	var slowest, taken, refused atomic.Int64
	var senders sync.WaitGroup
	for s := range 64 {
		senders.Go(func() {
			for n := range 10 {
				body := fmt.Sprintf(`{"id":"evt_%d_%d","type":"thing.updated"}`, s, n)
				start := time.Now()
				status, _, err := send(b.Inbound, signStripe("/stripe", killSecret, body, start))
				for took := int64(time.Since(start)); took > slowest.Load(); {
					slowest.Store(took)
				}
				switch {
				case err != nil:
					t.Error(err)
				case status == http.StatusOK:
					taken.Add(1)
				case status == http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("answer %d", status)
				}
			}
		})
	}
	senders.Wait()
	t.Logf("%d taken, %d asked to come again, the slowest answer after %v", taken.Load(), refused.Load(), time.Duration(slowest.Load()))
	if taken.Load() == 0 || slowest.Load() > int64(10*time.Second) {
		t.Error("a slow disk is not shed")
	}
}

// TestF9TwoProcesses: a second process on the same file ends with a reason, and harms nothing.
func TestF9TwoProcesses(t *testing.T) {
	b := newBench(t, 128)
	b.answers(t, "before", func(c map[int]int) bool { return c[http.StatusOK] >= 10 })
	second := harness.New(t, harness.Files{"postern.hcl": harness.Main + fmt.Sprintf("store { url = %q }\n", "sqlite:"+filepath.Join(b.disk.Dir, "postern.db"))})
	if err := second.TryRun(); err == nil || !strings.Contains(second.Stderr(), fmt.Sprintf("another Postern (process %d) uses it", b.Pid())) {
		t.Errorf("the second: %v\n%s", err, second.Stderr())
	}
	b.wellAgain(t, "after", b.Pid())
	b.check(t, nil)
}

// TestF10DamagedDatabase: damage is found at the start, named, and nothing is acknowledged over it.
func TestF10DamagedDatabase(t *testing.T) {
	b := newBench(t, 128)
	b.answers(t, "before", func(c map[int]int) bool { return c[http.StatusOK] >= 300 })
	b.Stop()
	path := filepath.Join(b.disk.Dir, "postern.db")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	noise := []byte(strings.Repeat("\xa5", 4096))
	for page := int64(2); page < st.Size()/4096; page += 3 {
		if _, err := f.WriteAt(noise, page*4096); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if err := b.TryRun(); err == nil || !strings.Contains(b.Stderr(), "the database is damaged") {
		t.Errorf("started on a damaged database: %v\n%s", err, b.Stderr())
	}
}
