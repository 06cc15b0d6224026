package connection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
)

// flaky is a store that can be out of order, and that a process can lose.
type flaky struct {
	connection.Store
	mu   sync.Mutex
	down bool
	dead bool                        // the process is: nothing that it writes arrives
	hook func(connection.Row, error) // after a write
}

var errDown = errors.New("the store is down")

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down || f.dead {
		return errDown
	}
	return nil
}

func (f *flaky) Load(ctx context.Context, k connection.Key) (connection.Row, error) {
	if err := f.err(); err != nil {
		return connection.Row{}, err
	}
	return f.Store.Load(ctx, k)
}

func (f *flaky) Save(ctx context.Context, r connection.Row, m connection.Move) (connection.Row, error) {
	if err := f.err(); err != nil {
		return connection.Row{}, err
	}
	saved, err := f.Store.Save(ctx, r, m)
	if f.hook != nil {
		f.hook(saved, err)
	}
	return saved, err
}

// TestP35StoreFails: when a new token cannot be stored it is used all the same,
// the alarm is raised, and it is stored once that is possible. The refresh token
// before it is never sent again.
func TestP35StoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		f := &flaky{Store: w.store}
		w.store = f
		k := w.process("one", false)
		w.connect(k, "a")
		time.Sleep(2 * time.Hour)
		f.hook = func(r connection.Row, err error) {
			if r.State == connection.Refreshing {
				f.set(true)
			}
		}
		got := w.token(k, "a")
		if !w.server.takesToken(got) || !w.log.has("ALARM shop/a: a new token could not be stored") {
			t.Fatalf("got %s, %q", got, w.log.lines)
		}
		time.Sleep(30 * time.Minute)
		if again := w.token(k, "a"); again != got {
			t.Fatalf("during the outage: %s", again)
		}
		f.hook = nil
		f.set(false)
		time.Sleep(11 * time.Second)
		if r := w.row("a"); r.Generation != 2 || r.State != connection.Active {
			t.Fatalf("after the outage: generation %d, %s", r.Generation, r.State)
		}
		time.Sleep(25 * time.Minute) // renewed with the right refresh token
		w.token(k, "a")
		time.Sleep(time.Second)
		if got := w.token(k, "a"); !w.server.takesToken(got) || w.server.requests() != 2 {
			t.Errorf("%s, %d requests", got, w.server.requests())
		}
	})
}

// TestC60NeverOverwritten: a process that was stopped in the middle of a renewal
// and comes back late writes its answer only over the generation it asked for.
func TestC60NeverOverwritten(t *testing.T) {
	for _, name := range []string{"granted again", "revoked"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, newServer(time.Hour))
				late, other := w.process("late", true), w.process("other", true)
				w.connect(late, "a")
				time.Sleep(2 * time.Hour)
				w.server.takes = 10 * time.Second
				done := make(chan error, 1)
				go func() {
					_, _, err := late.Token(t.Context(), time.Time{}, w.source, "a")
					done <- err
				}()
				time.Sleep(time.Second)
				if name == "revoked" {
					if _, err := other.Revoke(t.Context(), w.row("a").Key, "a person said so", "me"); err != nil {
						t.Fatal(err)
					}
				} else {
					w.connect(other, "a")
				}
				before := w.row("a")
				err := <-done
				after := w.row("a")
				if after.Generation != before.Generation || string(after.Access) != string(before.Access) || after.State != before.State {
					t.Errorf("the late answer was written: %s generation %d -> %s generation %d", before.State, before.Generation, after.State, after.Generation)
				}
				if name == "revoked" && state(err) != connection.Revoked || name != "revoked" && err != nil {
					t.Errorf("the late caller got %v", err)
				}
			})
		})
	}
}

