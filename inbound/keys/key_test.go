package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"
)

// TestUnknownWhileTheSourceFails: a name that an old set does not have may be one of a
// new set. While that cannot be fetched nobody knows, and the sender is to try again.
func TestUnknownWhileTheSourceFails(t *testing.T) {
	const address = "https://id.example.com/jwks.json"
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&jose.JSONWebKey{KeyID: "k1", Key: public}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"refuses", "hangs"} {
		synctest.Test(t, func(t *testing.T) {
			hang := make(chan struct{})
			f := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
				if what == "hangs" {
					<-hang
				}
				return nil, errors.New("refused")
			}})
			keep := func(at time.Time) {
				f.sets.good.Add(address, value[*Set]{v: set, at: at, until: time.Now().Add(time.Hour), dead: time.Now().Add(25 * time.Hour)})
			}
			keep(time.Now().Add(-2 * time.Minute))
			for range 2 { // the second time the failure is remembered
				if _, err := f.Key(t.Context(), address, "k2"); err == nil || errors.Is(err, ErrUnknown) {
					t.Errorf("the source %s: %v", what, err)
				}
				if found, err := f.Key(t.Context(), address, "k1"); err != nil || len(found) != 1 {
					t.Errorf("the source %s: what the old set has: %v", what, err)
				}
			}
			keep(time.Now().Add(-time.Second))
			if _, err := f.Key(t.Context(), address, "k2"); !errors.Is(err, ErrUnknown) {
				t.Errorf("a set that was asked for a second ago: %v", err)
			}
			close(hang)
			synctest.Wait()
		})
	}
}

// TestKnownKeysAreNoStrangers: a flood of names that nobody knows does not keep a key that
// is in use from being asked for again.
func TestKnownKeysAreNoStrangers(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&jose.JSONWebKey{KeyID: "k1", Key: public}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f, asked := New(Options{}), map[string]int{}
		ask := func(id string, limit *rate.Limiter) error {
			_, err := f.Asked(t.Context(), "bank", id, limit, func(context.Context) ([]byte, error) { asked[id]++; return text, nil })
			return err
		}
		if err := ask("k1", Strangers()); err != nil {
			t.Fatal(err)
		}
		none := rate.NewLimiter(0, 0) // what a flood leaves
		for _, later := range []time.Duration{2 * time.Hour, 48 * time.Hour} {
			time.Sleep(later)
			if err := ask("k1", none); err != nil {
				t.Errorf("%s later: %v", later, err)
			}
		}
		if asked["k1"] != 3 {
			t.Errorf("asked %d times for the key that is in use, want 3", asked["k1"])
		}
		if err := ask("k2", none); !errors.Is(err, errBusy) || asked["k2"] != 0 {
			t.Errorf("a stranger: %v, asked %d times", err, asked["k2"])
		}
	})
}

// TestC37KeysOfTwoIssuers: a key that one issuer has is not that of another one under the
// same name.
func TestC37KeysOfTwoIssuers(t *testing.T) {
	f := New(Options{})
	for _, source := range []string{"bank", "other", "bank"} {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := (&jose.JSONWebKey{KeyID: source, Key: public}).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`"kid":"`+source+`"`), []byte(`"kid":"k1"`), 1)
		k, err := f.Asked(t.Context(), source, "k1", Strangers(), func(context.Context) ([]byte, error) { return text, nil })
		if err != nil {
			t.Fatal(err)
		}
		if other, err := f.Asked(t.Context(), source+"'s enemy", "k1", Strangers(), func(context.Context) ([]byte, error) { return nil, ErrUnknown }); err == nil {
			t.Errorf("%s has the key %v of %s: %v", source+"'s enemy", other, source, k)
		}
	}
}

// TestC37FloodOfAddresses: of certificates that nobody has seen before few are asked for
// at once, and what is put off is asked for as soon as there is room.
func TestC37FloodOfAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		f := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			asked++
			return nil, errors.New("refused")
		}})
		at := Place{Host: regexp.MustCompile(`^a\.example$`), Path: regexp.MustCompile(`^/.*$`)}
		limit := Strangers()
		get := func(n int) error {
			_, err := f.Certificate(t.Context(), fmt.Sprintf("https://a.example/%d.pem", n), at, limit)
			return err
		}
		for n := range 50 {
			if err := get(n); err == nil || errors.Is(err, errBusy) != (n >= 10) {
				t.Errorf("%d: %v", n, err)
			}
		}
		time.Sleep(again / 10)
		if err := get(49); err == nil || errors.Is(err, errBusy) || asked != 11 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}

// TestKeptForSoLong: whatever a source says of how long, and a day longer while it fails.
func TestKeptForSoLong(t *testing.T) {
	for says, want := range map[string]time.Duration{"max-age=0": least, "max-age=600": 10 * time.Minute, "public, Max-Age=99999999": most, "max-age=x": time.Hour, "": time.Hour, "no-store": time.Hour} {
		if got := lifetime(http.Header{"Cache-Control": {says}}); got != want {
			t.Errorf("%q: %v, want %v", says, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		k, up := newKept[string](), true
		get := func() error {
			_, err := k.get(t.Context(), "x", time.Time{}, func(context.Context) (string, time.Duration, error) {
				if up {
					return "v", time.Hour, nil
				}
				return "", 0, errors.New("down")
			})
			return err
		}
		if err := get(); err != nil {
			t.Fatal(err)
		}
		up = false
		for _, tt := range []struct {
			after time.Duration
			ok    bool
		}{{2 * time.Hour, true}, {22 * time.Hour, true}, {2 * time.Hour, false}} {
			if time.Sleep(tt.after); (get() == nil) != tt.ok {
				t.Errorf("%v later it is used: %v", tt.after, !tt.ok)
			}
		}
	})
}

// TestPlaces: where a certificate may be is both a host and a path.
func TestPlaces(t *testing.T) {
	p := Place{Host: regexp.MustCompile(`^sns\.a\.example$`), Path: regexp.MustCompile(`^/x-[0-9a-z]+\.pem$`)}
	for raw, ok := range map[string]bool{
		"https://sns.a.example/x-1.pem": true, "https://sns.a.example:443/x-1.pem": true,
		"https://sns.a.example/y-1.pem": false, "https://sns.a.example/x-1.pem/": false, "https://sns.a.example/bucket/x-1.pem": false, "https://sns.a.example/": false, "https://sns.a.example": false,
		"https://sns.b.example/x-1.pem": false, "https://sns.a.example:444/x-1.pem": false, "https://sns.a.example/x-1.pem?v=1": false, "https://sns.a.example/x-1.pem?": false,
		"http://sns.a.example/x-1.pem": false, "https://u@sns.a.example/x-1.pem": false, "https://sns.a.example/x-1.pem#": false, "https://169.254.169.254/x-1.pem": false,
	} {
		if _, err := p.Find(raw); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
