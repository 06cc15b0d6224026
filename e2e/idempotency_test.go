package e2e

import (
	crypto "crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/peers"
	"github.com/postern-proxy/postern/seal"
)

// keptPolicy is one provider that knows idempotency keys, and one that does not.
const keptPolicy = `
provider "knows" {
  hosts    = ["api.knows.test"]
  upstream = "KNOWS"
  idempotency {
    header = "Idempotency-Key"
    keep   = "1h"
  }
  retry { attempts = 1 }
}

provider "alone" {
  hosts    = ["api.alone.test"]
  upstream = "ALONE"
  idempotency {
    key  = request.header["Idempotency-Key"]
    keep = "1h"
  }
  retry { attempts = 1 }
}
`

// till is a provider that charges, and counts what it did for whom.
type till struct {
	*httptest.Server
	knows bool // keys, as Stripe does

	mu    sync.Mutex
	done  map[string][]string // account and key -> the answers of each execution
	given map[string]bool     // answers that an application had whole
	late  []string            // calls that came after that
	hold  chan struct{}       // calls wait for it before they are executed; nil is no wait
	came  chan string         // told of each call that waits
}

func newTill(t *testing.T, knows bool) *till {
	s := &till{knows: knows, done: map[string][]string{}, given: map[string]bool{}, came: make(chan string, 1000)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name := r.Header.Get("X-For") + " " + r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	if s.given[name] {
		s.late = append(s.late, name)
	}
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		s.came <- name
		<-hold
	} else {
		time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
	}
	s.mu.Lock()
	text := ""
	if all := s.done[name]; s.knows && len(all) > 0 {
		text = all[0]
	} else {
		noise := make([]byte, 20+rand.IntN(3000))
		_, _ = crypto.Read(noise)
		text = fmt.Sprintf("%s|%d|%s|%s", name, len(all)+1, body, hex.EncodeToString(noise))
		s.done[name] = append(all, text)
	}
	s.mu.Unlock()
	if hold == nil {
		time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
	}
	w.Header().Set("X-Charge", name)
	w.Header().Add("Set-Cookie", "session="+name)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, text)
}

// wait makes calls wait from now on, until the function that it returns is called.
func (s *till) wait() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
	return func() {
		s.mu.Lock()
		s.hold = nil
		s.mu.Unlock()
		close(hold)
	}
}

// charge makes one call of an account under a key.
func charge(p *harness.Postern, c *http.Client, provider, account, key string) (harness.Answer, error) {
	return harness.Do(c, http.MethodPost, "http://"+p.Proxy+"/p/"+provider+"@"+account+"/charges", "amount=100&for="+account, "Idempotency-Key", key, "X-For", account)
}

// receipts are the whole answers that applications had.
type receipts struct {
	mu   sync.Mutex
	all  map[string]string // provider, account and key
	bad  []string
	seen map[string]int // sources
}

// take notes an answer, and compares it with the first one. It reports whether it is one.
func (r *receipts) take(s *till, provider, account, key string, a harness.Answer) bool {
	if a.Status != http.StatusCreated || a.Broken != nil {
		return false
	}
	name := account + " " + key
	s.mu.Lock()
	s.given[name] = true
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	source := a.Header.Get("Postern-Source")
	r.seen[source]++
	first, again := r.all[provider+name]
	r.all[provider+name] = a.Body
	switch {
	case again && first != a.Body:
		r.bad = append(r.bad, fmt.Sprintf("%s at %s: another answer than before (%s)", name, provider, source))
	case !strings.HasPrefix(a.Body, name+"|1|amount=100&for="+account+"|") || a.Header.Get("X-Charge") != name:
		r.bad = append(r.bad, fmt.Sprintf("%s at %s got %.60q", name, provider, a.Body))
	case source == "replay" && (a.Header.Get("Idempotent-Replayed") != "true" || a.Header.Get("Set-Cookie") != ""):
		r.bad = append(r.bad, fmt.Sprintf("%s at %s: replayed with %v", name, provider, a.Header))
	}
	return true
}