// TestC63Revoke: a connection that is revoked in one process is refused in all of
// them within a second; the provider is told, later if it is down.
func TestC63Revoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		one, two := w.process("one", true), w.process("two", true)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { two.Watch(ctx) })
		wg.Go(func() { one.Tend(ctx) })
		defer func() { stop(); wg.Wait() }()
		w.connect(one, "a")
		w.token(one, "a")
		w.token(two, "a")
		time.Sleep(10 * time.Second)
		w.server.mu.Lock()
		w.server.fail = func(int) error { return &oauth.Error{Status: 503, Executed: true} }
		w.server.mu.Unlock()
		r, err := one.Revoke(t.Context(), w.row("a").Key, "the customer left", "me")
		if err != nil || r.State != connection.Revoked || r.RevokeDue.IsZero() {
			t.Fatalf("%v, %+v", err, r)
		}
		if _, _, err := one.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.Revoked {
			t.Errorf("here: %v", err)
		}
		time.Sleep(time.Second)
		if _, _, err := two.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.Revoked {
			t.Errorf("there: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if w.server.revoked["refresh-token-1"] != 0 || w.row("a").RevokeDue.IsZero() {
			t.Error("the provider was down")
		}
		w.server.mu.Lock()
		w.server.fail = nil
		w.server.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if r := w.row("a"); w.server.revoked["refresh-token-1"] != 1 || !r.RevokeDue.IsZero() || len(r.Refresh) != 0 {
			t.Errorf("the provider was told %d times; %d bytes are left", w.server.revoked["refresh-token-1"], len(r.Refresh))
		}
	})
}

// TestIdleGrant: a grant that nobody uses is renewed all the same.
func TestIdleGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { k.Tend(ctx) })
		defer func() { stop(); wg.Wait() }()
		w.connect(k, "a")
		time.Sleep(60 * 24 * time.Hour)
		if n := w.server.requests(); n < 7 || n > 9 {
			t.Errorf("renewed %d times in 60 days", n)
		}
		if got := w.token(k, "a"); !w.server.takesToken(got) {
			t.Error(got)
		}
	})
}

// TestC3Sealed: tokens are bound to the connection and to where they may go.
func TestC3Sealed(t *testing.T) {
	unavailable := func(t *testing.T, w *world, account, want string) {
		t.Helper()
		k := w.process("fresh", false)
		_, _, err := k.Token(t.Context(), time.Time{}, w.source, account)
		var none *connection.UnavailableError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if w.server.requests() != 0 {
			t.Error("the provider was asked")
		}
	}
	start := func(t *testing.T) *world {
		w := newWorld(t, newServer(0))
		k := w.process("one", false)
		w.connect(k, "a")
		w.connect(k, "b")
		return w
	}
	t.Run("moved to another account", func(t *testing.T) {
		w := start(t)
		a, b := w.row("a"), w.row("b")
		a.Access, a.Refresh, a.Extra = b.Access, b.Refresh, b.Extra
		w.save(a)
		unavailable(t, w, "a", seal.ErrForged.Error())
	})
	t.Run("moved to another column", func(t *testing.T) {
		w := start(t)
		a := w.row("a")
		a.Access, a.Refresh = a.Refresh, a.Access
		w.save(a)
		unavailable(t, w, "a", seal.ErrForged.Error())
	})
	t.Run("one bit", func(t *testing.T) {
		w := start(t)
		a := w.row("a")
		a.Access = append([]byte(nil), a.Access...)
		a.Access[len(a.Access)-1] ^= 1
		w.save(a)
		unavailable(t, w, "a", seal.ErrForged.Error())
	})
	t.Run("hosts changed in the database", func(t *testing.T) {
		w := start(t)
		a := w.row("a")
		a.Hosts = []string{"api.shop.example", "evil.example"}
		w.save(a)
		unavailable(t, w, "a", seal.ErrForged.Error())
	})
	t.Run("base URL changed in the database", func(t *testing.T) {
		w := start(t)
		a := w.row("a")
		a.BaseURL = "https://other.shop.example"
		w.save(a)
		unavailable(t, w, "a", seal.ErrForged.Error())
	})
	t.Run("hosts changed in the policy", func(t *testing.T) {
		w := start(t)
		w.source = w.server.source()
		w.source.Hosts = []string{"api.shop.example", "evil.example"}
		unavailable(t, w, "a", "the hosts of the provider were changed")
		k := w.process("reseal", false)
		if n, _, err := k.Reseal(t.Context(), connection.Filter{Provider: "shop"}, true); n != 2 || err != nil {
			t.Fatalf("resealed %d, %v", n, err)
		}
		if got := w.token(w.process("after", false), "a"); got != "access-token-1" {
			t.Error(got)
		}
	})
	t.Run("fewer hosts in the policy", func(t *testing.T) {
		w := newWorld(t, newServer(0))
		w.source.Hosts = []string{"api.shop.example", "files.shop.example"}
		w.connect(w.process("one", false), "a")
		w.source = w.server.source()
		if got := w.token(w.process("two", false), "a"); got != "access-token-1" {
			t.Error(got)
		}
	})
	t.Run("another key", func(t *testing.T) {
		w := start(t)
		w.ring = newRing(t)
		unavailable(t, w, "a", "key")
	})
}

