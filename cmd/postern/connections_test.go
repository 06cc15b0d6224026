package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/admin"
)

// reader collects what is read.
func reader(t *testing.T, text string, renamed map[string]string, key string) (got []admin.Incoming, refused []admin.Refused, err error) {
	t.Helper()
	i := &importer{ask: admin.Import{Key: key}, send: func(ask admin.Import) (admin.Imported, error) {
		got = append(got, ask.Connections...)
		return admin.Imported{Imported: len(ask.Connections)}, nil
	}}
	err = readIncoming(strings.NewReader(text), renamed, i)
	if err := i.flush(); err != nil {
		t.Fatal(err)
	}
	return got, i.done.Refused, err
}

// documented is the example of Nango's documentation
// (docs.nango.dev/reference/api/connection/get), without its comments.
const nangoExample = `{
  "id": 18393, "created_at": "2023-03-08T09:43:03.725Z", "updated_at": "2023-03-08T09:43:03.725Z",
  "provider_config_key": "github", "connection_id": "1",
  "credentials": {
    "type": "OAUTH2", "access_token": "gho_tsXLG73f....", "refresh_token": "gho_fjofu84u9....", "expires_at": "2024-03-08T09:43:03.725Z",
    "raw": {"access_token": "gho_tsXLG73f....", "refresh_token": "gho_fjofu84u9....", "token_type": "bearer", "scope": "public_repo,user"}
  },
  "connection_config": {"subdomain": "myshop", "realmId": "XXXXX", "instance_id": "YYYYYYY"}, "account_id": 0, "metadata": {"myProperty": "yes", "filter": "closed=true"}
}`

func TestImportNango(t *testing.T) {
	for name, text := range map[string]string{
		"one": nangoExample, "a list": "[" + nangoExample + "]", "an object with a list": `{"connections":[` + nangoExample + "]}", "lines": nangoExample + "\n" + nangoExample,
	} {
		got, refused, err := reader(t, text, map[string]string{"github": "gh"}, "")
		if err != nil || len(refused) != 0 || len(got) < 1 {
			t.Fatalf("%s: %v %v %v", name, got, refused, err)
		}
		c := got[0]
		if c.Provider != "gh" || c.SealedFor != "" || c.Account != "1" || c.Access != "gho_tsXLG73f...." || c.Refresh != "gho_fjofu84u9...." || !slices.Equal(c.Scopes, []string{"public_repo", "user"}) ||
			!c.Expires.Equal(time.Date(2024, 3, 8, 9, 43, 3, 725e6, time.UTC)) || !json.Valid(c.Answer) || c.Credential != "" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	got, refused, err := reader(t, `[{"connection_id":"k","provider_config_key":"stripe","credentials":{"type":"API_KEY","apiKey":"canary"}}, {"connection_id":"n","provider_config_key":"slack","credentials":{"type":"OAUTH2","access_token":"x","raw":null}}]`, nil, "")
	if err != nil || len(got) != 1 || got[0].Provider != "slack" || got[0].Answer != nil || len(refused) != 1 || refused[0].Account != "k" || strings.Contains(fmt.Sprint(refused), "canary") {
		t.Errorf("%v %v %v", got, refused, err)
	}
}

func TestImportReads(t *testing.T) {
	const line = `{"format":"postern-connection-1","provider":"github","account":"a","credential":"oauth2","state":"active","sealed":"AAAA"}`
	got, _, err := reader(t, line+"\n"+line, map[string]string{"github": "gh"}, "key")
	if err != nil || len(got) != 2 || got[0].Provider != "gh" || got[0].SealedFor != "github" || got[0].Sealed != "AAAA" || got[0].Credential != "oauth2" {
		t.Errorf("%+v %v", got, err)
	}
	for text, want := range map[string]string{
		line + "\n{":                     "connection 2 is not JSON",
		"x":                              "connection 1 is not JSON",
		`"x"`:                            "connection 1",
		"null":                           "neither",
		"{}":                             "neither",
		`[1]`:                            "connection 1",
		line + `[{"connection_id":"x"}]`: "connection 2: it is neither",
		`{"connection_id":"x","provider_config_key":"y"}`: "with its credentials", // what GET /connections lists
		strings.Replace(line, "-1", "-2", 1):              `format "postern-connection-2"`,
		`{"connection_id":"x","provider_config_key":"y","credentials":{"type":"OAUTH2","expires_at":"tomorrow"}}`: "connection 1",
	} {
		if _, _, err := reader(t, text, nil, "key"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, _, err := reader(t, line, nil, ""); err == nil || !strings.Contains(err.Error(), "--key") {
		t.Errorf("without a key: %v", err)
	}
}

// TestImportPortions: what is sent at once fits into a request, and what was sent
// before a failure is said.
func TestImportPortions(t *testing.T) {
	var sizes []int
	var fail error
	i := &importer{send: func(ask admin.Import) (admin.Imported, error) {
		body, err := json.Marshal(ask)
		if err != nil || len(body) > 900<<10 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		sizes = append(sizes, len(ask.Connections))
		return admin.Imported{Imported: len(ask.Connections)}, fail
	}}
	for range 250 {
		if err := i.add(admin.Incoming{Account: "a", Access: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		if err := i.add(admin.Incoming{Account: "a", Access: strings.Repeat("x", 64<<10), Refresh: strings.Repeat("x", 64<<10), Answer: json.RawMessage(`"` + strings.Repeat("x", 64<<10) + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	fail = errors.New("no more")
	if err := i.flush(); err != nil {
		if !strings.Contains(err.Error(), "no more") {
			t.Error(err)
		}
	}
	if sizes[0] != 100 || sizes[1] != 100 || slices.Max(sizes[2:]) > 60 {
		t.Errorf("%v", sizes)
	}
	i.ask.Connections = []admin.Incoming{{}}
	if err := i.flush(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("after %d connections", i.done.Imported)) {
		t.Errorf("%v", err)
	}
}
