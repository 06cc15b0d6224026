package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

// trialConnection is an account that is connected when the test begins.
type trialConnection struct {
	Provider string            `hcl:"provider,label"`
	Account  string            `hcl:"account,optional"`
	State    connection.State  `hcl:"state,optional"`   // active, pending or revoked
	Expired  bool              `hcl:"expired,optional"` // its token has
	Answer   map[string]string `hcl:"answer,optional"`  // members of the answer that it was granted with
}

// Default is one that works.
func (c *trialConnection) Default() { c.State = connection.Active }

// Check refuses a state that no test can begin in.
func (c *trialConnection) Check() error {
	switch c.State {
	case connection.Active, connection.Pending, connection.Revoked:
		return nil
	}
	return block.At("state", "%q is none of active, pending and revoked", c.State)
}

// tokenScript is what the token endpoint answers where a test does not say.
var tokenScript = []trialUpstream{{Status: http.StatusOK, Body: `{"access_token":"granted-token","token_type":"Bearer","expires_in":3600}`}}

// trialTokens are the connections of one test, and the authorization server that
// answers by its script.
type trialTokens struct {
	stage   *testStage
	keeper  *connection.Keeper
	live    *credential.Live
	answers *idempotency.Live
}

func (t *trial) newTokens() (*trialTokens, error) {
	script := t.Token
	if len(script) == 0 {
		script = tokenScript
	}
	stage, err := newStage(script)
	if err != nil {
		return nil, err
	}
	key, err := seal.Parse(seal.Generate())
	if err != nil {
		return nil, err
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		return nil, err
	}
	memory, open := store.NewMemory(), func() (*seal.Ring, error) { return ring, nil }
	k := &trialTokens{stage: stage, live: credential.NewLive(), answers: &idempotency.Live{Store: memory.Answers(), Ring: open}}
	k.keeper = connection.NewKeeper(connection.Options{
		Store: memory.Connections(), Ring: open, Holder: "test",
		Observer: silent{}, Guard: func(...string) {}, Random: func() float64 { return 0.5 },
	})
	k.live.Keeper = k.keeper
	k.live.Do = func(w credential.Way, r *http.Request) (*http.Response, bool, error) {
		return ask(stage.transport, w, r)
	}
	return k, nil
}

func (k *trialTokens) close() {
	_ = k.keeper.Close(context.Background()) // nothing takes longer than the test
	k.stage.close()
}

// connect makes the connections that the test begins with.
func (k *trialTokens) connect(l *loaded, list []trialConnection) error {
	all := sources(l.outbound)
	k.keeper.Swap(all)
	for _, c := range list {
		var source *connection.Source
		for _, s := range all {
			if s.Provider == c.Provider && s.Person {
				source = s
			}
		}
		if source == nil {
			return fmt.Errorf("connection %q: the provider has no credential \"oauth2\"", c.Provider)
		}
		if err := k.grant(source, c); err != nil {
			return err
		}
	}
	return nil
}

func (k *trialTokens) grant(s *connection.Source, c trialConnection) error {
	ctx := context.Background()
	if c.State == connection.Pending {
		return k.keeper.Ask(ctx, s, c.Account, "test")
	}
	token := &oauth.Token{Access: "token-of-" + c.Account, Refresh: "refresh-token-of-" + c.Account, Expiry: time.Now().Add(time.Hour)}
	if c.Expired {
		token.Expiry = time.Now().Add(-time.Minute)
	}
	answer := map[string]string{"access_token": token.Access, "refresh_token": token.Refresh}
	maps.Copy(answer, c.Answer)
	token.Raw, _ = json.Marshal(answer) // texts
	if _, err := k.keeper.Grant(ctx, s, c.Account, token, "test"); err != nil {
		return err
	}
	if c.State == connection.Revoked {
		_, err := k.keeper.Ended(ctx, connection.Key{Provider: s.Provider, Account: c.Account, Credential: s.Credential}, "the test says so", "test")
		return err
	}
	return nil
}
