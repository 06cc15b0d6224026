package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// Ticket is one that its bearer has as name.
func Ticket(name string, lasts time.Duration) connection.Ticket {
	id := sha256.Sum256([]byte(name))
	return connection.Ticket{ID: id[:], Sealed: []byte("\x00sealed " + name), Expires: time.Now().Add(lasts)}
}

func (p *pair) keep(t connection.Ticket) {
	p.Helper()
	if err := p.a.Keep(p.Context(), t); err != nil {
		p.Fatalf("keep: %v", err)
	}
}

// sameTicket compares what two clocks may say of the end of a ticket loosely.
func sameTicket(a, b connection.Ticket) bool {
	return bytes.Equal(a.ID, b.ID) && bytes.Equal(a.Sealed, b.Sealed) && a.Expires.Sub(b.Expires).Abs() < 30*time.Second
}

func ticketOnce(p *pair) {
	one, two := Ticket("one", time.Hour), Ticket("two", 10*time.Minute)
	p.keep(one)
	p.keep(two)
	for range 2 { // looking takes nothing
		for _, want := range []connection.Ticket{one, two} {
			if got, err := p.b.Look(p.Context(), want.ID); err != nil || !sameTicket(got, want) {
				p.Errorf("look: %+v, %v, want %+v", got, err, want)
			}
		}
	}
	if got, err := p.b.Take(p.Context(), one.ID); err != nil || !sameTicket(got, one) {
		p.Errorf("take: %+v, %v, want %+v", got, err, one)
	}
	for name, ask := range map[string]func() (connection.Ticket, error){
		"looked at":   func() (connection.Ticket, error) { return p.a.Look(p.Context(), one.ID) },
		"taken":       func() (connection.Ticket, error) { return p.a.Take(p.Context(), one.ID) },
		"taken there": func() (connection.Ticket, error) { return p.b.Take(p.Context(), one.ID) },
	} {
		if got, err := ask(); !errors.Is(err, connection.ErrUnknown) || len(got.Sealed) > 0 {
			p.Errorf("%s again: %+v, %v", name, got, err)
		}
	}
	if got, err := p.a.Take(p.Context(), two.ID); err != nil || !sameTicket(got, two) {
		p.Errorf("the other: %+v, %v", got, err)
	}
	for _, id := range [][]byte{nil, {}, {0}, one.ID[:31], append(bytes.Clone(two.ID), 0)} {
		if _, err := p.a.Look(p.Context(), id); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("look for %x: %v", id, err)
		}
		if _, err := p.a.Take(p.Context(), id); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("take %x: %v", id, err)
		}
	}
}

func ticketRace(p *pair) {
	for round := range 5 {
		t := Ticket(string(rune('a'+round)), time.Hour)
		p.keep(t)
		var mu sync.Mutex
		var got []connection.Ticket
		won := p.race(50, func(_ int, s connection.Store) error {
			one, err := s.Take(p.Context(), t.ID)
			if err == nil {
				mu.Lock()
				got = append(got, one)
				mu.Unlock()
			}
			return err
		}, connection.ErrUnknown)
		if won != 1 || !sameTicket(got[0], t) {
			p.Errorf("%d took it: %+v", won, got)
		}
	}
}

func ticketExpires(p *pair) {
	dead := Ticket("dead", -time.Second)
	p.keep(dead)
	short := Ticket("short", 500*time.Millisecond)
	p.keep(short)
	for {
		before := time.Now()
		_, err := p.b.Look(p.Context(), short.ID)
		switch after := time.Now(); {
		case err == nil && before.Before(short.Expires.Add(5*time.Second)):
			time.Sleep(5 * time.Millisecond)
			continue
		case err == nil:
			p.Fatal("it does not expire")
		case !errors.Is(err, connection.ErrUnknown):
			p.Fatal(err)
		case after.Before(short.Expires.Add(-50 * time.Millisecond)):
			p.Errorf("it expired %v early", short.Expires.Sub(after))
		}
		break
	}
	for _, t := range []connection.Ticket{dead, short} {
		if _, err := p.a.Look(p.Context(), t.ID); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("look at what has expired: %v", err)
		}
		if got, err := p.a.Take(p.Context(), t.ID); !errors.Is(err, connection.ErrUnknown) {
			p.Errorf("what has expired was taken: %+v, %v", got, err)
		}
	}
}

func badTickets(p *pair) {
	one := Ticket("one", time.Hour)
	p.keep(one)
	other := Ticket("one", 2*time.Hour)
	other.Sealed = []byte("another's")
	if err := p.b.Keep(p.Context(), other); err == nil {
		p.Error("an ID is there twice")
	}
	if got, err := p.b.Look(p.Context(), one.ID); err != nil || !sameTicket(got, one) {
		p.Errorf("the first became %+v, %v", got, err)
	}
	for name, t := range map[string]connection.Ticket{
		"no ID": {Sealed: []byte("x"), Expires: time.Now().Add(time.Hour)}, "no end": {ID: []byte("x"), Sealed: []byte("x")},
		"a long ID": {ID: make([]byte, 300), Expires: time.Now().Add(time.Hour)},
	} {
		if err := p.a.Keep(p.Context(), t); err == nil {
			p.Errorf("%s was kept", name)
		}
	}
	empty := Ticket("empty", time.Hour)
	empty.Sealed = nil
	p.keep(empty)
	if got, err := p.b.Take(p.Context(), empty.ID); err != nil || len(got.Sealed) != 0 {
		p.Errorf("one that stands for nothing: %+v, %v", got, err)
	}
}
