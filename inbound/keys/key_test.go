package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
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
