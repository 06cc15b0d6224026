package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
)

// unheard is an observer that nobody listens to.
type unheard struct{}

func (unheard) Renewed(string, string)                {}
func (unheard) Expires(connection.Key, time.Time)     {}
func (unheard) Moved(connection.Key, connection.Move) {}
func (unheard) Alarm(connection.Key, string)          {}
func (unheard) Trouble(string, error)                 {}

// keep makes a keeper with two providers whose accounts are connected by people,
// and one that gets its tokens by itself.
func (l *listener) keep() {
	l.t.Helper()
	key, err := seal.Parse(seal.Generate())
	if err != nil {
		l.t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		l.t.Fatal(err)
	}
	l.ring = func() (*seal.Ring, error) { return ring, nil }
	l.keeper = connection.NewKeeper(connection.Options{
		Store: l.rows, Ring: l.ring, Holder: "here-1",
		Observer: unheard{}, Guard: func(...string) {}, Random: func() float64 { return 0.5 },
	})
	n := 0
	mint := func(context.Context, string, string) (*oauth.Token, error) {
		n++
		return &oauth.Token{Access: fmt.Sprint("canary-renewed-", n), Refresh: fmt.Sprint("canary-refresh-", n), Expiry: time.Now().Add(time.Hour)}, l.mint
	}
	var all []*connection.Source
	for _, name := range []string{"acme", "other"} {
		all = append(all, &connection.Source{Provider: name, Credential: "oauth2", Hosts: []string{"api." + name + ".com"}, Scopes: []string{"read", "write"}, Person: true, Mint: mint})
	}
	l.keeper.Swap(append(all, &connection.Source{Provider: "machine", Credential: "oauth2_client_credentials", Hosts: []string{"api.machine.com"}, Mint: mint}))
}

// granted connects an account.
func (l *listener) granted(provider, account string) {
	l.t.Helper()
	t := &oauth.Token{Access: "canary-access-" + account, Refresh: "canary-refresh-" + account, Expiry: time.Now().Add(time.Hour), Scopes: []string{"read", "admin"}, Raw: []byte(`{"id_token":"canary-raw"}`)}
	if _, err := l.keeper.Grant(context.Background(), l.keeper.Sources(provider)[0], account, t, "the test"); err != nil {
		l.t.Fatal(err)
	}
}

func accounts(page ConnectionPage) (list []string) {
	for _, c := range page.Connections {
		list = append(list, c.Provider+"/"+c.Account)
	}
	return list
}

func TestConnectSession(t *testing.T) {
	l := serve(t, `admin {}`)
	a := l.ask("POST", "/api/v1/connect-sessions", `{"provider":"acme","account":"a","return_to":"/x"}`)
	var got ConnectSession
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.StatusCode != http.StatusCreated || got.URL == "" || got.Provider != "acme" || got.Account != "a" || !strings.HasPrefix(got.Credential, "admin API, from 127.0.0.1") {
		t.Errorf("%d %s %v", a.StatusCode, a.body, err)
	}
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"unknown":  {&connection.RequestError{Unknown: true, Why: "no provider", Hint: "x"}, 404},
		"refused":  {&connection.RequestError{Why: "bad account", Hint: "x"}, 422},
		"listener": {Refuse(422, "x", "no listener"), 422},
		"store":    {errors.New("disk is full"), 500},
	} {
		l.link = c.err
		isProblem(t, name, l.ask("POST", "/api/v1/connect-sessions", `{"provider":"acme"}`), c.status)
	}
	l.link = nil
	isProblem(t, "another word", l.ask("POST", "/api/v1/connect-sessions", `{"provider":"acme","token":"x"}`), 400)
	isProblem(t, "no JSON", l.ask("POST", "/api/v1/connect-sessions", `provider=acme`, withHeader("Content-Type", "application/x-www-form-urlencoded")), 415)
}

