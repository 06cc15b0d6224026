package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/store"
)

// oversightOffers says of each webhook of the catalogue with a reconcile or subscription
// block what a policy has to add, and what its provider is asked and says. AT is a
// time within the run.
var oversightOffers = []struct {
	name, add string
	answers   map[string]string // by method, path and query without times
	want      []string          // what is asked, in this order
	id, kind  string            // of the event that is fetched
	body      string
	header    [2]string
}{
	{
		name: "stripe", add: "reconcile {}",
		want: []string{"GET /v1/events?created[gte]=T&limit=100", "GET /v1/events?created[gte]=T&limit=100&starting_after=evt_1"},
		answers: map[string]string{
			"GET /v1/events?created[gte]=T&limit=100":                      `{"object":"list","has_more":true,"data":[{"id":"evt_1","type":"charge.succeeded","created":UNIX}]}`,
			"GET /v1/events?created[gte]=T&limit=100&starting_after=evt_1": `{"object":"list","has_more":false,"data":[]}`,
		},
		id: "evt_1", kind: "charge.succeeded", body: `{"id":"evt_1","type":"charge.succeeded","created":UNIX}`,
	},
	{
		name: "github", add: `reconcile { params = { owner = "acme", repo = "shop", hook = "7" } }`,
		want: []string{"GET /repos/acme/shop/hooks/7/deliveries?per_page=100", "GET /repos/acme/shop/hooks/7/deliveries/12345678901234567"},
		answers: map[string]string{
			"GET /repos/acme/shop/hooks/7/deliveries?per_page=100":      `[{"id":12345678901234567,"guid":"g-1","delivered_at":"AT","redelivery":false,"status":"failed to connect","status_code":502,"event":"issues","action":"opened","installation_id":123,"repository_id":5}]`,
			"GET /repos/acme/shop/hooks/7/deliveries/12345678901234567": `{"id":12345678901234567,"guid":"g-1","event":"issues","request":{"headers":{"X-GitHub-Delivery":"g-1"},"payload":{"action":"opened","installation":{"id":123}}},"response":{}}`,
		},
		id: "g-1", kind: "issues", body: `{"action":"opened","installation":{"id":123}}`, header: [2]string{"X-Github-Event", "issues"},
	},
	{
		name: "paypal", add: "reconcile {}",
		want: []string{"GET /v1/notifications/webhooks-events?page_size=100&start_time=T", "GET /v1/notifications/webhooks-events?page_size=100&next_page_token=x"},
		answers: map[string]string{
			"GET /v1/notifications/webhooks-events?page_size=100&start_time=T":      `{"events":[{"id":"WH-1","create_time":"AT","event_type":"PAYMENT.SALE.COMPLETED","resource":{"id":"r"}}],"count":1,"links":[{"href":"https://api-m.paypal.com/v1/notifications/webhooks-events?page_size=100&next_page_token=x","rel":"next","method":"GET"}]}`,
			"GET /v1/notifications/webhooks-events?page_size=100&next_page_token=x": `{"events":[],"count":0,"links":[]}`,
		},
		id: "WH-1", kind: "PAYMENT.SALE.COMPLETED", body: `{"id":"WH-1","create_time":"AT","event_type":"PAYMENT.SALE.COMPLETED","resource":{"id":"r"}}`,
	},
	{
		name: "square", add: "reconcile {}",
		want: []string{`POST /v2/events {"limit":100,"query":{"filter":{"created_at":{"start_at":"T"}},"sort":{"order":"ASC"}}}`, `POST /v2/events {"cursor":"c","limit":100,"query":{"filter":{"created_at":{"start_at":"T"}},"sort":{"order":"ASC"}}}`},
		answers: map[string]string{
			`POST /v2/events {"limit":100,"query":{"filter":{"created_at":{"start_at":"T"}},"sort":{"order":"ASC"}}}`:              `{"events":[{"merchant_id":"M","type":"payment.updated","event_id":"e-1","created_at":"AT","data":{"id":"d"}}],"cursor":"c"}`,
			`POST /v2/events {"cursor":"c","limit":100,"query":{"filter":{"created_at":{"start_at":"T"}},"sort":{"order":"ASC"}}}`: `{}`,
		},
		id: "e-1", kind: "payment.updated", body: `{"merchant_id":"M","type":"payment.updated","event_id":"e-1","created_at":"AT","data":{"id":"d"}}`,
	},
	{
		name: "paddle", add: "provider = \"paddle\"\nreconcile {}",
		want: []string{"GET /notifications?from=T&per_page=200"},
		answers: map[string]string{
			"GET /notifications?from=T&per_page=200": `{"data":[{"id":"ntf_1","status":"failed","payload":{"event_id":"evt_1","event_type":"customer.created","occurred_at":"AT","data":{"id":"ctm_1"}}}],"meta":{"pagination":{"per_page":200,"next":"https://api.paddle.com/notifications?after=ntf_1","has_more":false}}}`,
		},
		id: "evt_1", kind: "customer.created", body: `{"event_id":"evt_1","event_type":"customer.created","occurred_at":"AT","data":{"id":"ctm_1"}}`,
	},
	{
		name: "shopify", add: `subscription { params = { shop = "acme.myshopify.com", address = "https://hooks.example.com/shopify" } }`,
		want:    []string{"GET https://acme.myshopify.com/admin/api/2026-10/webhooks.json?limit=250"},
		answers: map[string]string{"GET https://acme.myshopify.com/admin/api/2026-10/webhooks.json?limit=250": `{"webhooks":[{"id":1,"topic":"orders/create","address":"https://hooks.example.com/shopify"}]}`},
	},
	{
		name: "airtable", add: `subscription { params = { base = "app1", webhook = "ach1" } }`,
		want: []string{"GET /v0/bases/app1/webhooks", "POST /v0/bases/app1/webhooks/ach1/refresh", "GET /v0/bases/app1/webhooks"},
		answers: map[string]string{
			"GET /v0/bases/app1/webhooks":               `{"webhooks":[{"id":"ach0","areNotificationsEnabled":true},{"id":"ach1","areNotificationsEnabled":true,"expirationTime":"SOON"}]}`,
			"POST /v0/bases/app1/webhooks/ach1/refresh": `{"expirationTime":"LATE"}`,
		},
	},
	{
		name: "dropbox", add: "provider = \"dropbox\"\nreconcile {}",
		want: []string{`POST /2/files/list_folder/continue {"cursor":"c0"}`, `POST /2/files/list_folder/continue {"cursor":"c1"}`},
		answers: map[string]string{
			`POST /2/files/list_folder/get_latest_cursor {"path":"","recursive":true}`: `{"cursor":"c0"}`,
			`POST /2/files/list_folder/continue {"cursor":"c0"}`:                       `{"entries":[{".tag":"file","name":"a.txt","path_lower":"/a.txt","id":"id:1","rev":"r1","server_modified":"AT"}],"cursor":"c1","has_more":true}`,
			`POST /2/files/list_folder/continue {"cursor":"c1"}`:                       `{"entries":[],"cursor":"c2","has_more":false}`,
		},
		id: "file id:1 r1", kind: "file", body: `{".tag":"file","name":"a.txt","path_lower":"/a.txt","id":"id:1","rev":"r1","server_modified":"AT"}`,
	},
	{
		name: "airtable", add: `reconcile { params = { base = "app1", webhook = "ach1" } }`,
		want: []string{"GET /v0/bases/app1/webhooks/ach1/payloads?limit=50&cursor=2"}, // the first run has read what was there
		answers: map[string]string{
			"GET /v0/bases/app1/webhooks/ach1/payloads?limit=50&cursor=1": `{"payloads":[{"timestamp":"AT","baseTransactionNumber":4,"actionMetadata":{"source":"client"},"changedTablesById":{}}],"cursor":2,"mightHaveMore":true}`,
			"GET /v0/bases/app1/webhooks/ach1/payloads?limit=50&cursor=2": `{"payloads":[],"cursor":2,"mightHaveMore":false}`,
		},
		id: "ach1 4 a210587e862316c22b7742778b261f563ec5e9b66204f2f21745a0cdcf053576", kind: "client", body: `{"timestamp":"AT","baseTransactionNumber":4,"actionMetadata":{"source":"client"},"changedTablesById":{}}`,
	},
	{
		name: "microsoft_graph", add: `subscription { params = { id = "s-1" } }`,
		want: []string{"GET /v1.0/subscriptions/s-1", `PATCH /v1.0/subscriptions/s-1 {"expirationDateTime":"T"}`, "GET /v1.0/subscriptions/s-1"},
		answers: map[string]string{
			"GET /v1.0/subscriptions/s-1":                              `{"id":"s-1","expirationDateTime":"SOON"}`,
			`PATCH /v1.0/subscriptions/s-1 {"expirationDateTime":"T"}`: `{"id":"s-1","expirationDateTime":"LATE"}`,
		},
	},
}

