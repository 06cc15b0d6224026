package credential

import (
	"context"
	"errors"
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// kept is the key that the keeper has now. What follows from it is made once.
func (t *injector) kept(ctx context.Context, x *policy.Exchange) (*key, error) {
	if t.live.Keeper == nil {
		return nil, unavailable(errors.New("there is no store of connections here"))
	}
	tok, err := t.live.await(ctx, x, t.Source, "")
	if err != nil {
		return nil, err
	}
	if k, ok := tok.Memo.Load().(*key); ok {
		return k, nil
	}
	if t.live.Guard != nil {
		t.live.Guard(t.Parts(tok.Value)...)
	}
	k := &key{value: tok.Value, echo: t.echo(tok.Value, nil), print: block.Fingerprint(tok.Value), token: tok}
	tok.Memo.Store(k)
	return k, nil
}

// accept tells the keeper what the provider thinks of a key of its.
func (t *injector) accept(x *policy.Exchange, k *key, resp *http.Response) {
	if resp.StatusCode != http.StatusUnauthorized && x.Outcome != policy.Auth {
		t.live.Keeper.Accepted(t.Source, k.token)
		return
	}
	if t.live.Keeper.Refused(t.Source, k.token) {
		x.Fresh = true
		x.Note("credential", "refused", "the provider refused the key; a new one is asked for")
	}
}
