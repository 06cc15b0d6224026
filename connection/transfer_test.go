package connection_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
)

// refused checks that an error says what to do.
func refused(t *testing.T, what string, err error, want string) *connection.RequestError {
	t.Helper()
	var bad *connection.RequestError
	if !errors.As(err, &bad) || !strings.Contains(bad.Why, want) || bad.Hint == "" {
		t.Errorf("%s: %v, want %q and what to do", what, err, want)
		return &connection.RequestError{}
	}
	return bad
}

// export exports everything, two at a time.
func export(t *testing.T, k *connection.Keeper, key, provider string) (all []connection.Parcel) {
	t.Helper()
	for after := (connection.Key{}); ; {
		parcels, last, err := k.Export(t.Context(), key, provider, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parcels...)
		if after = last; last == (connection.Key{}) {
			return all
		}
	}
}

// TestExportImport carries connections to another Postern, whose seal is another,
// and back into calls.
func TestExportImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(time.Hour)
		here, there := newWorld(t, s), newWorld(t, s)
		k := here.process("here", false)
		here.connect(k, "over")
		for i := range 5 {
			here.connect(k, fmt.Sprint("a", i))
		}
		if _, err := k.Revoke(t.Context(), here.row("over").Key, "x", "test"); err != nil {
			t.Fatal(err)
		}
		if err := k.Ask(t.Context(), here.source, "asked", "test"); err != nil {
			t.Fatal(err)
		}
		key := seal.Generate()
		parcels := export(t, k, key, "shop")
		var names []string
		for _, p := range parcels {
			names = append(names, p.Account)
			if strings.Contains(string(p.Sealed), "token") || len(p.Sealed) < seal.Overhead {
				t.Errorf("%s is not sealed", p.Key)
			}
		}
		if want := []string{"a0", "a1", "a2", "a3", "a4"}; !slices.Equal(names, want) {
			t.Fatalf("%v, want %v", names, want)
		}
		if got := export(t, k, key, "other"); len(got) != 0 {
			t.Errorf("of another provider: %v", got)
		}
		time.Sleep(10 * time.Minute)
		other := there.process("there", false)
		for _, p := range parcels {
			c, err := connection.Unpack(key, &p)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Import(t.Context(), there.source, p.Account, c, false, "test"); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := there.token(other, "a4"), here.token(k, "a4"); got != want {
			t.Errorf("the token is %s, not %s", got, want)
		}
		r := there.row("a4")
		if left := r.Expiry.Sub(r.Now); left != 50*time.Minute || r.Generation != 1 || !slices.Equal(r.Granted, []string{"read"}) {
			t.Errorf("%v left, %+v", left, r)
		}
		time.Sleep(51 * time.Minute) // only the last one's refresh token is good with this server
		if got := there.token(other, "a4"); got != "access-token-7" {
			t.Errorf("renewed there, it is %s", got)
		}
		if !there.log.has("imported") {
			t.Error("nobody is told")
		}
	})
}

