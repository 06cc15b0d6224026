package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// answers is two handles, independent of each other where the store can be
// shared, on one place.
type answers struct {
	*testing.T
	a, b idempotency.Store
}

// Answers tests an [idempotency.Store]. open returns two handles on one empty
// place; the test closes them.
func Answers(t *testing.T, open func(*testing.T) (a, b idempotency.Store)) {
	for _, test := range []struct {
		name string
		run  func(*answers)
	}{
		{"a call begins, is in flight, and is replayed", answerLife},
		{"C46 another payload is a mismatch, in every state", answerMismatch},
		{"what did not happen is forgotten", answerFreed},
		{"P34 unknown is open, and may be sent again for a while", answerUnknown},
		{"P34 a dead holder does not block", answerDead},
		{"P34 a lease is renewed", answerRenewed},
		{"P34 a lost lease changes nothing", answerFenced},
		{"done without an answer", answerUnkept},
		{"what is too old is forgotten", answerExpires},
		{"a claim may be made twice, and an end told twice", answerTwice},
		{"of many who begin one does", answersRace},
		{"many keys at once", answersMany},
		{"any bytes", oddAnswers},
		{"bad claims and ends are refused", badAnswers},
		{"who left is told", answersCancelled},
		{"random moves do what the words say", answersModel},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := open(t)
			test.run(&answers{t, a, b})
		})
	}
}

// Claim is one to the key that is meant by name, by a call of its own.
func Claim(name, payload string) *idempotency.Claim {
	c := &idempotency.Claim{Provider: "stripe", Lasts: lease, Keep: time.Hour, Fingerprint: sha256.Sum256([]byte(payload))}
	c.ID = sha256.Sum256([]byte(name))
	_, _ = rand.Read(c.Token[:])
	return c
}

func (s *answers) begin(on idempotency.Store, c *idempotency.Claim) idempotency.Standing {
	s.Helper()
	got, err := on.Begin(s.Context(), c)
	if err != nil {
		s.Fatalf("begin: %v", err)
	}
	return got
}

func (s *answers) end(on idempotency.Store, c *idempotency.Claim, e idempotency.Ending) {
	s.Helper()
	if e.Keep == 0 {
		e.Keep = time.Hour
	}
	if err := on.End(s.Context(), c.Lease, &e); err != nil {
		s.Fatalf("end: %v", err)
	}
}

// found begins, and fails unless it is found so.
func (s *answers) found(on idempotency.Store, c *idempotency.Claim, want idempotency.Finding) idempotency.Standing {
	s.Helper()
	got := s.begin(on, c)
	if got.Found != want {
		s.Fatalf("found %d, want %d: %+v", got.Found, want, got)
	}
	return got
}

// fresh is the standing of a call that nobody has made before.
func (s *answers) fresh(on idempotency.Store, c *idempotency.Claim) {
	s.Helper()
	if got := s.found(on, c, idempotency.Begun); got.Unsure || got.Acted || got.Age != 0 || got.Why != "" || len(got.Answer) > 0 {
		s.Fatalf("a new call stands as %+v", got)
	}
}

func answerLife(s *answers) {
	first := Claim("k", "p")
	s.fresh(s.a, first)
	for _, on := range []idempotency.Store{s.a, s.b} {
		if got := s.found(on, Claim("k", "p"), idempotency.InFlight); got.Left <= lease/2 || got.Left > lease {
			s.Errorf("left of the lease: %v", got.Left)
		}
	}
	text := []byte("sealed \x00 answer")
	s.end(s.a, first, idempotency.Ending{State: idempotency.Done, Answer: text})
	for _, on := range []idempotency.Store{s.a, s.b} {
		if got := s.found(on, Claim("k", "p"), idempotency.Replay); !bytes.Equal(got.Answer, text) {
			s.Errorf("replayed %q", got.Answer)
		}
	}
	again := Claim("k", "p")
	again.Resend = 24 * time.Hour
	s.found(s.b, again, idempotency.Replay) // although it could be sent again
	s.fresh(s.b, Claim("K", "p"))
}

