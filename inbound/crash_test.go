package inbound_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
)

// A test binary with crashDB in its environment is an inbox that is there to be
// killed: a database, a listener, and the application at crashApp.
const (
	crashDB  = "POSTERN_TEST_CRASH_DB"
	crashApp = "POSTERN_TEST_CRASH_APP"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashDB); path != "" {
		victim(path, os.Getenv(crashApp))
		return
	}
	goleak.VerifyTestMain(m)
}

func crashPolicy(app string) string {
	s := signers[0]
	return strings.Replace(s.source("event { id = body.id }"), "http://127.0.0.1:1/", app, 1)
}

func victim(path, app string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	db, err := store.OpenSQLite(context.Background(), path, store.Options{})
	fail(err)
	set, diags := load(crashPolicy(app), "SECRET="+signers[0].secret, "NEXT=the key of next month")
	if diags.HasErrors() {
		fail(diags)
	}
	// Leases of half a minute would outlast the test.
	in := inbound.New(inbound.Options{Store: brief{db.Inbox()}})
	in.Swap(set)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println("http://" + l.Addr().String())
	go in.Run(context.Background())
	fail(in.Server().Serve(l))
}

// brief shortens the leases of a store.
type brief struct{ inbound.Store }

func (b brief) Claim(ctx context.Context, want map[string]int, _ time.Duration) (items []queue.Item[inbound.Delivery], next time.Time, err error) {
	return b.Store.Claim(ctx, want, 200*time.Millisecond)
}

// process is one life of the inbox.
type process struct {
	*exec.Cmd
	url string
}

func start(t *testing.T, path, app string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDB+"="+path, crashApp+"="+app)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://") {
		t.Fatalf("the inbox began with %q, %v", line, err)
	}
	p := &process{cmd, strings.TrimSpace(line)}
	t.Cleanup(p.kill) // also if the test ends early
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// TestF1KillDuringIngestAndDelivery: every acknowledged event is applied in the
// end, and duplicates that were sent meanwhile are the same event.
func TestF1KillDuringIngestAndDelivery(t *testing.T) {
	rounds := 4
	if os.Getenv("POSTERN_SOAK") != "" {
		rounds = 30
	}
	var mu sync.Mutex
	seen := map[string]map[string]int{} // by provider id, by Postern-Event-Id
	a := newApp(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Postern-Provider-Event-Id")
		if seen[id] == nil {
			seen[id] = map[string]int{}
		}
		seen[id][r.Header.Get("Postern-Event-Id")]++
	})
	path := filepath.Join(t.TempDir(), "postern.db")
	acked := map[string]bool{}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	for round := range rounds {
		p, before := start(t, path, a.URL), count()
		done := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					// Two senders share their ids, and each sends those of the round before.
					id := fmt.Sprintf("evt_%d_%d_%d", max(round-i%2, 0), w/2, i)
					body := fmt.Sprintf(`{"id":%q}`, id)
					req, _ := http.NewRequest("POST", p.url+"/hook", strings.NewReader(body))
					req.Header = signers[0].sign(signers[0].secret, now(), body)
					resp, err := client.Do(req)
					if err != nil {
						continue
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode == 200 {
						mu.Lock()
						acked[id] = true
						mu.Unlock()
					}
				}
			})
		}
		eventually(t, "some are acknowledged", func() bool { return count() >= before+10 })
		time.Sleep(time.Duration(30+rand.IntN(300)) * time.Millisecond)
		p.kill()
		close(done)
		wg.Wait()
	}
	start(t, path, a.URL)
	eventually(t, "every acknowledged event is applied", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for id := range acked {
			if seen[id] == nil {
				return false
			}
		}
		return true
	})
	mu.Lock()
	defer mu.Unlock()
	again := 0
	for id, by := range seen {
		if len(by) != 1 {
			t.Errorf("%s was delivered as %d events", id, len(by))
		}
		for _, n := range by {
			again += n - 1
		}
	}
	if len(acked) < 10*rounds {
		t.Errorf("only %d events were acknowledged", len(acked))
	}
	t.Logf("%d rounds: %d events acknowledged, %d delivered, %d deliveries repeated under the same id", rounds, len(acked), len(seen), again)
}