// TestCatalogOversight: the catalogue's reconcile and subscription ask what their
// providers understand, and understand what these say; without being named by a
// policy they ask nothing.
func TestCatalogOversight(t *testing.T) {
	for _, o := range oversightOffers {
		t.Run(o.name, func(t *testing.T) {
			if hook := catalogHook(t, o.name, ""); hook.Reconcile != nil || hook.Subscription != nil {
				t.Fatal("it asks although no policy says so")
			}
			hook := catalogHook(t, o.name, o.add)
			synctest.Test(t, func(t *testing.T) {
				m, start := store.NewMemory(), time.Now()
				at, soon := start.Add(10*time.Minute), start.Add(2*time.Hour)
				words := strings.NewReplacer("UNIX", fmt.Sprint(at.Unix()), "AT", at.UTC().Format(time.RFC3339), "SOON", soon.UTC().Format(time.RFC3339))
				in := inbound.New(inbound.Options{Store: m.Inbox()})
				set, diags := inbound.NewSet(inbound.Config{PublicURL: "https://hooks.example.com"}, []*inbound.Webhook{hook})
				if diags.HasErrors() {
					t.Fatal(diags)
				}
				in.Swap(set)
				since := "T"
				var mu sync.Mutex
				var asked []string
				r := oversight.New(oversight.Options{Inbox: in, Store: m.Oversight(), Egress: func(string, string) func(*http.Request) (*http.Response, error) {
					return func(r *http.Request) (*http.Response, error) {
						q := r.Method + " " + r.URL.String()
						if r.Body != nil {
							text, _ := io.ReadAll(r.Body)
							q += " " + string(text)
						}
						for _, back := range []time.Duration{0, time.Hour, -48 * time.Hour} {
							for _, from := range []time.Time{start, time.Now().Add(-back), start.Add(-back)} {
								for _, text := range []string{from.UTC().Format(time.RFC3339), fmt.Sprint(from.Unix())} {
									q = strings.ReplaceAll(q, text, since)
								}
							}
						}
						mu.Lock()
						asked = append(asked, q)
						mu.Unlock()
						text, ok := o.answers[q]
						if !ok {
							text = `{"data":[],"events":[],"webhooks":[]}`
						}
						return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(words.Replace(text)))}, nil
					}
				}})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); r.Run(ctx) }()
				defer func() { cancel(); <-done }()
				if hook.Subscription != nil {
					time.Sleep(5 * time.Second)
					synctest.Wait()
				} else {
					time.Sleep(14 * time.Minute)
					synctest.Wait()
					mu.Lock()
					asked = nil
					mu.Unlock()
					time.Sleep(5 * time.Minute)
					synctest.Wait()
				}
				mu.Lock()
				got := strings.Join(asked, "\n")
				mu.Unlock()
				if got != strings.Join(o.want, "\n") {
					t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(o.want, "\n"))
				}
				if hook.Subscription != nil {
					all, err := r.Subscriptions(t.Context())
					if err != nil || len(all) != 1 || all[0].Health != oversight.Active && len(o.want) == 1 || len(o.want) > 1 && (all[0].Renewed.IsZero() || !all[0].Expires.Equal(soon)) {
						t.Errorf("%+v, %v", all, err)
					}
					return
				}
				page, err := m.Inbox().List(t.Context(), inbound.Filter{})
				if err != nil || len(page.Events) != 1 {
					t.Fatalf("%+v, %v", page, err)
				}
				e, err := m.Inbox().Body(t.Context(), page.Events[0].ID)
				if err != nil || e.EventID != o.id || e.Type != o.kind || string(e.Body) != words.Replace(o.body) || !e.Verified || !e.Occurred.Equal(at) {
					t.Errorf("%+v, %v", e, err)
				}
				if h := o.header; h[0] != "" && e.Header.Get(h[0]) != h[1] {
					t.Errorf("headers %v", e.Header)
				}
			})
		})
	}
}