func answerMismatch(s *answers) {
	c := Claim("k", "p")
	s.fresh(s.a, c)
	other := func() *idempotency.Claim {
		o := Claim("k", "q")
		o.Resend = time.Hour
		return o
	}
	s.found(s.b, other(), idempotency.Mismatch)
	s.end(s.a, c, idempotency.Ending{State: idempotency.Unknown})
	s.found(s.b, other(), idempotency.Mismatch)
	again := Claim("k", "p")
	again.Resend = time.Hour
	s.found(s.a, again, idempotency.Begun)
	s.end(s.a, again, idempotency.Ending{State: idempotency.Done, Answer: []byte("x")})
	if got := s.found(s.b, other(), idempotency.Mismatch); len(got.Answer) > 0 {
		s.Errorf("a mismatch has the answer %q", got.Answer)
	}
	stolen := other()
	stolen.Token = again.Token // whoever guesses a token has no right to the key
	s.found(s.a, stolen, idempotency.Mismatch)
}

func answerFreed(s *answers) {
	c := Claim("k", "p")
	s.fresh(s.a, c)
	s.end(s.b, c, idempotency.Ending{State: idempotency.Free})
	s.fresh(s.b, Claim("k", "another payload"))
}

func answerUnknown(s *answers) {
	c := Claim("k", "p")
	s.fresh(s.a, c)
	s.end(s.a, c, idempotency.Ending{State: idempotency.Unknown, Why: "the connection broke"})
	if got := s.found(s.b, Claim("k", "p"), idempotency.Open); got.Acted || got.Why != "the connection broke" || got.Age <= 0 || got.Age > time.Minute {
		s.Errorf("%+v", got)
	}
	late := Claim("k", "p")
	late.Resend = time.Microsecond
	time.Sleep(time.Millisecond)
	s.found(s.b, late, idempotency.Open)
	again := Claim("k", "p")
	again.Resend = time.Hour
	if got := s.found(s.b, again, idempotency.Begun); !got.Unsure || got.Acted || got.Age <= 0 || got.Age > time.Minute {
		s.Errorf("%+v", got)
	}
	s.found(s.a, Claim("k", "p"), idempotency.InFlight)
	s.end(s.b, again, idempotency.Ending{State: idempotency.Done, Answer: []byte("x")})
	s.found(s.a, Claim("k", "p"), idempotency.Replay)
}

func answerDead(s *answers) {
	c := Claim("k", "p")
	c.Lasts = blink
	s.fresh(s.a, c)
	time.Sleep(2 * blink)
	s.found(s.b, Claim("k", "p"), idempotency.Open)
	again := Claim("k", "p")
	again.Resend, again.Lasts = time.Hour, blink
	if got := s.found(s.b, again, idempotency.Begun); !got.Unsure {
		s.Errorf("%+v", got)
	}
	time.Sleep(2 * blink) // that one dies too
	third := Claim("k", "p")
	third.Resend = time.Hour
	if got := s.found(s.a, third, idempotency.Begun); !got.Unsure || got.Age < 3*blink {
		s.Errorf("%+v", got)
	}
}

func answerRenewed(s *answers) {
	c := Claim("k", "p")
	c.Lasts = blink
	s.fresh(s.a, c)
	if err := s.a.Renew(s.Context(), c.Lease, lease); err != nil {
		s.Fatal(err)
	}
	time.Sleep(2 * blink)
	s.found(s.b, Claim("k", "p"), idempotency.InFlight)
	s.end(s.a, c, idempotency.Ending{State: idempotency.Unknown})
	for name, l := range map[string]idempotency.Lease{"an ended one": c.Lease, "nobody's": Claim("k", "p").Lease, "of no call": Claim("other", "p").Lease} {
		if err := s.a.Renew(s.Context(), l, lease); !errors.Is(err, idempotency.ErrLost) {
			s.Errorf("%s: %v", name, err)
		}
	}
}

func answerFenced(s *answers) {
	dead := Claim("k", "p")
	dead.Lasts = blink
	s.fresh(s.a, dead)
	time.Sleep(2 * blink)
	c := Claim("k", "p")
	c.Resend = time.Hour
	s.found(s.b, c, idempotency.Begun)
	for _, e := range []idempotency.Ending{{State: idempotency.Done, Answer: []byte("late"), Keep: time.Hour}, {State: idempotency.Unknown, Keep: time.Hour}, {State: idempotency.Free}} {
		if err := s.a.End(s.Context(), dead.Lease, &e); !errors.Is(err, idempotency.ErrLost) {
			s.Errorf("%q under a lost lease: %v", e.State, err)
		}
	}
	s.found(s.a, Claim("k", "p"), idempotency.InFlight)
	s.end(s.b, c, idempotency.Ending{State: idempotency.Done, Answer: []byte("x")})
	if got := s.found(s.a, Claim("k", "p"), idempotency.Replay); string(got.Answer) != "x" {
		s.Errorf("%q", got.Answer)
	}
}