// judge says what is wrong with what the provider did.
func (r *receipts) judge(t *testing.T, provider string, s *till) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, all := range s.done {
		if len(all) > 1 {
			t.Errorf("%s: %s was charged %d times", provider, name, len(all))
		}
	}
	for _, name := range s.late {
		t.Errorf("%s: %s was sent after its answer was given", provider, name)
	}
}

func startKept(t *testing.T, main string, knows, alone *till, options ...harness.Option) *harness.Postern {
	return harness.New(t, harness.Files{
		"postern.hcl":  harness.Main + main,
		"provider.hcl": strings.NewReplacer("KNOWS", knows.URL, "ALONE", alone.URL).Replace(keptPolicy),
	}, options...)
}

// TestKill9Calls kills the process at random instants while calls under keys are made and repeated, by two tenants with
// the same keys. Nobody is charged twice, every repeat gets the bytes of the first answer, and nobody a byte of another.
func TestKill9Calls(t *testing.T) {
	harness.Binary(t)
	tills := map[string]*till{"knows": newTill(t, true), "alone": newTill(t, false)}
	p := startKept(t, "", tills["knows"], tills["alone"])
	p.Run()
	r := &receipts{all: map[string]string{}, seen: map[string]int{}}
	rounds, keys, calls := 4*harness.Soak(), 0, 0
	var mu sync.Mutex
	for round := range rounds {
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for n := range 8 {
			provider := []string{"knows", "alone"}[n%2]
			account := []string{"acct_a", "acct_b"}[n/2%2]
			senders.Go(func() {
				c := new(http.Client)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key := fmt.Sprintf("order-%d-%d", round, (i+n/4)/3) // each a few times, by two senders at once
					mu.Lock()
					calls++
					mu.Unlock()
					if a, err := charge(p, c, provider, account, key); err == nil {
						r.take(tills[provider], provider, account, key, a)
					}
				}
			})
		}
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		p.Kill()
		close(stop)
		senders.Wait()
		p.Run()
	}
	// What was under way is resolved: an answer, or the word that nobody knows.
	unknown := 0
	for provider, s := range tills {
		s.mu.Lock()
		var names []string
		for name := range s.done {
			names = append(names, name)
		}
		s.mu.Unlock()
		c := new(http.Client)
		for _, name := range names {
			keys++
			account, key, _ := strings.Cut(name, " ")
			a, err := charge(p, c, provider, account, key)
			if err == nil && r.take(s, provider, account, key, a) {
				continue
			}
			problem, perr := a.Problem()
			if err != nil || perr != nil || provider != "alone" || problem.Code != "unreachable" || problem.Executed != "maybe" || problem.Hint == "" {
				t.Errorf("%s at %s: %v, %d %s", name, provider, err, a.Status, a.Body)
				continue
			}
			unknown++
		}
		r.judge(t, provider, s)
	}
	for _, b := range r.bad[:min(len(r.bad), 10)] {
		t.Error(b)
	}
	if r.seen["replay"] == 0 || r.seen["provider"] == 0 {
		t.Errorf("answers came from %v: the test cannot see", r.seen)
	}
	t.Logf("%d kills, %d calls under %d keys, answers from %v; of %d nobody knows, and they say so", rounds, calls, keys, r.seen, unknown)
}

// TestKilledBetweenSentAndAnswered: the kill falls while the provider has the call. The provider that knows keys is asked
// again under the same one; the other is not, and the application is told that nobody knows.
func TestKilledBetweenSentAndAnswered(t *testing.T) {
	harness.Binary(t)
	knows, alone := newTill(t, true), newTill(t, false)
	p := startKept(t, "", knows, alone)
	p.Run()
	for _, s := range []struct {
		provider string
		*till
	}{{"knows", knows}, {"alone", alone}} {
		release := s.wait()
		ended := make(chan error)
		go func() {
			_, err := charge(p, new(http.Client), s.provider, "acct_a", "order-1")
			ended <- err
		}()
		within(t, s.came)
		p.Kill()
		if err := <-ended; err == nil {
			t.Error("there was an answer")
		}
		release()
		p.Run()
		a, err := charge(p, new(http.Client), s.provider, "acct_a", "order-1")
		if err != nil {
			t.Fatal(err)
		}
		if s.provider == "knows" {
			if a.Status != http.StatusCreated || a.Header.Get("Postern-Source") != "provider" {
				t.Errorf("%d %s from %s", a.Status, a.Body, a.Header.Get("Postern-Source"))
			}
		} else if problem, err := a.Problem(); err != nil || problem.Executed != "maybe" || problem.Code != "unreachable" || problem.Hint == "" {
			t.Errorf("%d %s, %v", a.Status, a.Body, err)
		}
		if n := len(s.done["acct_a order-1"]); n != 1 {
			t.Errorf("%s: charged %d times", s.provider, n)
		}
	}
}

