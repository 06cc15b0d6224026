package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

// TestCatalogNested: what Meta and WhatsApp send of several things at once is an event for
// each of them.
func TestCatalogNested(t *testing.T) {
	const secret = "an-app-secret-of-some-length"
	t.Setenv("SECRET", secret)
	t.Setenv("TOKEN", "a-token-of-some-length")
	for name, tt := range map[string]struct {
		body string
		want []string // account, type, id or - if there is none, and body
	}{
		"meta": {
			`{"object":"page","entry":[{"id":"p1","time":1458692752478,"changes":[{"field":"feed","value":{"item":"like"}},{"field":"name","value":"x"}]},{"id":"p2","time":1458692752478,"messaging":[{"message":{"mid":"m1"}},{"message":{"mid":"m2"}}]},{"id":"p3","time":1458692752478,"standby":[{"message":{"mid":"m3"}}]}]}`,
			[]string{
				`p1|page feed|-|{"field":"feed","value":{"item":"like"}}`, `p1|page name|-|{"field":"name","value":"x"}`,
				`p2|page|-|{"message":{"mid":"m1"}}`, `p2|page|-|{"message":{"mid":"m2"}}`, `p3|page|-|{"message":{"mid":"m3"}}`,
			},
		},
		"whatsapp": {
			`{"object":"whatsapp_business_account","entry":[{"id":"w1","changes":[{"field":"messages","value":{"messages":[{"id":"wamid.1","from":"49","timestamp":"1700000000"}]}},{"field":"messages","value":{"statuses":[{"id":"wamid.0","status":"read","timestamp":"1700000001"}]}},{"field":"messages","value":{"messages":[{"id":"a"},{"id":"b"}]}}]},{"id":"w2","changes":[{"field":"account_update","value":{"event":"x"}}]}]}`,
			[]string{
				`w1|messages|wamid.1|{"field":"messages","value":{"messages":[{"id":"wamid.1","from":"49","timestamp":"1700000000"}]}}`,
				`w1|messages|wamid.0 read|{"field":"messages","value":{"statuses":[{"id":"wamid.0","status":"read","timestamp":"1700000001"}]}}`,
				`w1|messages|-|{"field":"messages","value":{"messages":[{"id":"a"},{"id":"b"}]}}`, `w2|account_update|-|{"field":"account_update","value":{"event":"x"}}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "p.hcl", fmt.Sprintf("webhook %[1]q {\ncatalog = %[1]q\npath = \"/x\"\nverify %[1]q {\nsecrets = [env(\"SECRET\")]\nhandshake \"subscribe\" { token = [env(\"TOKEN\")] }\n}\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n", name))
			hook := valid(t, dir).hooks[0]
			m := store.NewMemory().Inbox()
			in := inbound.New(inbound.Options{Store: m})
			set, diags := inbound.NewSet(inbound.Config{}, []*inbound.Webhook{hook})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			in.Swap(set)
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(tt.body))
			r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
			w := httptest.NewRecorder()
			if in.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			page, err := m.List(t.Context(), inbound.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range slices.Backward(page.Events) {
				body, err := m.Body(t.Context(), e.ID)
				if err != nil {
					t.Fatal(err)
				}
				id := e.EventID
				if e.Weak {
					id = "-"
				}
				got = append(got, strings.Join([]string{e.Account, e.Type, id, string(body.Body)}, "|"))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("stored\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