func answerUnkept(s *answers) {
	c := Claim("k", "p")
	s.fresh(s.a, c)
	s.end(s.a, c, idempotency.Ending{State: idempotency.Done, Why: "it is a stream"})
	if got := s.found(s.b, Claim("k", "p"), idempotency.Open); !got.Acted || got.Why != "it is a stream" {
		s.Errorf("%+v", got)
	}
	again := Claim("k", "p")
	again.Resend = time.Hour
	if got := s.found(s.b, again, idempotency.Begun); !got.Acted || !got.Unsure {
		s.Errorf("%+v", got)
	}
	s.end(s.b, again, idempotency.Ending{State: idempotency.Unknown, Why: "late"})
	if got := s.found(s.a, Claim("k", "p"), idempotency.Open); !got.Acted || got.Why != "late" {
		s.Errorf("%+v", got) // what was known stays known
	}
}

func answerExpires(s *answers) {
	for _, e := range []idempotency.Ending{{State: idempotency.Done, Answer: []byte("x")}, {State: idempotency.Done}, {State: idempotency.Unknown}} {
		c := Claim("k", "p")
		s.fresh(s.a, c)
		e.Keep = blink
		s.end(s.a, c, e)
		time.Sleep(2 * blink)
		fresh := Claim("k", "another payload")
		s.fresh(s.b, fresh)
		s.end(s.b, fresh, idempotency.Ending{State: idempotency.Free})
	}
	running := Claim("k", "p")
	running.Keep = blink
	s.fresh(s.a, running)
	time.Sleep(2 * blink)
	s.found(s.b, Claim("k", "p"), idempotency.InFlight) // not while it runs
}

func answerTwice(s *answers) {
	c := Claim("k", "p")
	s.fresh(s.a, c)
	s.fresh(s.b, c) // who asks again has lost the answer
	s.end(s.a, c, idempotency.Ending{State: idempotency.Unknown, Why: "broke"})
	s.end(s.b, c, idempotency.Ending{State: idempotency.Unknown, Why: "broke"})
	again := Claim("k", "p")
	again.Resend = time.Hour
	for range 2 {
		if got := s.found(s.a, again, idempotency.Begun); !got.Unsure || got.Why != "broke" {
			s.Errorf("%+v", got)
		}
	}
	for range 2 {
		s.end(s.a, again, idempotency.Ending{State: idempotency.Done, Answer: []byte("x")})
	}
	if got := s.found(s.b, Claim("k", "p"), idempotency.Replay); string(got.Answer) != "x" {
		s.Errorf("%q", got.Answer)
	}
}

// answersRace: fifty begin at once, through both handles, and one does; the
// others find it in flight, and all replay its answer.
func answersRace(s *answers) {
	for round := range 5 {
		name := strings.Repeat("k", round+1)
		var begun atomic.Int64
		var winner atomic.Pointer[idempotency.Claim]
		var all sync.WaitGroup
		for i := range 50 {
			on := []idempotency.Store{s.a, s.b}[i%2]
			all.Go(func() {
				c := Claim(name, "p")
				c.Resend = time.Hour
				switch got, err := on.Begin(s.Context(), c); {
				case err != nil:
					s.Errorf("begin: %v", err)
				case got.Found == idempotency.Begun:
					begun.Add(1)
					winner.Store(c)
				case got.Found != idempotency.InFlight:
					s.Errorf("found %+v", got)
				}
			})
		}
		all.Wait()
		if begun.Load() != 1 {
			s.Fatalf("%d of 50 began", begun.Load())
		}
		s.end(s.a, winner.Load(), idempotency.Ending{State: idempotency.Done, Answer: []byte(name)})
		if got := s.found(s.b, Claim(name, "p"), idempotency.Replay); string(got.Answer) != name {
			s.Errorf("%q", got.Answer)
		}
	}
}

