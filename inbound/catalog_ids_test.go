package inbound_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// sent is one request of a provider, as far as its events are concerned.
type sent struct {
	header http.Header
	body   string
}

// TestCatalogIDs: two sendings of one event are one, and two events are two, by what the
// catalogue knows them by.
func TestCatalogIDs(t *testing.T) {
	const formed = "application/x-www-form-urlencoded"
	with := func(kind string, pairs ...string) http.Header {
		return set(append([]string{"Content-Type", kind}, pairs...)...)
	}
	for name, tt := range map[string]struct {
		catalog            string
		first, same, other sent
	}{
		"Ashby: an id of its own": {
			"ashby",
			sent{jsonBody, `{"webhookActionId":"a","action":"candidateStageChange","data":{}}`},
			sent{jsonBody, `{"webhookActionId":"a","action":"candidateStageChange","data":{}}`},
			sent{jsonBody, `{"webhookActionId":"b","action":"candidateStageChange","data":{}}`},
		},
		"Attio: an item says neither when nor which": {
			"attio",
			sent{with(jsonType, "Idempotency-Key", "k1"), `{"webhook_id":"w","events":[{"event_type":"record.updated","id":{"record_id":"r"}}]}`},
			sent{with(jsonType, "Idempotency-Key", "k1"), `{"webhook_id":"w","events":[{"event_type":"record.updated","id":{"record_id":"r"}}]}`},
			sent{with(jsonType, "Idempotency-Key", "k2"), `{"webhook_id":"w","events":[{"event_type":"record.updated","id":{"record_id":"r"}}]}`},
		},
		"Box: the id of the delivery is another each time": {
			"box",
			sent{with(jsonType, "Box-Delivery-Id", "d1"), `{"id":"e","trigger":"FILE.UPLOADED","webhook":{"id":"w"},"source":{"id":"1"}}`},
			sent{with(jsonType, "Box-Delivery-Id", "d2"), `{"id":"e","trigger":"FILE.UPLOADED","webhook":{"id":"w"},"source":{"id":"1"}}`},
			sent{with(jsonType, "Box-Delivery-Id", "d3"), `{"id":"f","trigger":"FILE.UPLOADED","webhook":{"id":"w"},"source":{"id":"1"}}`},
		},
		"Expo: the id is that of a build": {
			"expo",
			sent{jsonBody, `{"id":"b","accountName":"a","status":"errored"}`},
			sent{jsonBody, `{"id":"b","accountName":"a","status":"errored"}`},
			sent{jsonBody, `{"id":"b","accountName":"a","status":"finished"}`},
		},
		"LinkedIn: several in a request": {
			"linkedin",
			sent{jsonBody, `{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS","notifications":[{"notificationId":1,"action":"COMMENT","lastModifiedAt":1691574506310}]}`},
			sent{jsonBody, `{"notifications":[{"notificationId":1,"action":"COMMENT","lastModifiedAt":1691574506310}],"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"}`},
			sent{jsonBody, `{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS","notifications":[{"notificationId":1,"action":"COMMENT","lastModifiedAt":1691574506310},{"notificationId":2,"action":"LIKE","lastModifiedAt":1691574506310}]}`},
		},
		"LinkedIn: a lead comes alone": {
			"linkedin",
			sent{jsonBody, `{"type":"LEAD_ACTION","leadGenFormResponse":"a","occurredAt":1691574506310}`},
			sent{jsonBody, `{"type":"LEAD_ACTION","leadGenFormResponse":"a","occurredAt":1691574506310}`},
			sent{jsonBody, `{"type":"LEAD_ACTION","leadGenFormResponse":"b","occurredAt":1691574506310}`},
		},
		"Messenger: an entry says when it was sent": {
			"meta",
			sent{jsonBody, `{"object":"page","entry":[{"id":"p","time":1700000000000,"messaging":[{"timestamp":1699999999000,"message":{"mid":"m"}}]}]}`},
			sent{jsonBody, `{"object":"page","entry":[{"id":"p","time":1700000060000,"messaging":[{"timestamp":1699999999000,"message":{"mid":"m"}}]}]}`},
			sent{jsonBody, `{"object":"page","entry":[{"id":"p","time":1700000000000,"messaging":[{"timestamp":1699999999000,"message":{"mid":"n"}}]}]}`},
		},
		"Revolut: a transfer": {
			"revolut",
			sent{jsonBody, `{"event":"TransactionStateChanged","timestamp":"2023-01-26T16:22:21.7Z","data":{"id":"t"}}`},
			sent{jsonBody, `{"event":"TransactionStateChanged","timestamp":"2023-01-26T16:22:21.7Z","data":{"id":"t"}}`},
			sent{jsonBody, `{"event":"TransactionStateChanged","timestamp":"2023-01-26T16:22:22.7Z","data":{"id":"t"}}`},
		},
		"Scrapfly: a job of the crawler has many": {
			"scrapfly",
			sent{with(jsonType, "X-Scrapfly-Webhook-Job-Id", "j"), `{"event":"crawler_started","payload":{"crawler_uuid":"j"}}`},
			sent{with(jsonType, "X-Scrapfly-Webhook-Job-Id", "j"), `{"event":"crawler_started","payload":{"crawler_uuid":"j"}}`},
			sent{with(jsonType, "X-Scrapfly-Webhook-Job-Id", "j"), `{"event":"crawler_finished","payload":{"crawler_uuid":"j"}}`},
		},
		"Shopify: one action, two topics": {
			"shopify",
			sent{with(jsonType, "X-Shopify-Event-Id", "e", "X-Shopify-Topic", "orders/create", "X-Shopify-Webhook-Id", "1"), `{"id":1}`},
			sent{with(jsonType, "X-Shopify-Event-Id", "e", "X-Shopify-Topic", "orders/create", "X-Shopify-Webhook-Id", "2"), `{"id":1}`},
			sent{with(jsonType, "X-Shopify-Event-Id", "e", "X-Shopify-Topic", "orders/updated", "X-Shopify-Webhook-Id", "3"), `{"id":1}`},
		},
		"Strava: two changes in a second": {
			"strava",
			sent{jsonBody, `{"object_type":"activity","object_id":1,"aspect_type":"update","event_time":1516126040,"owner_id":2,"updates":{"title":"a"}}`},
			sent{jsonBody, `{"object_type":"activity","object_id":1,"aspect_type":"update","event_time":1516126040,"owner_id":2,"updates":{"title":"a"}}`},
			sent{jsonBody, `{"object_type":"activity","object_id":1,"aspect_type":"update","event_time":1516126040,"owner_id":2,"updates":{"private":"true"}}`},
		},
		"Acuity": {
			"acuity", sent{with(formed), "action=changed&id=1"}, sent{with(formed), "action=changed&id=1"}, sent{with(formed), "action=canceled&id=1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, webhook(t, unsigned, catalogEvent(t, tt.catalog)))
			for i, one := range []sent{tt.first, tt.first, tt.same, tt.other} {
				if got := b.post("/h", one.body, one.header); got.status != 200 {
					t.Fatalf("answered %d", got.status)
				}
				all := b.stored()
				if want := 1 + i/3; len(all) != want || all[0].Status != inbound.Received {
					t.Fatalf("request %d: %d events, want %d; the newest is %s under %q", i+1, len(all), want, all[0].Status, all[0].EventID)
				}
			}
		})
	}
}