// TestParcelsAreBound: none can be opened for another account, nor under another
// key, nor changed.
func TestParcelsAreBound(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	w.connect(k, "a")
	key := seal.Generate()
	good := export(t, k, key, "")[0]
	if _, err := connection.Unpack(key, &good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*connection.Parcel){
		"account":    func(p *connection.Parcel) { p.Account = "b" },
		"provider":   func(p *connection.Parcel) { p.Provider = "evil" },
		"credential": func(p *connection.Parcel) { p.Credential += " GET /" },
		"a bit":      func(p *connection.Parcel) { p.Sealed = slices.Clone(p.Sealed); p.Sealed[len(p.Sealed)/2] ^= 1 },
		"cut":        func(p *connection.Parcel) { p.Sealed = p.Sealed[:len(p.Sealed)-1] },
		"nothing":    func(p *connection.Parcel) { p.Sealed = nil },
		"of the store": func(p *connection.Parcel) {
			p.Sealed = w.row("a").Access
		},
	} {
		p := good
		change(&p)
		_, err := connection.Unpack(key, &p)
		refused(t, name, err, "cannot be opened")
	}
	_, err := connection.Unpack(seal.Generate(), &good)
	refused(t, "another key", err, "cannot be opened")
	for _, bad := range []string{"", "canary", key[:len(key)-2]} {
		_, err := connection.Unpack(bad, &good)
		refused(t, "no key", err, "cannot be used")
		_, _, err = k.Export(t.Context(), bad, "", connection.Key{}, 10)
		if r := refused(t, "no key", err, "cannot be used"); bad != "" && strings.Contains(r.Why, bad) {
			t.Errorf("it shows the key: %v", r)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	good := connection.Carried{Access: "imported-access", Refresh: "imported-refresh"}
	for name, c := range map[string]struct {
		account string
		change  func(*connection.Carried)
		want    string
	}{
		"no tokens":        {"a", func(c *connection.Carried) { *c = connection.Carried{} }, "neither"},
		"expired":          {"a", func(c *connection.Carried) { c.Refresh, c.Expiry = "", time.Now().Add(-time.Second) }, "has expired"},
		"a line break":     {"a", func(c *connection.Carried) { c.Access = "a\nb" }, "access token is not one"},
		"a header":         {"a", func(c *connection.Carried) { c.Refresh = "a\r\nX-Y: z" }, "refresh token is not one"},
		"a space":          {"a", func(c *connection.Carried) { c.Access = "a b" }, "access token is not one"},
		"not ASCII":        {"a", func(c *connection.Carried) { c.Access = "ä" }, "access token is not one"},
		"long":             {"a", func(c *connection.Carried) { c.Access = strings.Repeat("a", 65<<10) }, "access token is not one"},
		"no JSON":          {"a", func(c *connection.Carried) { c.Answer = json.RawMessage("{") }, "no JSON"},
		"no name":          {"a\x00", func(*connection.Carried) {}, "no name"},
		"an unending name": {strings.Repeat("a", 257), func(*connection.Carried) {}, "no name"},
		"no UTF-8":         {"\xff", func(*connection.Carried) {}, "no name"},
		"spaces around it": {"a ", func(*connection.Carried) {}, "no name"},
	} {
		one := good
		c.change(&one)
		bad := refused(t, name, k.Import(t.Context(), w.source, c.account, &one, true, "test"), c.want)
		if strings.Contains(bad.Why+bad.Hint, "imported-") {
			t.Errorf("%s: it shows a token: %v", name, bad)
		}
	}
	if rows, _ := w.store.List(t.Context(), connection.Filter{}); len(rows) != 0 {
		t.Errorf("%d rows", len(rows))
	}
}

// TestImportOverwrites: what there is stays unless somebody says that it is not
// to.
func TestImportOverwrites(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	c := &connection.Carried{Access: "imported-access", Refresh: "imported-refresh"}
	if err := k.Ask(t.Context(), w.source, "asked", "test"); err != nil {
		t.Fatal(err)
	}
	if err := k.Import(t.Context(), w.source, "asked", c, false, "test"); err != nil {
		t.Errorf("one that was only asked for: %v", err)
	}
	w.connect(k, "a")
	w.connect(k, "over")
	if _, err := k.Revoke(t.Context(), w.row("over").Key, "x", "test"); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"a", "over", "asked"} {
		before := w.row(account)
		if bad := refused(t, account, k.Import(t.Context(), w.source, account, c, false, "test"), "already"); !bad.Exists {
			t.Errorf("%s: %+v", account, bad)
		}
		if after := w.row(account); after.Fence != before.Fence {
			t.Errorf("%s was changed", account)
		}
		if err := k.Import(t.Context(), w.source, account, c, true, "test"); err != nil {
			t.Errorf("%s: %v", account, err)
		}
		if got := w.token(k, account); got != "imported-access" {
			t.Errorf("%s: the token is %s", account, got)
		}
	}
}

// TestImportPlaces: where the policy reads the account's place from the answer,
// an answer that names another host is refused.
func TestImportPlaces(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	w.source.BaseURL = func(_ string, answer []byte) (string, error) {
		if strings.Contains(string(answer), "evil") {
			return "", errors.New("none of the provider's hosts")
		}
		return "https://api.shop.example", nil
	}
	c := &connection.Carried{Access: "x", Refresh: "y", Answer: json.RawMessage(`{"at":"evil"}`)}
	if err := k.Import(t.Context(), w.source, "a", c, false, "test"); err == nil || !strings.Contains(err.Error(), "hosts") {
		t.Errorf("%v", err)
	}
	c.Answer = json.RawMessage(`{"at":"good"}`)
	if err := k.Import(t.Context(), w.source, "a", c, false, "test"); err != nil || w.row("a").BaseURL != "https://api.shop.example" {
		t.Errorf("%v %+v", err, w.row("a"))
	}
}

// TestViews: a connection is shown with its state, and never with its tokens.
func TestViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(time.Hour)
		w := newWorld(t, s)
		k := w.process("one", false)
		health := func(account string) connection.Health {
			t.Helper()
			v, _, err := k.View(t.Context(), w.row(account).Key, 10)
			if err != nil {
				t.Fatal(err)
			}
			return v.Health
		}
		if err := k.Ask(t.Context(), w.source, "asked", "test"); err != nil {
			t.Fatal(err)
		}
		w.connect(k, "over")
		if _, err := k.Revoke(t.Context(), w.row("over").Key, "x", "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Grant(t.Context(), w.source, "short", &oauth.Token{Access: "x", Expiry: time.Now().Add(time.Minute)}, "test"); err != nil {
			t.Fatal(err)
		}
		w.connect(k, "a")
		if a, b, c, d := health("asked"), health("over"), health("a"), health("short"); a != connection.Waiting || b != connection.Ended || c != connection.Good || d != connection.Good {
			t.Errorf("%s %s %s %s", a, b, c, d)
		}
		s.fail = func(int) error { return &oauth.Error{Status: 503} }
		time.Sleep(50 * time.Minute)
		w.token(k, "a") // renewed behind it, in vain
		synctest.Wait()
		if got := health("a"); got != connection.Failing || health("short") != connection.Waiting {
			t.Errorf("%s %s", got, health("short"))
		}
		time.Sleep(11 * time.Minute)
		if got := health("a"); got != connection.Down {
			t.Errorf("%s", got)
		}
		s.fail = nil
		w.connect(k, "a")
		w.source.Hosts = []string{"api.shop.example", "new.shop.example"}
		if got := health("a"); got != connection.Blocked {
			t.Errorf("other hosts: %s", got)
		}
		w.source.Hosts, w.source.Scopes = []string{"api.shop.example"}, []string{"read", "write"}
		if _, err := k.Grant(t.Context(), w.source, "a", &oauth.Token{Access: "x", Scopes: []string{"read", "admin"}}, "test"); err != nil {
			t.Fatal(err)
		}
		v, history, err := k.View(t.Context(), w.row("a").Key, 2)
		if err != nil || !slices.Equal(v.Missing, []string{"write"}) || !slices.Equal(v.Surplus, []string{"admin"}) || v.Renewable || len(history) != 2 || history[0].Reason != "granted" {
			t.Errorf("%+v %v %v", v, history, err)
		}
		k.Swap(nil)
		if got := health("a"); got != connection.Blocked {
			t.Errorf("without a policy: %s", got)
		}
		views, err := k.Views(t.Context(), connection.Filter{})
		if err != nil || len(views) != 4 {
			t.Fatalf("%d, %v", len(views), err)
		}
		for _, v := range append(views, v) {
			if v.Access != nil || v.Refresh != nil || v.Extra != nil {
				t.Errorf("%s is shown with its tokens", v.Key)
			}
		}
		_, _, err = k.View(t.Context(), connection.Key{Provider: "shop", Account: "none"}, 1)
		if bad := refused(t, "none", err, "no connection"); !bad.Unknown {
			t.Errorf("%+v", bad)
		}
	})
}

