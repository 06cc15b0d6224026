package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/oauth"
)

// TestRevokedByEvent: a signed event of an uninstall ends the grant of its
// account before it is acknowledged, once; other events, other accounts and
// events that nobody signed end none.
func TestRevokedByEvent(t *testing.T) {
	const secret = "whsec_0123456789abcdef"
	policyOf := func(verify string) string {
		return `webhook "` + verify + `" {
  catalog = "slack"
  path    = "/` + verify + `"
  verify "` + verify + `" {` + map[string]string{"slack": "\n    secrets = [file(\"signing\")]\n  ", "none": ""}[verify] + `}
  deliver { to = "http://127.0.0.1:9/" }
}
`
	}
	g, _ := startGate(t, map[string]string{
		"signing": secret, "client": "client-secret-0123456789", "hooks.hcl": policyOf("slack") + policyOf("none"),
		"slack.hcl": "provider \"slack\" {\n  catalog = \"slack\"\n  credential \"oauth2\" {\n    client_id     = \"me\"\n    client_secret = [file(\"client\")]\n  }\n}\n",
	})
	source := g.keeper.Sources("slack")[0]
	grant := func(account string) {
		t.Helper()
		if _, err := g.keeper.Grant(t.Context(), source, account, &oauth.Token{Access: "xoxb-token-of-" + account, Raw: []byte("{}")}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	state := func(account string) connection.State {
		t.Helper()
		r, err := g.db.Connections().Load(t.Context(), connection.Key{Provider: "slack", Account: account, Credential: "oauth2"})
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	send := func(path, id, kind, team string) int {
		t.Helper()
		body := fmt.Sprintf(`{"event_id":%q,"team_id":%q,"event":{"type":%q}}`, id, team, kind)
		at := fmt.Sprint(time.Now().Unix())
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "v0:%s:%s", at, body)
		req, _ := http.NewRequest(http.MethodPost, "http://"+g.webhooks.Addr().String()+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Slack-Request-Timestamp", at)
		req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	grant("T1")
	grant("T2")
	for _, s := range []struct {
		path, id, kind, team string
		t1                   connection.State
	}{
		{"/slack", "Ev1", "message", "T1", connection.Active},
		{"/slack", "Ev2", "app_uninstalled", "T9", connection.Active}, // nobody knows it
		{"/none", "Ev3", "app_uninstalled", "T1", connection.Active},
		{"/slack", "Ev4", "app_uninstalled", "T1", connection.Revoked},
	} {
		if status := send(s.path, s.id, s.kind, s.team); status != http.StatusOK || state("T1") != s.t1 {
			t.Errorf("%v: %d, T1 is %s", s, status, state("T1"))
		}
	}
	grant("T1") // installed again
	if status := send("/slack", "Ev4", "app_uninstalled", "T1"); status != http.StatusOK || state("T1") != connection.Active {
		t.Errorf("the event once more: %d, T1 is %s", status, state("T1"))
	}
	if state("T2") != connection.Active {
		t.Errorf("T2 is %s", state("T2"))
	}
}

// TestCatalogRevokedBy holds the catalogue's conditions to events as the
// providers document them.
func TestCatalogRevokedBy(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"stripe", "slack", "github", "square"} {
		write(t, dir, name+".hcl", fmt.Sprintf("webhook %q {\n  catalog = %[1]q\n  path = \"/%[1]s\"\n  verify %[1]q { secrets = [env(\"S\")] }\n  deliver { to = \"http://127.0.0.1:3000/\" }\n}\nprovider %[1]q { catalog = %[1]q }\n", name))
	}
	write(t, dir, "inbound.hcl", "inbound { public_url = \"https://hooks.example.com\" }\n")
	hooks := map[string]*inbound.Webhook{}
	for _, h := range valid(t, dir).hooks {
		hooks[h.Name] = h
	}
	for _, c := range []struct {
		hook, body, account string
		header              http.Header
		ends                bool
	}{
		{"stripe", `{"id":"evt_1","type":"account.application.deauthorized","account":"acct_1"}`, "acct_1", nil, true},
		{"stripe", `{"id":"evt_1","type":"account.application.authorized","account":"acct_1"}`, "acct_1", nil, false},
		{"stripe", `{"id":"evt_1","type":"account.updated","account":"acct_1"}`, "acct_1", nil, false},
		// developer.squareup.com/reference/square/webhooks/oauth.authorization.revoked
		{"square", `{"merchant_id":"J9Z30SF99NPFJ","type":"oauth.authorization.revoked","event_id":"e","created_at":"2020-01-26T02:25:34Z"}`, "J9Z30SF99NPFJ", nil, true},
		{"square", `{"merchant_id":"J9Z30SF99NPFJ","type":"payment.updated","event_id":"e"}`, "J9Z30SF99NPFJ", nil, false},
		// docs.slack.dev/reference/events/app_uninstalled, tokens_revoked
		{"slack", `{"token":"XXYYZZ","team_id":"TXXXXXXXX","api_app_id":"AXXXXXXXXX","event":{"type":"app_uninstalled"},"type":"event_callback","event_id":"EvXXXXXXXX","event_time":1234567890}`, "TXXXXXXXX", nil, true},
		{"slack", `{"token":"XXYYZZ","team_id":"TXXXXXXXX","api_app_id":"AXXXXXXXXX","event":{"type":"tokens_revoked","tokens":{"oauth":["UXXXXXXXX"],"bot":["UXXXXXXXX"]}},"type":"event_callback","event_id":"EvXXXXXXXX","event_time":1234567890}`, "TXXXXXXXX", nil, true},
		{"slack", `{"team_id":"TXXXXXXXX","event":{"type":"tokens_revoked","tokens":{"oauth":["UXXXXXXXX"],"bot":[]}}}`, "TXXXXXXXX", nil, false}, // users alone
		{"slack", `{"team_id":"TXXXXXXXX","event":{"type":"tokens_revoked","tokens":{"oauth":["UXXXXXXXX"]}}}`, "TXXXXXXXX", nil, false},
		{"slack", `{"team_id":"TXXXXXXXX","event":{"type":"message","tokens":{"bot":["UXXXXXXXX"]}}}`, "TXXXXXXXX", nil, false},
		{"github", `{"action":"deleted","installation":{"id":2,"account":{"login":"octocat","id":1},"app_id":5725,"target_type":"User"},"repositories":[],"sender":{"id":1}}`, "2", nil, true},
		{"github", "payload=%7B%22action%22%3A%22deleted%22%2C%22installation%22%3A%7B%22id%22%3A2%2C%22app_id%22%3A5725%7D%7D", "2", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, true},
		{"github", `{"action":"created","installation":{"id":2,"account":{"login":"octocat","id":1},"app_id":5725}}`, "2", nil, false},
		{"github", `{"action":"suspend","installation":{"id":2,"account":{"login":"octocat","id":1},"app_id":5725}}`, "2", nil, false},
		{"github", `{"action":"deleted","release":{"id":1},"repository":{"id":3},"installation":{"id":2,"node_id":"x"}}`, "2", http.Header{"X-Github-Event": {"installation"}}, false}, // replayed under another name
	} {
		h := hooks[c.hook]
		n := &inbound.Names{Request: &inbound.Request{Header: c.header, Body: []byte(c.body)}}
		account, _ := h.Event.Account.String(n)
		kind, _ := h.Event.Type.String(n)
		n.Event = &inbound.Event{Type: kind, Account: account}
		if got := h.RevokedBy.True(n); got != c.ends || account != c.account {
			t.Errorf("%s of %q ends it: %t\n%s", c.hook, account, got, c.body)
		}
	}
}