// answersMany: calls under many keys begin and end at once, in any order.
func answersMany(s *answers) {
	var all sync.WaitGroup
	for i := range 200 {
		on := []idempotency.Store{s.a, s.b}[i%2]
		all.Go(func() {
			name := strings.Repeat("k", i+1)
			c := Claim(name, "p")
			for range 3 {
				if got, err := on.Begin(s.Context(), c); err != nil || got.Found != idempotency.Begun {
					s.Errorf("%d: %+v, %v", i, got, err)
				}
				e := idempotency.Ending{State: []idempotency.State{idempotency.Free, idempotency.Unknown, idempotency.Done}[i%3], Keep: time.Hour}
				if e.State == idempotency.Done {
					e.Answer = bytes.Repeat([]byte{byte(i)}, 10*i+1)
				}
				if err := on.End(s.Context(), c.Lease, &e); err != nil {
					s.Errorf("%d: %v", i, err)
				}
				if e.State != idempotency.Free {
					return
				}
			}
		})
	}
	all.Wait()
	for i := range 200 {
		name := strings.Repeat("k", i+1)
		want := []idempotency.Finding{idempotency.Begun, idempotency.Open, idempotency.Replay}[i%3]
		if got := s.found(s.a, Claim(name, "p"), want); want == idempotency.Replay && !bytes.Equal(got.Answer, bytes.Repeat([]byte{byte(i)}, 10*i+1)) {
			s.Errorf("%d: %d bytes", i, len(got.Answer))
		}
	}
}

func oddAnswers(s *answers) {
	for _, text := range []string{"a\x00b", "\xff\xfe", "\x1a00", "ü", "'; --", strings.Repeat("x", 3<<20)} {
		c := Claim(text, "p")
		c.Provider = text
		if len(text) > 100 {
			c.Provider = "p"
		}
		s.fresh(s.a, c)
		s.end(s.a, c, idempotency.Ending{State: idempotency.Done, Answer: []byte(text)})
		if got := s.found(s.b, Claim(text, "p"), idempotency.Replay); string(got.Answer) != text {
			s.Errorf("%.20q came back as %.20q", text, got.Answer)
		}
		u := Claim(text+"u", "p")
		s.fresh(s.a, u)
		if len(text) < 100 {
			s.end(s.a, u, idempotency.Ending{State: idempotency.Unknown, Why: text})
			if got := s.found(s.b, Claim(text+"u", "p"), idempotency.Open); got.Why != text {
				s.Errorf("%q: why %q", text, got.Why)
			}
		}
	}
}

func badAnswers(s *answers) {
	for name, spoil := range map[string]func(*idempotency.Claim){
		"no lease":          func(c *idempotency.Claim) { c.Lasts = 0 },
		"no memory":         func(c *idempotency.Claim) { c.Keep = 0 },
		"a negative resend": func(c *idempotency.Claim) { c.Resend = -1 },
	} {
		c := Claim("k", "p")
		spoil(c)
		if _, err := s.a.Begin(s.Context(), c); err == nil {
			s.Errorf("%s: it has begun", name)
		}
	}
	c := Claim("k", "p")
	s.fresh(s.a, c)
	for name, e := range map[string]idempotency.Ending{
		"still sent":                      {State: idempotency.Sent, Keep: time.Hour},
		"of no state":                     {State: "over", Keep: time.Hour},
		"unknown with an answer":          {State: idempotency.Unknown, Answer: []byte("x"), Keep: time.Hour},
		"forgotten at once":               {State: idempotency.Done},
		"freed with an answer of its own": {State: idempotency.Free, Answer: []byte("x")},
	} {
		if err := s.a.End(s.Context(), c.Lease, &e); err == nil || errors.Is(err, idempotency.ErrLost) {
			s.Errorf("%s: %v", name, err)
		}
	}
	s.found(s.a, Claim("k", "p"), idempotency.InFlight)
}

func answersCancelled(s *answers) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	c := Claim("k", "p")
	if _, err := s.a.Begin(ctx, c); !errors.Is(err, context.Canceled) {
		s.Errorf("begin: %v", err)
	}
	s.begin(s.a, c) // whether it was made or not
	if err := s.a.End(ctx, c.Lease, &idempotency.Ending{State: idempotency.Unknown, Keep: time.Hour}); !errors.Is(err, context.Canceled) {
		s.Errorf("end: %v", err)
	}
	if err := s.a.Renew(ctx, c.Lease, lease); !errors.Is(err, context.Canceled) {
		s.Errorf("renew: %v", err)
	}
}
