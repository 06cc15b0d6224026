//go:build unix

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
)

// A thinProvider says that there is something new, and not what: that is on a list
// that goes on from a position, and is not always answered.
type thinProvider struct {
	*httptest.Server

	mu     sync.Mutex
	events []lossyEvent
	rnd    *rand.Rand
	making int // of positions: those before are not known any more
	resets int
}

func newThin(t *testing.T) *thinProvider {
	p := &thinProvider{rnd: rand.New(rand.NewPCG(3, 6))}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *thinProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	var q struct{ Position string }
	from := 0
	switch err := json.Unmarshal(text, &q); {
	case r.Header.Get("Authorization") != "Bearer list-key-0123456789" || r.Method != http.MethodPost || err != nil:
		w.WriteHeader(http.StatusUnauthorized)
	case p.rnd.IntN(20) == 0:
		w.WriteHeader(http.StatusServiceUnavailable)
	case q.Position == "":
		p.page(w, 0)
	default:
		making := 0
		if _, err := fmt.Sscanf(q.Position, "%d-%d", &making, &from); err != nil || making != p.making {
			p.resets++
			w.WriteHeader(http.StatusGone)
			return
		}
		p.page(w, from)
	}
}

func (p *thinProvider) page(w io.Writer, from int) {
	to := min(from+20, len(p.events))
	_ = json.NewEncoder(w).Encode(map[string]any{"entries": append([]lossyEvent{}, p.events[from:to]...), "position": fmt.Sprintf("%d-%d", p.making, to), "more": to < len(p.events)})
}

// add makes the nth change, and says how often to tell of it. forget has the provider
// know no position any more that it gave before.
func (p *thinProvider) add(n int, forget bool) (times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if forget {
		p.making++
	}
	p.events = append(p.events, lossyEvent{fmt.Sprintf("evt_%06d", n), "thing.updated", time.Now().UnixMilli(), fmt.Sprintf("obj_%d", n%17), n + 1})
	return p.rnd.IntN(3)
}

// await waits until the application has n changes.
func (a *lossyApp) await(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); a.count() < n && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	if got := a.count(); got != n {
		t.Fatalf("%d of %d changes were applied", got, n)
	}
}

const thinPolicy = `
provider "thin" {
  hosts    = ["thin.example"]
  upstream = %q
  credential "bearer" { token = file("key") }
}
webhook "thin" {
  path     = "/lossy"
  provider = "thin"
  verify "hmac" {
    header  = "X-Signature"
    secrets = [file("signing")]
    message = "${raw_body}"
  }
  event { repeat = "1s" }
  deliver { to = %q }
  reconcile {
    every  = "6h"
    wake   = true
    method = "POST"
    list   = "/changes"
    json   = { position = try(coalesce(response.body.position, cursor), null) }
    events = response.body.entries
    next   = response.body.more == true ? "/changes" : null
    cursor = response.body.position
    event {
      id   = item.id
      type = item.type
      key  = item.object
    }
  }
}
`

// thinRound has n changes made and pings of them sent, of which a third are lost and
// some come twice; Postern is killed twice, and its position forgotten in the end. The
// application ends with every change, each once.
func thinRound(t *testing.T, n int, store string) {
	p, app := newThin(t), newLossyApp(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "key"), "list-key-0123456789")
	put(t, filepath.Join(dir, "signing"), lossySecret)
	put(t, filepath.Join(dir, "seal"), seal.Generate())
	put(t, filepath.Join(dir, "postern.hcl"), "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n"+store)
	put(t, filepath.Join(dir, "thin.hcl"), fmt.Sprintf(thinPolicy, p.URL, app.URL))
	l := begin(t, dir, exact, nil, nil)
	ping := func() {
		body := `{"new":true}`
		req, _ := http.NewRequest(http.MethodPost, "http://"+l.inbound+"/lossy", strings.NewReader(body))
		mac := hmac.New(sha256.New, []byte(lossySecret))
		mac.Write([]byte(body))
		req.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("a ping was answered %d", resp.StatusCode)
		}
	}
	for i := range n - 1 {
		for range p.add(i, false) {
			ping()
		}
		if i%(n/2) == n/2-1 {
			ping() // the last that this process hears: the next one knows it from the store
			_ = l.Process.Kill()
			<-l.ended
			l = begin(t, dir, exact, nil, nil)
		}
		time.Sleep(20 * time.Millisecond)
	}
	app.await(t, n-1)
	p.add(n-1, true)
	ping()
	app.await(t, n)
	p.mu.Lock()
	defer p.mu.Unlock()
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.double > 0 || app.origins["backfill"] != n || len(app.origins) != 1 {
		t.Errorf("%d came under two of Postern's ids, by origin %v", app.double, app.origins)
	}
	for object, version := range app.objects {
		if p.events[version-1].Object != object || version <= n-17 {
			t.Errorf("%s ends with version %d", object, version)
		}
	}
	if p.resets == 0 {
		t.Error("the position was never forgotten")
	}
}

// TestThinProvider: the pings of a thin provider on both stores, over real sockets.
func TestThinProvider(t *testing.T) {
	t.Parallel()
	n := 60
	if os.Getenv("POSTERN_SOAK") != "" {
		n = 600
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		thinRound(t, n, "")
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		thinRound(t, n, fmt.Sprintf("store { url = %q }\nseal { keys = [file(\"seal\")] }\n", peers.Database(t)))
	})
}