// TestCatalogOversightParams: what only the user knows is asked for where it is
// missing.
func TestCatalogOversightParams(t *testing.T) {
	for name, block := range map[string]string{"github": "reconcile", "shopify": "subscription", "airtable": "subscription", "microsoft_graph": "subscription"} {
		dir := t.TempDir()
		write(t, dir, "p.hcl", catalogPolicy(name, block+" {}"))
		_, diags, err := check(dir)
		if err != nil || !diags.HasErrors() || !strings.Contains(diags.Error(), "write params = {") {
			t.Errorf("%s: %v, %v", name, diags, err)
		}
	}
}

func catalogPolicy(name, add string) string {
	verify := fmt.Sprintf("verify %q {\n secrets = [env(\"SECRET\")]\n}", map[string]string{"microsoft_graph": "client_state"}[name])
	switch name {
	case "paypal":
		verify = "verify \"none\" {}"
	case "microsoft_graph":
	default:
		verify = fmt.Sprintf("verify %q {\n secrets = [env(\"SECRET\")]\n}", name)
	}
	return fmt.Sprintf("inbound { public_url = \"https://hooks.example.com\" }\nwebhook %q {\n catalog = %q\n path = \"/x\"\n%s\n deliver { to = \"http://127.0.0.1:3000/\" }\n%s\n}\nprovider \"paddle\" { hosts = [\"api.paddle.com\"] }\nprovider \"dropbox\" { hosts = [\"api.dropboxapi.com\"] }\n", name, name, verify, add)
}

func catalogHook(t *testing.T, name, add string) *inbound.Webhook {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.hcl"), []byte(catalogPolicy(name, add)), 0o600); err != nil {
		t.Fatal(err)
	}
	l := valid(t, dir)
	return l.hooks[0]
}