// TestCatalogPings: what says no more than that something has changed is another event
// a while later, although it is the same to the byte.
func TestCatalogPings(t *testing.T) {
	for name, body := range map[string]string{
		"acuity":      `{"action":"changed","id":"1"}`,
		"huggingface": `{"event":{"action":"update","scope":"repo.config"},"repo":{"id":"r"}}`,
		"nuvemshop":   `{"store_id":1,"event":"product/updated","id":7}`,
		"plaid":       `{"webhook_type":"TRANSACTIONS","webhook_code":"SYNC_UPDATES_AVAILABLE","item_id":"i","environment":"production"}`,
		"revolut":     `{"event":"ORDER_PAYMENT_DECLINED","order_id":"o"}`,
	} {
		b := serve(t, webhook(t, unsigned, catalogEvent(t, name)))
		b.post("/h", body, jsonBody)
		all := b.stored()
		if len(all) != 1 || !all[0].Weak || !strings.Contains(all[0].EventID, " ") {
			t.Errorf("%s: %d events, the newest is known by %q, weakly %v", name, len(all), all[0].EventID, all[0].Weak)
		}
	}
}

// TestCatalogNames: what the events of these are said to be.
func TestCatalogNames(t *testing.T) {
	for name, tt := range map[string]struct{ catalog, body, account, kind, key, at string }{
		"Adyen, management":         {"adyen_platform", `{"type":"merchant.updated","createdAt":"2022-08-12T10:50:01+02:00","data":{"companyId":"c","merchantId":"m"}}`, "m", "merchant.updated", "m", "2022-08-12T08:50:01Z"},
		"Adyen, platform":           {"adyen_platform", `{"type":"balancePlatform.transfer.created","timestamp":"2022-08-12T10:50:01+02:00","data":{"balancePlatform":"p","id":"t"}}`, "p", "balancePlatform.transfer.created", "t", "2022-08-12T08:50:01Z"},
		"GitLab":                    {"gitlab", `{"object_kind":"merge_request","project":{"id":1},"object_attributes":{"id":2,"updated_at":"2020-10-06 15:27:18 UTC"}}`, "1", "merge_request", "2", "2020-10-06T15:27:18Z"},
		"Mailgun":                   {"mailgun", `{"event-data":{"event":"delivered","timestamp":1529006854.5,"domain":{"name":"d.example"},"message":{"headers":{"message-id":"i"}}}}`, "d.example", "delivered", "i", "2018-06-14T20:07:34.5Z"},
		"Monday":                    {"monday", `{"event":{"triggerUuid":"u","type":"create_pulse","boardId":3,"pulseId":4,"triggerTime":"2021-10-11T09:07:28.210Z"}}`, "3", "create_pulse", "4", "2021-10-11T09:07:28.21Z"},
		"Nylas, delivered":          {"nylas", `{"id":"e","type":"message.delivered","time":1723821985,"data":{"grant_id":"g","object":{"message":{"id":"m"}}}}`, "g", "message.delivered", "m", "2024-08-16T15:26:25Z"},
		"Slack, a button":           {"slack", `{"payload":{"type":"block_actions","team":{"id":"T"}}}`, "T", "block_actions", "", ""},
		"Slack, a command":          {"slack", `{"command":"/deploy","team_id":"T"}`, "T", "/deploy", "", ""},
		"Slack, of an organization": {"slack", `{"event_id":"e","team_id":null,"enterprise_id":"E","event":{"type":"user_change"},"event_time":1700000000}`, "E", "user_change", "", "2023-11-14T22:13:20Z"},
		"Smartcar 4":                {"smartcar", `{"eventId":"e","eventType":"VEHICLE_STATE","vehicleId":"v"}`, "", "VEHICLE_STATE", "v", ""},
		"Stripe, thin":              {"stripe", `{"id":"evt_1","object":"v2.core.event","type":"v2.core.account.updated","context":"acct_1","created":"2026-11-30T07:00:00Z","related_object":{"id":"acct_1"}}`, "acct_1", "v2.core.account.updated", "acct_1", "2026-11-30T07:00:00Z"},
	} {
		b := serve(t, webhook(t, unsigned, catalogEvent(t, tt.catalog)))
		b.post("/h", tt.body, jsonBody)
		all := b.stored()
		if len(all) != 1 {
			t.Fatalf("%s: %d events", name, len(all))
		}
		e, at := all[0], ""
		if !e.Occurred.IsZero() {
			at = e.Occurred.UTC().Format("2006-01-02T15:04:05.999Z07:00")
		}
		if e.Account != tt.account || e.Type != tt.kind || e.Key != tt.key || at != tt.at {
			t.Errorf("%s: account %q, type %q, key %q, at %s; want %q, %q, %q, %s", name, e.Account, e.Type, e.Key, at, tt.account, tt.kind, tt.key, tt.at)
		}
	}
}