func TestPick(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	name := func(s string) *string { return &s }
	pick := func(account *string, credential string) (string, error) {
		key, err := k.Pick(t.Context(), "shop", account, credential)
		return key.Account + "|" + key.Credential, err
	}
	_, err := pick(nil, "")
	refused(t, "none", err, "no connection")
	w.connect(k, "a")
	if got, err := pick(nil, ""); got != "a|oauth2" || err != nil {
		t.Errorf("the only one: %s %v", got, err)
	}
	w.connect(k, "")
	_, err = pick(nil, "")
	refused(t, "several", err, "several")
	for account, want := range map[string]string{"a": "a|oauth2", "": "|oauth2"} {
		if got, err := pick(name(account), ""); got != want || err != nil {
			t.Errorf("%q: %s %v", account, got, err)
		}
	}
	_, err = pick(name("b"), "")
	refused(t, "another", err, "no connection shop/b")
	_, err = pick(name("a"), "oauth2 GET /")
	refused(t, "another credential", err, "no connection")
	w.source.Credential = "oauth2 GET /"
	w.connect(k, "a")
	_, err = pick(name("a"), "")
	if bad := refused(t, "two of one account", err, "several"); !strings.Contains(bad.Hint, "credential") {
		t.Errorf("%+v", bad)
	}
	if got, err := pick(name("a"), "oauth2 GET /"); got != "a|oauth2 GET /" || err != nil {
		t.Errorf("%s %v", got, err)
	}
}

