package connection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
)

// TestP39RenewedEarly: a token is renewed behind the calls before it expires, and
// the one that is valid is given meanwhile.
func TestP39RenewedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		w.server.takes = time.Second
		first := w.token(k, "a")
		time.Sleep(44 * time.Minute) // before 70 %... of its life is left: 75 % is 45 minutes
		if w.token(k, "a") != first || w.server.requests() != 0 {
			t.Fatal("renewed too early")
		}
		time.Sleep(2 * time.Minute)
		start := time.Now()
		if got := w.token(k, "a"); got != first || time.Since(start) != 0 {
			t.Fatalf("a call waited %v and got %s", time.Since(start), got)
		}
		time.Sleep(2 * time.Second)
		if got := w.token(k, "a"); got == first || !w.server.takesToken(got) {
			t.Fatalf("not renewed: %s", got)
		}
		if w.server.requests() != 1 || w.row("a").Generation != 2 {
			t.Errorf("%d requests, generation %d", w.server.requests(), w.row("a").Generation)
		}
	})
}

// TestP39StaticStability: while the authorization server fails, the token is used
// to its last second, and not after.
func TestP39StaticStability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		w.server.fail = func(int) error { return &oauth.Error{Status: 503, Executed: true} }
		first := w.token(k, "a")
		for range 3599 {
			if got := w.token(k, "a"); got != first {
				t.Fatal(got)
			}
			time.Sleep(time.Second)
		}
		if n := w.server.requests(); n < 3 || n > 30 {
			t.Errorf("the server was asked %d times in a quarter of an hour", n)
		}
		time.Sleep(2 * time.Second)
		_, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
		var none *connection.UnavailableError
		if !errors.As(err, &none) || none.RetryAfter <= 0 {
			t.Fatalf("after it expired: %v", err)
		}
		w.server.mu.Lock()
		w.server.fail = nil
		w.server.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if got := w.token(k, "a"); !w.server.takesToken(got) {
			t.Errorf("after the outage: %s", got)
		}
	})
}

// TestC60OneRefresh: callers of several processes who find a token expired cause
// one request, and all get the new token.
func TestC60OneRefresh(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, newServer(time.Hour))
			one, two := w.process("one", true), w.process("two", true)
			w.connect(one, "a")
			w.token(one, "a")
			w.token(two, "a")
			time.Sleep(2 * time.Hour)
			w.server.takes = time.Duration(round) * 50 * time.Millisecond
			var wg sync.WaitGroup
			for _, k := range []*connection.Keeper{one, two} {
				for range 50 {
					wg.Go(func() {
						if got := w.token(k, "a"); !w.server.takesToken(got) {
							t.Errorf("got %s", got)
						}
					})
				}
			}
			wg.Wait()
			if n := w.server.requests(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestP35CallerLeaves: a caller that leaves does not stop the renewal that others
// wait for.
func TestP35CallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		time.Sleep(2 * time.Hour)
		w.server.takes = 3 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := k.Token(ctx, time.Time{}, w.source, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the one who left: %v", err)
		}
		if got := w.token(k, "a"); !w.server.takesToken(got) || w.server.requests() != 1 {
			t.Errorf("got %s after %d requests", got, w.server.requests())
		}
	})
}

// TestC62InvalidGrant: a grant that the provider does not take any more is marked,
// told, and not tried again.
func TestC62InvalidGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		w.server.good = "" // revoked at the provider
		time.Sleep(2 * time.Hour)
		for range 100 {
			if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.NeedsReconnect {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		r := w.row("a")
		if w.server.requests() != 1 || r.State != connection.NeedsReconnect || len(r.Access)+len(r.Refresh)+len(r.Extra) > 0 {
			t.Errorf("%d requests, %s", w.server.requests(), r.State)
		}
		if !w.log.has("ALARM shop/a: the provider says that the grant is not valid") || w.log.count("lost") != 1 {
			t.Errorf("not told: %q", w.log.lines)
		}
		w.connect(k, "a")
		if got := w.token(k, "a"); !w.server.takesToken(got) {
			t.Errorf("after it was connected again: %s", got)
		}
	})
}

