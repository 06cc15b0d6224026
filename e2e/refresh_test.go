package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/rotating"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

const refreshPolicy = `
provider "shop" {
  hosts    = ["api.shop.example"]
  upstream = "PROVIDER"
  credential "oauth2" {
    authorize_url = "PROVIDER/authorize"
    token_url     = "PROVIDER/token"
    client_id     = "postern"
    client_secret = [env("CLIENT_SECRET")]
  }
  timeout { total = "90s" }
}
`

// granting puts grants into the database of processes, as the callback of a customer does.
type granting struct {
	t      *testing.T
	server *rotating.Server
	key    string
	keeper *connection.Keeper
	source *connection.Source
}

type noObserver struct{}

func (noObserver) Renewed(string, string)                {}
func (noObserver) Expires(connection.Key, time.Time)     {}
func (noObserver) Moved(connection.Key, connection.Move) {}
func (noObserver) Alarm(connection.Key, string)          {}
func (noObserver) Trouble(string, error)                 {}

func newGranting(t *testing.T, url string) *granting {
	t.Helper()
	g := &granting{t: t, server: rotating.New(), key: seal.Generate(), source: &connection.Source{Provider: "shop", Credential: "oauth2", Hosts: []string{"api.shop.example"}, Person: true}}
	t.Cleanup(g.server.Close)
	db, err := store.Open(t.Context(), url, store.Options{Replica: "granting"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	key, err := seal.Parse(g.key)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	g.keeper = connection.NewKeeper(connection.Options{
		Store: db.Connections(), Ring: func() (*seal.Ring, error) { return ring, nil }, Holder: "granting", Shared: true,
		Observer: noObserver{}, Guard: func(...string) {}, Random: rand.Float64,
	})
	return g
}

// expired grants an account a token that has expired already.
func (g *granting) expired(account string) {
	g.t.Helper()
	access, refresh := g.server.Grant(account)
	token := &oauth.Token{Access: access, Refresh: refresh, Expiry: time.Now().Add(-time.Minute), Raw: []byte("{}")}
	if _, err := g.keeper.Grant(g.t.Context(), g.source, account, token, "test"); err != nil {
		g.t.Fatal(err)
	}
}

// process is one that shares the database.
func (g *granting) process(name, url string) *harness.Postern {
	return harness.New(g.t, harness.Files{
		"postern.hcl": harness.Main + "store { url = env(\"DATABASE_URL\") }\nseal { keys = [env(\"SEAL\")] }\n",
		"shop.hcl":    strings.ReplaceAll(refreshPolicy, "PROVIDER", g.server.URL),
	}, harness.WithEnv("DATABASE_URL", url), harness.WithEnv("SEAL", g.key), harness.WithEnv("CLIENT_SECRET", "client-secret-0123456789"), harness.WithEnv("POSTERN_REPLICA", name))
}

// orders makes one call for an account by a base URL, and returns the status.
func orders(c *http.Client, p *harness.Postern, account string) (int, string) {
	a, err := harness.Do(c, http.MethodGet, "http://"+p.Proxy+"/p/shop@"+account+"/orders", "")
	if err != nil {
		return 0, err.Error()
	}
	return a.Status, a.Body
}

// TestC60TwoProcesses: fifty callers in each of two processes find a rotating token expired. It is asked for once, and
// everybody succeeds.
func TestC60TwoProcesses(t *testing.T) {
	harness.Binary(t)
	pg := peers.Shared(t)
	url := pg.URL(database(t, pg))
	g := newGranting(t, url)
	all := []*harness.Postern{g.process("one", url), g.process("two", url)}
	runAll(t, all)
	c := &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer c.CloseIdleConnections()
	for round := range 20 {
		account := fmt.Sprintf("acct%d", round%3) // known to both, or new
		g.expired(account)
		time.Sleep(1100 * time.Millisecond) // until both have seen it
		var wrong atomic.Int64
		var wg sync.WaitGroup
		for _, p := range all {
			for range 50 {
				wg.Go(func() {
					if status, body := orders(c, p, account); status != http.StatusOK && wrong.Add(1) == 1 {
						t.Errorf("round %d: %d %s", round, status, body)
					}
				})
			}
		}
		wg.Wait()
		if n := g.server.Requests(account); n != 1 || g.server.Ended(account) {
			t.Errorf("round %d: %d token requests, ended %v", round, n, g.server.Ended(account))
		}
	}
}

// TestC61Kill9: a process is killed while it renews the tokens of many accounts, each at another step. Another one has
// a token for each of them, or says that the grant is lost; it asks for none more than once more.
func TestC61Kill9(t *testing.T) {
	harness.Binary(t)
	const accounts = 40
	kept, lost := 0, 0
	for round := range harness.Soak() {
		pg := peers.Shared(t)
		url := pg.URL(database(t, pg))
		g := newGranting(t, url)
		g.server.Asked = func(account string) { time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) }
		for n := range accounts {
			g.expired(fmt.Sprint("acct", n))
		}
		victim, heir := g.process("victim", url), g.process("heir", url)
		runAll(t, []*harness.Postern{victim, heir})
		c := &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableKeepAlives: true}}
		var wg sync.WaitGroup
		for n := range accounts {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
				orders(c, victim, fmt.Sprint("acct", n))
			})
		}
		time.Sleep(time.Duration(30+rand.IntN(60)) * time.Millisecond)
		victim.Kill()
		wg.Wait()
		g.server.Asked = nil
		var mu sync.Mutex
		var gone []string
		for n := range accounts {
			wg.Go(func() {
				account := fmt.Sprint("acct", n)
				before := g.server.Requests(account)
				status, body := orders(c, heir, account)
				for range 5 { // never a loop
					if again, _ := orders(c, heir, account); again != status {
						t.Errorf("round %d, %s: %d, then %d", round, account, status, again)
					}
				}
				if n := g.server.Requests(account) - before; n > 1 {
					t.Errorf("round %d, %s: asked for %d times more", round, account, n)
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status == http.StatusOK:
					kept++
				case status == http.StatusFailedDependency && strings.Contains(body, "needs_connection"):
					gone = append(gone, account)
				default:
					t.Errorf("round %d, %s: %d %s", round, account, status, body)
				}
			})
		}
		wg.Wait()
		time.Sleep(200 * time.Millisecond) // the log is written in turns
		for _, account := range gone {
			if !strings.Contains(heir.Stderr(), `has to be connected again","replica":"`) || !strings.Contains(heir.Stderr(), `"account":"`+account+`","kind":"oauth2"`) {
				t.Errorf("round %d, %s: the grant is lost, and nobody was told", round, account)
			}
		}
		lost += len(gone)
	}
	t.Logf("%d grants were kept, %d lost with an alarm", kept, lost)
	if kept == 0 {
		t.Error("none was kept")
	}
}
