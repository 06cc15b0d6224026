package credential

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// stubToken is what an SDK is given that asks for a token by itself. It opens
// nothing: on the way to the provider the true one takes its place.
const stubToken = "postern-stub-token"

// stubLife is how long an SDK may believe in it, in seconds.
const stubLife = 3600

// before finds out for which account a call is, and answers what an SDK asks the
// provider's token endpoint.
func (t *granted) before(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	if t.live.Keeper == nil {
		return nil, nil
	}
	if t.Source.Person && x.Account == "" {
		account, err := t.live.Keeper.Sole(r.Context(), t.Source)
		if err != nil {
			return nil, denied(err, t.Source, "")
		}
		x.Account = account
	}
	if t.Stub == nil || r.Method != http.MethodPost {
		return nil, nil
	}
	name, ok := t.Stub(r, x.Account)
	if !ok {
		return nil, nil
	}
	tok, err := t.token(r.Context(), x) // what is wrong with it is said now
	if err != nil {
		return nil, err
	}
	x.Note("credential", "stub", "the application asked for a token and was given one that opens nothing")
	return stub(r, x, name, tok), nil
}

// stub answers as a token endpoint does (RFC 6749 §5.1), or with expires_at as
// GitHub's.
func stub(r *http.Request, x *policy.Exchange, name string, tok *connection.Token) *http.Response {
	value := stubToken
	if x.Token != "" { // on a base URL it is by this that the next call shows whose it is
		value = x.Token
	}
	status, answer := http.StatusOK, map[string]any{"access_token": value, "token_type": "Bearer", "expires_in": stubLife}
	if name != "" {
		status = http.StatusCreated
		answer = map[string]any{name: value, "expires_at": time.Now().Add(stubLife * time.Second).UTC().Format(time.RFC3339)}
	}
	for member, at := range tok.Places {
		answer[member] = at
	}
	body, _ := json.Marshal(answer) // texts and a number
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}