// TestTwoProcessesOneKey: repeats arrive at two processes on one PostgreSQL at once. One call is made, and all get its
// bytes. When the process that makes it is killed, the other does not wait for ever.
func TestTwoProcessesOneKey(t *testing.T) {
	harness.Binary(t)
	pg := peers.Shared(t)
	url := pg.URL(database(t, pg))
	knows, alone := newTill(t, true), newTill(t, false)
	tills := map[string]*till{"knows": knows, "alone": alone}
	sealKey := harness.WithEnv("SEAL", seal.Generate())
	const main = "store { url = env(\"DATABASE_URL\") }\nseal { keys = [env(\"SEAL\")] }\n"
	var both []*harness.Postern
	for _, name := range []string{"one", "two"} {
		p := startKept(t, main, knows, alone, harness.WithEnv("DATABASE_URL", url), sealKey, harness.WithEnv("POSTERN_REPLICA", name))
		p.Run()
		both = append(both, p)
	}
	r := &receipts{all: map[string]string{}, seen: map[string]int{}}
	inFlight := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range 8 {
		p, account := both[n%2], []string{"acct_a", "acct_b"}[n/2%2]
		all.Go(func() {
			c := new(http.Client)
			for i := range 40 * harness.Soak() {
				for provider, s := range tills {
					for tries := 0; ; tries++ {
						a, err := charge(p, c, provider, account, fmt.Sprint("order-", i))
						if err != nil || a.Status != http.StatusConflict && a.Status != http.StatusCreated || tries > 500 {
							t.Errorf("%v, %d %s", err, a.Status, a.Body)
							return
						}
						if r.take(s, provider, account, fmt.Sprint("order-", i), a) {
							break
						}
						if a.Header.Get("Retry-After") != "1" {
							t.Errorf("409 with %v", a.Header)
						}
						mu.Lock()
						inFlight++
						mu.Unlock()
						time.Sleep(5 * time.Millisecond)
					}
				}
			}
		})
	}
	all.Wait()
	for provider, s := range tills {
		r.judge(t, provider, s)
	}
	for _, b := range r.bad[:min(len(r.bad), 10)] {
		t.Error(b)
	}
	if r.seen["replay"] == 0 || inFlight == 0 {
		t.Errorf("answers from %v, %d in flight: the test cannot see", r.seen, inFlight)
	}
	t.Logf("answers from %v, %d times in flight", r.seen, inFlight)

	release := knows.wait()
	go func() { _, _ = charge(both[0], new(http.Client), "knows", "acct_a", "last") }()
	within(t, knows.came)
	both[0].Kill()
	release()
	start, c := time.Now(), new(http.Client)
	for {
		a, err := charge(both[1], c, "knows", "acct_a", "last")
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == http.StatusCreated {
			break
		}
		if a.Status != http.StatusConflict || time.Since(start) > time.Minute {
			t.Fatalf("after %v: %d %s", time.Since(start), a.Status, a.Body)
		}
		time.Sleep(time.Second)
	}
	if n := len(knows.done["acct_a last"]); n != 1 {
		t.Errorf("charged %d times", n)
	}
	t.Logf("the call of the killed process was resolved by the other after %v", time.Since(start).Round(time.Second))
}

// within waits for a call, not for ever.
func within(t *testing.T, came chan string) {
	t.Helper()
	select {
	case <-came:
	case <-time.After(10 * time.Second):
		t.Fatal("no call has come")
	}
}