// TestReseal: a new key opens nothing until what is sealed under the one before
// is sealed anew; then that one is not needed any more.
func TestReseal(t *testing.T) {
	w := newWorld(t, newServer(0))
	old, _ := seal.Parse(seal.Generate())
	fresh, _ := seal.Parse(seal.Generate())
	w.ring, _ = seal.NewRing(old)
	w.connect(w.process("one", false), "a")
	w.ring, _ = seal.NewRing(fresh, old)
	k := w.process("two", false)
	if n, _, err := k.Reseal(t.Context(), connection.Filter{}, false); n != 1 || err != nil {
		t.Fatalf("resealed %d, %v", n, err)
	}
	if n, _, err := k.Reseal(t.Context(), connection.Filter{}, false); n != 0 || err != nil {
		t.Fatalf("resealed %d again, %v", n, err)
	}
	w.ring, _ = seal.NewRing(fresh)
	if got := w.token(w.process("three", false), "a"); got != "access-token-1" {
		t.Error(got)
	}
}

// TestSoleAccount: a call that names no account is for the only one, and for none
// if there are several: never for another tenant's.
func TestSoleAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(0))
		k := w.process("one", false)
		_, _, err := k.Token(t.Context(), time.Time{}, w.source, "")
		var s *connection.StateError
		if !errors.As(err, &s) || s.State != "" || s.Known != 0 {
			t.Fatal(err)
		}
		w.connect(k, "a")
		if tok, _, err := k.Token(t.Context(), time.Time{}, w.source, ""); err != nil || tok.Account != "a" {
			t.Fatal(tok, err)
		}
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "b"); !errors.As(err, &s) || s.State != "" {
			t.Fatalf("an account that does not exist: %v", err)
		}
		w.connect(k, "b")
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, ""); !errors.As(err, &s) || s.Known != 2 {
			t.Fatalf("with two: %v", err)
		}
		if _, err := k.Revoke(t.Context(), w.row("a").Key, "", "test"); err != nil {
			t.Fatal(err)
		}
		if tok, _, err := k.Token(t.Context(), time.Time{}, w.source, ""); err != nil || tok.Account != "b" {
			t.Fatalf("with one that is not revoked: %v", err)
		}
		if err := k.Ask(t.Context(), w.source, "c", "test"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "c"); state(err) != connection.Pending {
			t.Fatalf("asked for, not granted: %v", err)
		}
	})
}

// TestLeastPrivilege: fewer and more scopes than the policy asks for are told.
func TestLeastPrivilege(t *testing.T) {
	w := newWorld(t, newServer(0))
	w.source.Scopes = []string{"read", "write"}
	k := w.process("one", false)
	tok := w.server.grant()
	tok.Scopes = []string{"read", "admin"}
	warning, err := k.Grant(t.Context(), w.source, "a", tok, "test")
	if err != nil || !strings.Contains(warning, "write are missing") || !strings.Contains(warning, "than the policy asks for: admin") {
		t.Errorf("%q, %v", warning, err)
	}
	if !w.log.has("ALARM shop/a: more scopes were granted") {
		t.Errorf("%q", w.log.lines)
	}
}

// TestMachine: a credential that needs no person comes into being when it is
// used, and is not lost.
func TestMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		n := 0
		w.source.Person, w.source.Mint = false, func(_ context.Context, account, _ string) (*oauth.Token, error) {
			if n++; n == 2 {
				return nil, &oauth.Error{Code: "invalid_grant", Status: 400, Executed: true}
			}
			return &oauth.Token{Access: fmt.Sprint(account, "-", n), Expiry: time.Now().Add(time.Hour), Raw: []byte(`{}`)}, nil
		}
		k := w.process("one", false)
		if got := w.token(k, "a"); got != "a-1" {
			t.Fatal(got)
		}
		time.Sleep(2 * time.Hour)
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); err == nil || state(err) != "" {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := w.token(k, "a"); got != "a-3" {
			t.Fatal(got)
		}
		key := connection.Key{Provider: "shop", Account: "a", Credential: w.source.Credential}
		if _, err := k.Revoke(t.Context(), key, "by hand", "me"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.Revoked {
			t.Fatalf("after the end: %v", err)
		}
		if r, err := k.Renew(t.Context(), key); err != nil || r.State != connection.Active {
			t.Fatalf("renewed by hand: %+v, %v", r.State, err)
		}
		if got := w.token(k, "a"); got != "a-4" {
			t.Fatal(got)
		}
	})
}

