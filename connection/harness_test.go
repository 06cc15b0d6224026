package connection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

// A server is an authorization server with rotation and reuse detection: a
// refresh token is good once, and one that comes again ends the grant.
type server struct {
	mu      sync.Mutex
	life    time.Duration
	asked   int            // token requests
	made    int            // tokens
	good    string         // the refresh token that is good now, "" if none
	access  string         // the access token that is good now
	until   time.Time      // of access
	revoked map[string]int // tokens that were given back
	takes   time.Duration  // for an answer
	fail    func(n int) error
}

func newServer(life time.Duration) *server {
	return &server{life: life, revoked: map[string]int{}}
}

// grant is what a person's consent yields.
func (s *server) grant() *oauth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next()
}

func (s *server) next() *oauth.Token {
	s.made++
	s.good, s.access = fmt.Sprintf("refresh-token-%d", s.made), fmt.Sprintf("access-token-%d", s.made)
	t := &oauth.Token{Access: s.access, Refresh: s.good, Raw: []byte(`{}`)}
	if s.life > 0 {
		s.until = time.Now().Add(s.life)
		t.Expiry = s.until
	}
	return t
}

func (s *server) mint(ctx context.Context, _, refresh string) (*oauth.Token, error) {
	s.mu.Lock()
	s.asked++
	n, takes, fail := s.asked, s.takes, s.fail
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, &oauth.Error{Executed: true, Err: ctx.Err()}
	}
	if fail != nil {
		if err := fail(n); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if refresh != s.good {
		s.good, s.access = "", ""
		return nil, &oauth.Error{Code: "invalid_grant", Status: 400, Executed: true}
	}
	return s.next(), nil
}

// failing has the server answer as f says, or again as it should.
func (s *server) failing(f func(n int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// takesToken reports whether an API would take the token.
func (s *server) takesToken(v string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return v == s.access && (s.life == 0 || time.Now().Before(s.until))
}

func (s *server) source() *connection.Source {
	return &connection.Source{
		Provider: "shop", Credential: "oauth2", Hosts: []string{"api.shop.example"}, Scopes: []string{"read"}, Person: true, Mint: s.mint,
		Revoke: func(_ context.Context, _ string, t *oauth.Token) error {
			s.mu.Lock()
			fail, n := s.fail, s.asked
			s.mu.Unlock()
			if fail != nil {
				if err := fail(n); err != nil {
					return err
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.revoked[t.Refresh]++
			return nil
		},
	}
}

// log is an observer.
type log struct {
	mu      sync.Mutex
	lines   []string
	results map[string]int
}

func newLog() *log { return &log{results: map[string]int{}} }

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) Renewed(_, result string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results[result]++
}
func (l *log) Expires(connection.Key, time.Time) {}
func (l *log) Moved(k connection.Key, m connection.Move) {
	l.add("%s: %s -> %s: %s", k, m.From, m.To, m.Reason)
}
func (l *log) Alarm(k connection.Key, what string) { l.add("ALARM %s: %s", k, what) }
func (l *log) Trouble(doing string, err error)     { l.add("TROUBLE %s: %v", doing, err) }
func (l *log) count(result string) int             { l.mu.Lock(); defer l.mu.Unlock(); return l.results[result] }
func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(s string) bool { return strings.Contains(s, text) })
}

// a world is one store and what uses it.
type world struct {
	t      *testing.T
	store  connection.Store
	ring   *seal.Ring
	server *server
	source *connection.Source
	log    *log
	deaths bool // processes die, and leave renewals behind
}

func newWorld(t *testing.T, s *server) *world {
	t.Helper()
	return &world{t: t, store: store.NewMemory().Connections(), ring: newRing(t), server: s, source: s.source(), log: newLog()}
}

func newRing(t *testing.T) *seal.Ring {
	t.Helper()
	k, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.NewRing(k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// process starts a keeper; shared says that there are others.
func (w *world) process(name string, shared bool) *connection.Keeper {
	k := connection.NewKeeper(connection.Options{
		Store: w.store, Ring: func() (*seal.Ring, error) { return w.ring, nil }, Holder: name, Shared: shared,
		Observer: w.log, Guard: func(...string) {}, Random: func() float64 { return 0.5 },
	})
	k.Swap([]*connection.Source{w.source})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := k.Close(ctx); err != nil && !w.deaths {
			w.t.Error(err)
		}
	})
	return k
}

// connect grants an account.
func (w *world) connect(k *connection.Keeper, account string) {
	w.t.Helper()
	if _, err := k.Grant(w.t.Context(), w.source, account, w.server.grant(), "test"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) row(account string) connection.Row {
	w.t.Helper()
	r, err := w.store.Load(w.t.Context(), connection.Key{Provider: "shop", Account: account, Credential: "oauth2"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) token(k *connection.Keeper, account string) string {
	w.t.Helper()
	t, _, err := k.Token(w.t.Context(), time.Time{}, w.source, account)
	if err != nil {
		w.t.Fatal(err)
	}
	return t.Value
}

// state is the state that the error of a call names, "" if none.
func state(err error) connection.State {
	var s *connection.StateError
	if errors.As(err, &s) {
		return s.State
	}
	return ""
}
