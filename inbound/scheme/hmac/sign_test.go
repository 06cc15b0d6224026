package hmac

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// TestSignedIsAccepted shows that what is signed for development is what the same
// grammar accepts, for all of the catalogue.
func TestSignedIsAccepted(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	signed, cannot := 0, 0
	for name, g := range catalogued(t) {
		secret := g.SecretPrefix + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		if g.SecretEncoding == Hex {
			secret = g.SecretPrefix + strings.Repeat("0a1b", 16)
		}
		g.Secrets = revealing(t, secret)
		r := &inbound.Request{Method: http.MethodPost, URL: "https://app.example.com/hook", Path: "/hook", Header: http.Header{}, Body: []byte(`{"id":"evt_1"}`), Received: now}
		if err := g.sign(r); err != nil {
			if g.Signature == nil && !strings.Contains(err.Error(), "missing") {
				t.Errorf("%s: %v", name, err)
			}
			cannot++
			continue
		}
		keys, err := g.keys()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v := g.decide(r, keys); v.Result != inbound.Accepted && g.Time == nil {
			t.Errorf("%s: signed, and then %s: %s (%v)", name, v.Result, v.Why, r.Header)
		}
		if v := g.decide(r, [][]byte{[]byte("another key of some length")}); v.Result == inbound.Accepted {
			t.Errorf("%s: accepted with another key", name)
		}
		signed++
	}
	if t.Logf("%d signed, %d cannot be", signed, cannot); signed < 4 {
		t.Errorf("only %d were signed", signed)
	}
}

// revealing is a list with one secret of this value.
func revealing(t *testing.T, value string) []block.Secret {
	t.Helper()
	s := block.NewSecrets([]string{"S=" + value})
	g := grammarWith(t, `secrets = [env("S")]`+"\nheader = \"X\"", s)
	return g.Secrets
}