// TestRandomLife has two processes live through whatever comes: time, calls,
// refusals, failures of the server and of the store, lost answers, deaths. No
// refresh token is sent twice unless an answer or a process was lost; whatever is
// lost is told; and while nothing was lost a call gets a token in the end.
func TestRandomLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(rapid.IntRange(0, 11), 5, 40).Draw(rt, "plan")
		gaps := rapid.SliceOfN(rapid.IntRange(1, 5000), len(plan), len(plan)).Draw(rt, "gaps")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			problem = live(t, plan, gaps)
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func live(t *testing.T, plan, gaps []int) (problem string) {
	w := newWorld(t, newServer(time.Hour))
	w.deaths = true
	base := w.store
	sent := map[string]int{}
	lost := false // an answer, a process or a write was
	w.server.takes = 100 * time.Millisecond
	mint := w.source.Mint
	w.source.Mint = func(ctx context.Context, account, refresh string) (*oauth.Token, error) {
		w.server.mu.Lock()
		sent[refresh]++
		w.server.mu.Unlock()
		return mint(ctx, account, refresh)
	}
	stores := []*flaky{{Store: base}, {Store: base}}
	keepers := make([]*connection.Keeper, 2)
	boot := func(i int) {
		w.store = stores[i]
		keepers[i] = w.process(fmt.Sprint("process-", i, "-", time.Now().UnixNano()), true)
		w.store = base
	}
	boot(0)
	boot(1)
	w.connect(keepers[0], "a")
	for n, step := range plan {
		i := n % 2
		switch step {
		case 0, 1, 2: // a call
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			if tok, _, err := keepers[i].Token(ctx, time.Time{}, w.source, "a"); err == nil && step == 2 {
				keepers[i].Refused(w.source, tok)
			}
			cancel()
		case 3: // the server fails
			w.server.failing(func(int) error { return &oauth.Error{Status: 503, Executed: true} })
		case 4, 5:
			w.server.failing(nil)
		case 6: // an answer is lost on its way
			lost = true
			w.server.failing(func(int) error {
				w.server.mu.Lock()
				defer w.server.mu.Unlock()
				w.server.next()
				w.server.fail = nil
				return &oauth.Error{Executed: true, Err: errDown}
			})
		case 7:
			stores[i].set(true)
		case 8, 9:
			stores[0].set(false)
			stores[1].set(false)
		case 10: // a process dies, in the middle of a renewal if it is at one
			dying := keepers[i]
			go func() { _, _, _ = dying.Token(t.Context(), time.Time{}, w.source, "a") }()
			time.Sleep(50 * time.Millisecond)
			lost = true
			stores[i].mu.Lock()
			stores[i].dead = true
			stores[i].mu.Unlock()
			stores[i] = &flaky{Store: base}
			boot(i)
		case 11:
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Duration(gaps[n]) * time.Second)
	}
	w.server.failing(nil)
	stores[0].set(false)
	stores[1].set(false)
	time.Sleep(10 * time.Minute)
	_, _, err := keepers[0].Token(t.Context(), time.Time{}, w.source, "a")
	row := w.row("a")
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if !lost {
		for refresh, n := range sent {
			if n > 1 && w.server.made > 1 && refresh != w.server.good {
				// Sent again after a 503: the server had not acted. Otherwise it would
				// have ended the grant.
				if row.State == connection.NeedsReconnect {
					return fmt.Sprintf("%s was sent %d times", refresh, n)
				}
			}
		}
		if err != nil {
			return fmt.Sprintf("nothing was lost, and there is no token: %v (%s)", err, row.State)
		}
	}
	if row.State == connection.NeedsReconnect && !w.log.has("ALARM") {
		return "a grant was lost and nobody was told"
	}
	if w.server.made > 2000 {
		return fmt.Sprintf("a loop: %d tokens", w.server.made)
	}
	return ""
}