func TestConnections(t *testing.T) {
	l := serve(t, `admin {}`)
	for _, account := range []string{"", "a", "b/c ?&#", "d"} {
		l.granted("acme", account)
	}
	l.granted("other", "a")
	if _, err := l.keeper.Revoke(context.Background(), connection.Key{Provider: "acme", Account: "d", Credential: "oauth2"}, "x", "y"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"":                            {"acme/", "acme/a", "acme/b/c ?&#", "acme/d", "other/a"},
		"provider=acme":               {"acme/", "acme/a", "acme/b/c ?&#", "acme/d"},
		"account=a":                   {"acme/a", "other/a"},
		"provider=acme&account=a":     {"acme/a"},
		"state=revoked":               {"acme/d"},
		"state=active&provider=other": {"other/a"},
		"provider=nobody":             nil,
		"limit=2":                     {"acme/", "acme/a"},
	} {
		if got := accounts(read[ConnectionPage](t, l.ask("GET", "/api/v1/connections?"+query, ""))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	var all []string
	for cursor, pages := "", 1; pages < 9; pages++ {
		page := read[ConnectionPage](t, l.ask("GET", "/api/v1/connections?limit=2&cursor="+cursor, ""))
		all = append(all, accounts(page)...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(all) != 5 {
		t.Errorf("page by page: %v", all)
	}
	for _, query := range []string{"state=lost", "limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=WyJhIl0", "sort=x", "provider=a&provider=b"} {
		isProblem(t, query, l.ask("GET", "/api/v1/connections?"+query, ""), 400)
	}
}

func TestConnection(t *testing.T) {
	l := serve(t, `admin {}`)
	l.granted("other", "only")
	for _, account := range []string{"", "b/c ?&#"} {
		l.granted("acme", account)
	}
	c := read[Connection](t, l.ask("GET", "/api/v1/connections/other", ""))
	if c.Account != "only" || c.State != "active" || c.Health != "good" || c.Generation != 1 || !c.Renewable || c.Expires.IsZero() ||
		!slices.Equal(c.Needs, []string{"read", "write"}) || !slices.Equal(c.Granted, []string{"read", "admin"}) || !slices.Equal(c.Missing, []string{"write"}) || !slices.Equal(c.Extra, []string{"admin"}) {
		t.Errorf("%+v", c)
	}
	if len(c.History) != 1 || c.History[0].Reason != "granted" || c.History[0].By != "the test" || c.History[0].To != "active" {
		t.Errorf("%+v", c.History)
	}
	for query, want := range map[string]string{"?account=": "", "?account=b%2Fc+%3F%26%23": "b/c ?&#", "?account=b%2Fc+%3F%26%23&credential=oauth2": "b/c ?&#"} {
		if c := read[Connection](t, l.ask("GET", "/api/v1/connections/acme"+query, "")); c.Account != want {
			t.Errorf("%s: %+v", query, c)
		}
	}
	isProblem(t, "several", l.ask("GET", "/api/v1/connections/acme", ""), 409)
	for _, path := range []string{"nobody", "acme?account=x", "acme?account=&credential=x", "%2e%2e", "machine"} {
		isProblem(t, path, l.ask("GET", "/api/v1/connections/"+path, ""), 404)
	}
	isProblem(t, "another word", l.ask("GET", "/api/v1/connections/acme?acount=x", ""), 400)
}

func TestRefreshAndRevoke(t *testing.T) {
	l := serve(t, `admin {}`)
	l.granted("acme", "a")
	post := func(what string) answer { return l.ask("POST", "/api/v1/connections/acme/"+what+"?account=a", "") }
	if c := read[Connection](t, post("refresh")); c.Generation != 2 || c.State != "active" {
		t.Errorf("%+v", c)
	}
	l.mint = &oauth.Error{Status: 400, Code: "invalid_grant"}
	isProblem(t, "lost", post("refresh"), http.StatusConflict)
	isProblem(t, "after it", post("refresh"), http.StatusConflict)
	l.granted("acme", "a")
	l.mint = &oauth.Error{Status: 503, Code: "temporarily_unavailable"}
	if a := post("refresh"); a.StatusCode != http.StatusBadGateway || !strings.Contains(a.body, "temporarily_unavailable") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if c := read[Connection](t, l.ask("GET", "/api/v1/connections/acme?account=a", "")); c.Health != "failing" || c.Failures != 1 || !strings.Contains(c.Failure, "temporarily_unavailable") {
		t.Errorf("%+v", c)
	}
	l.mint = nil
	if c := read[Connection](t, post("refresh")); c.Health != "good" || c.Failures != 0 { // at once: somebody has mended it
		t.Errorf("%+v", c)
	}
	for range 2 {
		if c := read[Connection](t, post("revoke")); c.State != "revoked" || c.Health != "ended" || c.History[0].By != "admin API, from 127.0.0.1" || c.History[0].Reason != "revoked on request" {
			t.Errorf("%+v", c)
		}
	}
	isProblem(t, "revoked", post("refresh"), http.StatusConflict)
	for _, what := range []string{"refresh", "revoke"} {
		isProblem(t, what, l.ask("POST", "/api/v1/connections/acme/"+what+"?account=nobody", ""), 404)
		isProblem(t, what, l.ask("GET", "/api/v1/connections/acme/"+what, ""), 405)
	}
}

// TestExportImport moves everything to another Postern, and shows no token on the
// way.
func TestExportImport(t *testing.T) {
	l, there := serve(t, `admin {}`), serve(t, `admin {}`)
	for i := range 5 {
		l.granted("acme", fmt.Sprint("a", i))
	}
	key := seal.Generate()
	ask := Import{Key: key}
	for cursor := ""; ; {
		a := l.ask("POST", "/api/v1/connections/export", fmt.Sprintf(`{"key":%q,"limit":2,"cursor":%q}`, key, cursor))
		if strings.Contains(a.body, "canary") || strings.Contains(a.body, key) {
			t.Fatalf("a token is shown: %s", a.body)
		}
		page := read[Exported](t, a)
		for _, p := range page.Connections {
			ask.Connections = append(ask.Connections, Incoming{Provider: "other", SealedFor: p.Provider, Account: p.Account, Credential: p.Credential, Sealed: p.Sealed})
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(ask.Connections) != 5 {
		t.Fatalf("%d exported", len(ask.Connections))
	}
	ask.Connections = append(ask.Connections,
		Incoming{Provider: "nobody", Account: "x", Access: "canary-a"},
		Incoming{Provider: "machine", Account: "x", Access: "canary-a"},
		Incoming{Provider: "acme", Account: "x"},
		Incoming{Provider: "acme", Account: "x", Sealed: "!"},
		Incoming{Provider: "acme", Account: "x", Credential: "oauth2", Sealed: ask.Connections[0].Sealed}, // of another
		Incoming{Provider: "acme", Account: "plain", Access: "canary-a", Refresh: "canary-r", Scopes: []string{"read"}},
	)
	body, _ := json.Marshal(ask)
	a := there.ask("POST", "/api/v1/connections/import", string(body))
	got := read[Imported](t, a)
	if got.Imported != 6 || len(got.Refused) != 5 || strings.Contains(a.body, "canary") {
		t.Errorf("%s", a.body)
	}
	for _, r := range got.Refused {
		if r.Reason == "" || r.Hint == "" {
			t.Errorf("%+v", r)
		}
	}
	tok, _, err := there.keeper.Token(context.Background(), time.Time{}, there.keeper.Sources("other")[0], "a3")
	if err != nil || tok.Value != "canary-access-a3" {
		t.Errorf("%v %v", tok, err)
	}
	if got := read[Imported](t, there.ask("POST", "/api/v1/connections/import", string(body))); got.Imported != 0 || len(got.Refused) != 11 {
		t.Errorf("again: %+v", got)
	}
	for _, bad := range []string{`{}`, `{"key":"x"}`, `{"key":""}`} {
		isProblem(t, bad, l.ask("POST", "/api/v1/connections/export", bad), 422)
	}
	isProblem(t, "limit", l.ask("POST", "/api/v1/connections/export", `{"limit":1001}`), 400)
	isProblem(t, "cursor", l.ask("POST", "/api/v1/connections/export", `{"cursor":"x"}`), 400)
}

func TestReseal(t *testing.T) {
	l := serve(t, `admin {}`)
	for i := range 60 {
		l.granted("acme", fmt.Sprintf("a%02d", i))
	}
	for _, s := range l.keeper.Sources("acme") {
		s.Hosts = append(s.Hosts, "new.acme.com")
	}
	changed, pages := 0, 0
	for cursor := ""; ; {
		got := read[Resealed](t, l.ask("POST", "/api/v1/secrets/reseal", fmt.Sprintf(`{"provider":"acme","hosts":true,"cursor":%q}`, cursor)))
		changed, pages = changed+got.Changed, pages+1
		if cursor = got.Next; cursor == "" {
			break
		}
	}
	if changed != 60 || pages != 2 {
		t.Errorf("%d in %d pages", changed, pages)
	}
	if got := read[Resealed](t, l.ask("POST", "/api/v1/secrets/reseal", `{}`)); got.Changed != 0 {
		t.Errorf("%+v", got)
	}
	c := read[Connection](t, l.ask("GET", "/api/v1/connections/acme?account=a00", ""))
	if !slices.Equal(c.Hosts, []string{"api.acme.com", "new.acme.com"}) {
		t.Errorf("%+v", c)
	}
}

// TestNoTokenIsShown asks for everything that there is.
func TestNoTokenIsShown(t *testing.T) {
	l := serve(t, `admin {}`)
	l.granted("acme", "a")
	l.granted("other", "a")
	for _, r := range routes() {
		a := l.ask(r.method, r.target(), "{}")
		if strings.Contains(a.body, "canary") {
			t.Errorf("%s shows a token: %s", r.pattern(), a.body)
		}
	}
	if a := l.ask("GET", "/api/v1/connections", ""); !strings.Contains(a.body, `"account":"a"`) {
		t.Error("the test looks in the wrong place")
	}
}

func TestClientConnections(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	l.granted("acme", "a b/c")
	c := newClient(t, l.url, token)
	ctx := context.Background()
	account := "a b/c"
	which := Which{Provider: "acme", Account: &account, Credential: "oauth2"}
	if s, err := c.Connect(ctx, NewConnectSession{Provider: "acme"}); err != nil || s.URL == "" {
		t.Errorf("%+v %v", s, err)
	}
	if page, err := c.Connections(ctx, "acme", account, "active", 5, ""); err != nil || len(page.Connections) != 1 {
		t.Errorf("%+v %v", page, err)
	}
	if got, err := c.Connection(ctx, Which{Provider: "acme"}); err != nil || got.Account != account {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.Refresh(ctx, which); err != nil || got.Generation != 2 {
		t.Errorf("%+v %v", got, err)
	}
	key := seal.Generate()
	out, err := c.Export(ctx, Export{Key: key})
	if err != nil || len(out.Connections) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	p := out.Connections[0]
	if got, err := c.Import(ctx, Import{Key: key, Overwrite: true, Connections: []Incoming{{Provider: p.Provider, Account: p.Account, Credential: p.Credential, Sealed: p.Sealed}}}); err != nil || got.Imported != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.Reseal(ctx, Reseal{}); err != nil || got.Changed != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.Revoke(ctx, which); err != nil || got.State != "revoked" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := c.Connection(ctx, Which{Provider: "no/body"}); err == nil || !strings.Contains(err.Error(), "no connection") {
		t.Errorf("%v", err)
	}
}
