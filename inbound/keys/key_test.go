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
