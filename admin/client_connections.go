package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// A Which names one connection. Account is nil where the provider has only one;
// Credential may be empty.
type Which struct {
	Provider   string
	Account    *string
	Credential string
}

func (w Which) path() string { return "/connections/" + url.PathEscape(w.Provider) }

func (w Which) query() url.Values {
	q := url.Values{}
	if w.Account != nil {
		q.Set("account", *w.Account)
	}
	if w.Credential != "" {
		q.Set("credential", w.Credential)
	}
	return q
}

// Connect asks for a link by which a customer connects an account.
func (c *Client) Connect(ctx context.Context, ask NewConnectSession) (out ConnectSession, err error) {
	return out, c.call(ctx, http.MethodPost, "/connect-sessions", nil, &ask, &out)
}

// Connections returns one page of connections; empty names and a limit of 0 are
// not looked at.
func (c *Client) Connections(ctx context.Context, provider, account, state string, limit int, cursor string) (out ConnectionPage, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"provider": provider, "account": account, "state": state, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return out, c.call(ctx, http.MethodGet, "/connections", q, nil, &out)
}

// Connection returns one connection and its history.
func (c *Client) Connection(ctx context.Context, w Which) (out Connection, err error) {
	return out, c.call(ctx, http.MethodGet, w.path(), w.query(), nil, &out)
}

// Refresh has a new token asked for.
func (c *Client) Refresh(ctx context.Context, w Which) (out Connection, err error) {
	return out, c.call(ctx, http.MethodPost, w.path()+"/refresh", w.query(), nil, &out)
}

// Revoke ends a connection.
func (c *Client) Revoke(ctx context.Context, w Which) (out Connection, err error) {
	return out, c.call(ctx, http.MethodPost, w.path()+"/revoke", w.query(), nil, &out)
}

// Export returns one page of sealed connections. Go on with ask.Cursor =
// Exported.Next until that is empty.
func (c *Client) Export(ctx context.Context, ask Export) (out Exported, err error) {
	return out, c.call(ctx, http.MethodPost, "/connections/export", nil, &ask, &out)
}

// Import brings connections in.
func (c *Client) Import(ctx context.Context, ask Import) (out Imported, err error) {
	return out, c.call(ctx, http.MethodPost, "/connections/import", nil, &ask, &out)
}

// Reseal brings a page of what is sealed under the newest key. Go on as for
// Export.
func (c *Client) Reseal(ctx context.Context, ask Reseal) (out Resealed, err error) {
	return out, c.call(ctx, http.MethodPost, "/secrets/reseal", nil, &ask, &out)
}
