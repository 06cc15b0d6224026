package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// A Client asks a running Postern. Its errors are sentences for a person, and
// never hold the token.
type Client struct {
	base  url.URL
	token string
	http  http.Client
}

// NewClient returns a client of the admin listener at address, which is a URL or
// HOST:PORT. The token may be empty, or stand as the password of the URL.
func NewClient(address, token string) (*Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address of the admin listener is not a URL such as http://127.0.0.1:8082")
	}
	if password, ok := u.User.Password(); ok && token == "" {
		token = password
	}
	c := &Client{base: url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}, token: token}
	c.http = http.Client{
		// Nothing from the environment: HTTP_PROXY is likely to name Postern itself.
		Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
	return c, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health reports whether Postern is ready, and the checks, one in a line.
func (c *Client) Health(ctx context.Context) (ready bool, report string, err error) {
	resp, err := c.do(ctx, http.MethodGet, "/readyz", url.Values{"verbose": {""}}, nil)
	if err != nil {
		return false, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return false, "", c.explain(err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return false, "", c.problem(resp, text)
	}
	return resp.StatusCode == http.StatusOK, string(text), nil
}

// Status says what is running.
func (c *Client) Status(ctx context.Context) (out Status, err error) {
	return out, c.call(ctx, http.MethodGet, "/status", nil, nil, &out)
}

// Webhooks lists the webhooks of the policy, and how their events stand.
func (c *Client) Webhooks(ctx context.Context) (out Webhooks, err error) {
	return out, c.call(ctx, http.MethodGet, "/webhooks", nil, nil, &out)
}

// Reload loads the configuration anew.
func (c *Client) Reload(ctx context.Context) (out Status, err error) {
	return out, c.call(ctx, http.MethodPost, "/reload", nil, nil, &out)
}

// List returns one page of events; a limit of 0 is the server's. f.IDs is not
// looked at.
func (c *Client) List(ctx context.Context, f Filter, limit int, cursor string) (out EventPage, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/events", eventQuery(f, limit, cursor), nil, &out)
}

// ExportEvents returns one page of events with their bodies and their trails.
func (c *Client) ExportEvents(ctx context.Context, f Filter, limit int, cursor string) (out ExportedEvents, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/export", eventQuery(f, limit, cursor), nil, &out)
}

// Follow returns what happened after cursor as soon as something did, and at the
// latest after half a minute; with an empty cursor, the cursor of now at once.
func (c *Client) Follow(ctx context.Context, f Filter, cursor string) (out Notices, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/feed", eventQuery(f, 0, cursor), nil, &out)
}

// eventQuery are the parameters that select events.
func eventQuery(f Filter, limit int, cursor string) url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"provider": f.Provider, "account": f.Account, "type": f.Type, "event_id": f.EventID, "misfit": f.Misfit, "status": f.Status, "error": f.Error, "cursor": cursor,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(f.Webhooks) > 0 {
		q["webhook"] = slices.Clone(f.Webhooks)
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

// Show returns one event, its deliveries and its audit trail.
func (c *Client) Show(ctx context.Context, id string) (out Event, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/events/"+url.PathEscape(id), nil, nil, &out)
}

// Raw copies the body of one event, as it was received, to w.
func (c *Client) Raw(ctx context.Context, id string, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, api+"/inbox/events/"+url.PathEscape(id)+"/raw", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return c.problem(resp, text)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("copy the event: %w", err)
	}
	return nil
}

// Act does a to one page of the events that match ask. Go on with ask.Cursor =
// Acted.Next until that is empty.
func (c *Client) Act(ctx context.Context, a inbound.Action, ask Act) (out Acted, err error) {
	return out, c.call(ctx, http.MethodPost, "/inbox/"+string(a), nil, &ask, &out)
}

// call asks the API and reads its answer.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, ask, into any) error {
	resp, err := c.do(ctx, method, api+path, q, ask)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return c.problem(resp, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what answers at %s is not the admin listener of Postern: %w", c.base.Host, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, q url.Values, ask any) (*http.Response, error) {
	var body io.Reader
	if ask != nil {
		text, err := json.Marshal(ask)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := c.base.String() + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if ask != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	return resp, nil
}

// explain words a failure to reach the listener.
func (c *Client) explain(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is `postern run` running? If its admin listener is elsewhere, set POSTERN_ADMIN to its URL (%w)", c.base.Host, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s does not answer in time (%w)", c.base.Host, err)
	}
	return fmt.Errorf("cannot ask %s: %w", c.base.Host, err)
}

// problem is what a refusal says.
func (c *Client) problem(resp *http.Response, text []byte) error {
	p := new(Problem)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(text, p) != nil {
		return fmt.Errorf("what answers at %s is not the admin listener of Postern: it says %s", c.base.Host, resp.Status)
	}
	return p
}