// TestEndedBy: an event of the provider ends a grant once.
func TestEndedBy(t *testing.T) {
	w := newWorld(t, newServer(time.Hour))
	k := w.process("one", false)
	end := func(account, event string, want int) {
		t.Helper()
		if n, err := k.EndedBy(t.Context(), "shop", account, "uninstalled", event); n != want || err != nil {
			t.Errorf("%s, %q: %d, %v, want %d", event, account, n, err, want)
		}
	}
	end("nobody", "event 0", 0)
	w.connect(k, "a")
	w.connect(k, "b")
	if err := k.Ask(t.Context(), w.source, "c", "test"); err != nil {
		t.Fatal(err)
	}
	end("c", "event 1", 0) // asked for is not granted
	end("", "event 2", 0)  // it does not say whose
	end("a", "event 3", 1)
	end("a", "event 3", 0) // again
	if r := w.row("a"); r.State != connection.Revoked || !r.RevokeDue.IsZero() || len(r.Access)+len(r.Refresh) != 0 {
		t.Errorf("%+v", r)
	}
	if _, _, err := k.Token(t.Context(), time.Time{}, w.source, "a"); state(err) != connection.Revoked {
		t.Errorf("%v", err)
	}
	w.connect(k, "a")
	end("a", "event 3", 0) // late: it was about the grant before
	if got := w.row("a").State; got != connection.Active {
		t.Errorf("an old event has ended a new grant: %s", got)
	}
	end("a", "event 4", 1)
	end("", "event 5", 1) // b is the only one that is left
	if got := w.row("b").State; got != connection.Revoked {
		t.Errorf("%s", got)
	}
	if len(w.server.revoked) != 0 {
		t.Errorf("the provider was told what it told us: %v", w.server.revoked)
	}
	broken := &flaky{Store: w.store}
	w.store = broken
	again := w.process("two", false)
	w.connect(again, "d")
	broken.set(true)
	if _, err := again.EndedBy(t.Context(), "shop", "d", "x", "event 6"); err == nil {
		t.Error("a store that does not answer is no success")
	}
}
