package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Calls returns one page of calls of the outbox; a limit of 0 is the server's.
// f.IDs is not looked at, and one provider is.
func (c *Client) Calls(ctx context.Context, f CallFilter, limit int, cursor string) (out CallPage, err error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"account": f.Account, "client": f.Client, "kind": f.Kind, "of": f.Of, "status": f.Status, "outcome": f.Outcome, "error": f.Error, "cursor": cursor,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(f.Providers) > 0 {
		q.Set("provider", f.Providers[0])
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return out, c.call(ctx, http.MethodGet, "/outbox/calls", q, nil, &out)
}

// Call returns one call of the outbox and its audit trail.
func (c *Client) Call(ctx context.Context, id string) (out Call, err error) {
	return out, c.call(ctx, http.MethodGet, "/outbox/calls/"+url.PathEscape(id), nil, nil, &out)
}

// ActOnCalls does something to one page of the calls that match ask: replay,
// discard or resolve. Go on with ask.Cursor = CallActed.Next until that is empty.
func (c *Client) ActOnCalls(ctx context.Context, what string, ask CallAct) (out CallActed, err error) {
	return out, c.call(ctx, http.MethodPost, "/outbox/"+what, nil, &ask, &out)
}