// TestC61Crash: a process that dies while it renews leaves a mark. Another one
// tries once more; if that dies as well, a person has to connect again. It never
// loops.
func TestC61Crash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		w.connect(w.process("one", false), "a")
		time.Sleep(2 * time.Hour)
		r := w.row("a")
		r.State, r.Tries, r.Holder, r.Until = connection.Refreshing, 1, "dead", r.Now.Add(30*time.Second)
		r = w.save(r)
		k := w.process("two", true)
		start := time.Now()
		if got := w.token(k, "a"); !w.server.takesToken(got) {
			t.Fatalf("after one crash: %s", got)
		}
		if took := time.Since(start); took < 29*time.Second || took > 32*time.Second {
			t.Errorf("taken over after %v", took)
		}
		if r := w.row("a"); r.Tries != 0 || r.State != connection.Active {
			t.Errorf("%+v", r)
		}

		time.Sleep(2 * time.Hour)
		asked := w.server.requests()
		r = w.row("a")
		r.State, r.Tries, r.Holder = connection.Refreshing, 2, "dead"
		w.save(r)
		for range 10 {
			if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.NeedsReconnect {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if w.server.requests() != asked {
			t.Error("a token whose fate is not known was used again")
		}
		if !w.log.has("ALARM shop/a: twice a process ended") {
			t.Errorf("not told: %q", w.log.lines)
		}
	})
}

func (w *world) save(r connection.Row) connection.Row {
	w.t.Helper()
	saved, err := w.store.Save(w.t.Context(), r, connection.Move{From: r.State, To: r.State, Reason: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return saved
}

// TestP38OneForcedRenewal: a 401 has a token renewed once for its generation;
// then none is forced for a while, however many calls are refused.
func TestP38OneForcedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		tok, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if !k.Refused(w.source, tok) {
				t.Fatal("the first refusal forces a renewal")
			}
		}
		again, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
		if err != nil || again.Generation != tok.Generation+1 || w.server.requests() != 1 {
			t.Fatalf("%v, %d requests", err, w.server.requests())
		}
		if !k.Refused(w.source, tok) {
			t.Error("a call that was under way with the old token may be made again with the new one")
		}
		for range 59 {
			if k.Refused(w.source, again) {
				t.Fatal("a second renewal was forced")
			}
			time.Sleep(time.Second)
			if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); err != nil {
				t.Fatal(err)
			}
		}
		if w.server.requests() != 1 {
			t.Errorf("%d requests", w.server.requests())
		}
		time.Sleep(2 * time.Minute)
		if !k.Refused(w.source, again) {
			t.Error("no renewal is ever forced again")
		}
		last, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
		if err != nil || last.Generation != again.Generation+1 {
			t.Errorf("%v", err)
		}
		k.Accepted(w.source, last)
	})
}

// TestP38RefusedWhileRenewed: a provider that ends a token when it gives the next
// one refuses calls before that has come here. They wait for it, and it is not taken
// for the one renewal that a 401 may force.
func TestP38RefusedWhileRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(time.Hour))
		k := w.process("one", false)
		w.connect(k, "a")
		w.server.takes = time.Second
		time.Sleep(50 * time.Minute)
		tok, _, err := k.Token(t.Context(), time.Time{}, w.source, "a") // begins a renewal behind the call
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if !k.Refused(w.source, tok) {
			t.Fatal("another call would carry the new token")
		}
		again, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
		if err != nil || again.Generation != tok.Generation+1 || w.server.requests() != 1 {
			t.Fatalf("%v, %d requests", err, w.server.requests())
		}
		if !k.Refused(w.source, again) {
			t.Error("a 401 to the new token forces no renewal")
		}
		if last, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); err != nil || last.Generation != again.Generation+1 {
			t.Errorf("%v", err)
		}
	})
}

// TestP37KeepsRefreshToken: an answer without a refresh token leaves the one there
// is in force; one without an expiry makes a token that only a 401 renews.
func TestP37KeepsRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newServer(0))
		var got []string
		w.source.Mint = func(_ context.Context, _, refresh string) (*oauth.Token, error) {
			got = append(got, refresh)
			return &oauth.Token{Access: fmt.Sprint("access-", len(got)), Raw: []byte(`{}`)}, nil
		}
		k := w.process("one", false)
		if _, err := k.Grant(t.Context(), w.source, "a", &oauth.Token{Access: "access-0", Refresh: "refresh-0", Raw: []byte(`{}`)}, "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(365 * 24 * time.Hour)
		for i := range 3 {
			tok, _, err := k.Token(t.Context(), time.Time{}, w.source, "a")
			if err != nil || tok.Value != fmt.Sprint("access-", i) {
				t.Fatalf("%v, %v", tok, err)
			}
			k.Refused(w.source, tok)
			k.Accepted(w.source, tok)
			time.Sleep(time.Hour)
		}
		if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); err != nil || len(got) != 3 || got[0] != "refresh-0" || got[2] != "refresh-0" {
			t.Errorf("renewed with %q, %v", got, err)
		}
	})
}
