package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

func newClient(t *testing.T, address, token string) *Client {
	t.Helper()
	c, err := NewClient(address, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClient(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	fill(l)
	ctx := context.Background()
	for _, c := range []*Client{
		newClient(t, l.url, token), newClient(t, strings.TrimPrefix(l.url, "http://"), token), newClient(t, strings.Replace(l.url, "://", "://any:"+token+"@", 1), ""),
	} {
		if ready, report, err := c.Health(ctx); !ready || err != nil || !strings.Contains(report, "[+] store") {
			t.Errorf("health: %t %q %v", ready, report, err)
		}
	}
	c := newClient(t, l.url, token)
	l.checks["store"] = errDown
	if ready, report, err := c.Health(ctx); ready || err != nil || !strings.Contains(report, "disk /var/lib is full") {
		t.Errorf("health: %t %q %v", ready, report, err)
	}
	if st, err := c.Status(ctx); err != nil || st.Version != "1.2.3" || st.Ready {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := c.Reload(ctx); err != nil || l.reloads != 1 {
		t.Errorf("%d reloads, %v", l.reloads, err)
	}
	filter := Filter{Webhooks: []string{"github", "slack"}, Provider: "github", Account: "a1", Type: "push", Status: "failed", Error: "Unprocessable", Since: time.Date(2026, 11, 1, 12, 30, 0, 0, time.UTC), Until: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)}
	page, err := c.List(ctx, filter, 1, "")
	if err != nil || !slices.Equal(ids(page.Events), []string{"e2"}) || page.Next == "" {
		t.Errorf("%+v %v", page, err)
	}
	if page, err = c.List(ctx, filter, 5, page.Next); err != nil || !slices.Equal(ids(page.Events), []string{"e1"}) || page.Next != "" {
		t.Errorf("%+v %v", page, err)
	}
	if e, err := c.Show(ctx, "e1"); err != nil || e.EventID != "d1" || len(e.Trail) == 0 {
		t.Errorf("%+v %v", e, err)
	}
	var raw bytes.Buffer
	if err := c.Raw(ctx, "e1", &raw); err != nil || raw.String() != "{}" {
		t.Errorf("%q %v", raw.String(), err)
	}
	if done, err := c.Act(ctx, inbound.ActReplay, Act{Filter: Filter{IDs: []string{"e1"}}}); err != nil || done.Moved != 1 {
		t.Errorf("%+v %v", done, err)
	}
}

// TestClientSentences: an error says what is the matter and what to do.
func TestClientSentences(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }))
	defer other.Close()
	away := httptest.NewServer(http.RedirectHandler(l.url+"/api/v1/status", http.StatusFound))
	defer away.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed := silent.Addr().(*net.TCPAddr).IP.String() + ":1"
	ctx := context.Background()
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		address string
		token   string
		want    string
	}{
		"nothing listens": {ctx, closed, "", "nothing listens at " + closed + ": is `postern run` running?"},
		"no token":        {ctx, l.url, "", "POSTERN_ADMIN_TOKEN"},
		"wrong token":     {ctx, l.url, "canary-token", "missing or wrong"},
		"not Postern":     {ctx, other.URL, "canary-token", "is not the admin listener of Postern"},
		"redirect":        {ctx, away.URL, token, "is not the admin listener of Postern"},
		"no answer":       {short, "http://" + silent.Addr().String(), "canary-token", "does not answer in time"},
		"no such host":    {ctx, "http://nowhere.invalid:1", "", "cannot ask nowhere.invalid:1"},
	} {
		_, err := newClient(t, c.address, c.token).Status(c.ctx)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newClient(t, l.url, token)
	for id, want := range map[string]string{"none": "there is no event of this id", "../../x": "there is no event", "a/b?c#d": "there is no event"} {
		if _, err := c.Show(ctx, id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", id, err)
		}
		if err := c.Raw(ctx, id, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("raw %q: %v", id, err)
		}
	}
	for _, address := range []string{"", "://", "ftp://x", "http://", "http://user:canary@%zz", "postgres://u:canary@h/d"} {
		if _, err := NewClient(address, ""); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if c.http.Transport.(*http.Transport).Proxy != nil {
		t.Error("the client goes through a proxy of the environment, which is Postern itself")
	}
}
