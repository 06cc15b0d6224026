package inbound_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
	"github.com/postern-proxy/postern/inbound"
)

// TestVaries: what a provider counts in the body makes no other event of its repeat,
// and what else has changed makes a conflict.
func TestVaries(t *testing.T) {
	for name, tt := range map[string]struct {
		event, first string
		same         []string
		other        string
	}{
		"a member of the body": {
			"id = body.id\nvaries = [body.attempt, body.meta[\"sent.at\"]]", `{"id":"a","attempt":1, "meta":{"sent.at":"x","n":1.0},"v":1}`,
			[]string{`{"id":"a","attempt":2, "meta":{"sent.at":{"t":[1]},"n":1.0},"v":1}`, `{"id":"a","attempt":"third", "meta":{"sent.at":"x","n":1.0},"v":1}`},
			`{"id":"a","attempt":1, "meta":{"sent.at":"x","n":1.00},"v":1}`,
		},
		"one within another": {
			"id = body.id\nvaries = [body.meta.n, body.meta]", `{"id":"a","meta":{"n":1},"v":1}`,
			[]string{`{"id":"a","meta":{"n":2},"v":1}`, `{"id":"a","meta":7,"v":1}`},
			`{"id":"a","meta":{"n":1},"v":2}`,
		},
		"an element of a list": {
			"id = body.id\nvaries = [body.tries[0]]", `{"id":"a","tries":[1,5]}`, []string{`{"id":"a","tries":[2,5]}`}, `{"id":"a","tries":[1,6]}`,
		},
		"a member that is not there": {"id = body.id\nvaries = [body.attempt]", `{"id":"a"}`, nil, `{"id":"a","attempt":1}`},
		"a form has no members":      {"id = \"a\"\nvaries = [body.attempt]", `id=a&attempt=1`, nil, `id=a&attempt=2`},
		"broken JSON":                {"id = \"a\"\nvaries = [body.attempt]", `{"id":"a","attempt":1`, nil, `{"id":"a","attempt":2`},
		"an item, without an id": {
			"split = body.events\nvaries = [item.attempt]", `{"events":[{"v":1,"attempt":0}],"at":1}`,
			[]string{`{"at":2,"events":[{"v":1,"attempt":1}]}`},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			repeated(t, webhook(t, unsigned, "event {\n"+tt.event+"\n}"), tt.first, tt.same, tt.other)
		})
	}
	for name, tt := range map[string]struct{ catalog, first, same, other string }{
		"HubSpot": {
			"hubspot", `[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123}]`,
			`[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":1,"objectId":123}]`,
			`[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":124}]`,
		},
		"LINE": {
			"line", `{"destination":"U1","events":[{"type":"follow","timestamp":1462629479859,"webhookEventId":"01F","deliveryContext":{"isRedelivery":false},"source":{"userId":"U2"}}]}`,
			`{"destination":"U1","events":[{"type":"follow","timestamp":1462629479859,"webhookEventId":"01F","deliveryContext":{"isRedelivery":true},"source":{"userId":"U2"}}]}`,
			`{"destination":"U1","events":[{"type":"unfollow","timestamp":1462629479859,"webhookEventId":"01F","deliveryContext":{"isRedelivery":false},"source":{"userId":"U2"}}]}`,
		},
		"DocuSign": {
			"docusign", `{"event":"envelope-sent","retryCount":0,"generatedDateTime":"2026-11-30T07:00:00Z","data":{"accountId":"1","envelopeId":"e"}}`,
			`{"event":"envelope-sent","retryCount":3,"generatedDateTime":"2026-11-30T07:00:00Z","data":{"accountId":"1","envelopeId":"e"}}`,
			`{"event":"envelope-sent","retryCount":0,"generatedDateTime":"2026-11-30T07:00:00Z","data":{"accountId":"1","envelopeId":"e","v":1}}`,
		},
		"Apple": {
			"apple", `{"signedPayload":"e30.e30.AA"}`, `{"signedPayload":"e30.e30.AB"}`, "",
		},
		"Coinbase Commerce": {
			"coinbase_commerce", `{"attempt_number":1,"event":{"id":"e","type":"charge:pending","data":{"id":"c"}},"id":"d1","scheduled_for":"2023-08-30T19:29:20Z"}`,
			`{"attempt_number":2,"event":{"id":"e","type":"charge:pending","data":{"id":"c"}},"id":"d2","scheduled_for":"2023-08-30T20:29:20Z"}`,
			`{"attempt_number":1,"event":{"id":"e","type":"charge:failed","data":{"id":"c"}},"id":"d1","scheduled_for":"2023-08-30T19:29:20Z"}`,
		},
		"Google Pub/Sub": {
			"google", `{"message":{"messageId":"1","data":"e30="},"subscription":"s","deliveryAttempt":1}`,
			`{"message":{"messageId":"1","data":"e30="},"subscription":"s","deliveryAttempt":2}`,
			`{"message":{"messageId":"1","data":"e31="},"subscription":"s","deliveryAttempt":1}`,
		},
		"Intercom": {
			"intercom", `{"id":"notif_1","topic":"contact.tag.created","app_id":"a","data":{"item":{"id":"1"}},"delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1596633295}`,
			`{"id":"notif_1","topic":"contact.tag.created","app_id":"a","data":{"item":{"id":"1"}},"delivery_status":"retry","delivery_attempts":2,"delivered_at":1,"first_sent_at":1596633295}`,
			`{"id":"notif_1","topic":"contact.tag.created","app_id":"a","data":{"item":{"id":"2"}},"delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1596633295}`,
		},
		"Linear": {
			"linear", `{"type":"Issue","organizationId":"o","createdAt":"2026-11-30T07:00:00Z","data":{"id":"i"},"webhookTimestamp":1700000000000}`,
			`{"type":"Issue","organizationId":"o","createdAt":"2026-11-30T07:00:00Z","data":{"id":"i"},"webhookTimestamp":1700000060000}`, "",
		},
		"Mux": {
			"mux", `{"id":"e","type":"video.asset.ready","object":{"id":"o"},"environment":{"id":"v"},"attempts":[]}`,
			`{"id":"e","type":"video.asset.ready","object":{"id":"o"},"environment":{"id":"v"},"attempts":[{"id":"t","response_status_code":503}]}`,
			`{"id":"e","type":"video.asset.errored","object":{"id":"o"},"environment":{"id":"v"},"attempts":[]}`,
		},
		"Notion": {
			"notion", `{"id":"e","timestamp":"2026-11-30T07:00:00Z","workspace_id":"w","type":"page.created","entity":{"id":"p"},"attempt_number":1}`,
			`{"id":"e","timestamp":"2026-11-30T07:00:00Z","workspace_id":"w","type":"page.created","entity":{"id":"p"},"attempt_number":8}`,
			`{"id":"e","timestamp":"2026-11-30T07:00:00Z","workspace_id":"w","type":"page.deleted","entity":{"id":"p"},"attempt_number":1}`,
		},
		"Nylas": {
			"nylas", `{"id":"e","type":"message.created","time":1723821985,"webhook_delivery_attempt":1,"data":{"object":{"id":"m","grant_id":"g"}}}`,
			`{"id":"e","type":"message.created","time":1723821985,"webhook_delivery_attempt":2,"data":{"object":{"id":"m","grant_id":"g"}}}`,
			`{"id":"e","type":"message.created","time":1723821985,"webhook_delivery_attempt":1,"data":{"object":{"id":"n","grant_id":"g"}}}`,
		},
		"Paddle": {
			"paddle", `{"event_id":"evt_1","event_type":"price.created","occurred_at":"2024-03-20T10:07:35.590857Z","notification_id":"ntf_1","data":{"id":"pri_1"}}`,
			`{"event_id":"evt_1","event_type":"price.created","occurred_at":"2024-03-20T10:07:35.590857Z","notification_id":"ntf_2","data":{"id":"pri_1"}}`,
			`{"event_id":"evt_1","event_type":"price.created","occurred_at":"2024-03-20T10:07:35.590857Z","notification_id":"ntf_1","data":{"id":"pri_2"}}`,
		},
		"Scrapfly": {
			"scrapfly", `{"result":{"status":"DONE"},"context":{"webhook":{"name":"w","consecutive_failed_count":0},"job":{"uuid":"j"}}}`,
			`{"result":{"status":"DONE"},"context":{"webhook":{"name":"w","consecutive_failed_count":3},"job":{"uuid":"j"}}}`, "",
		},
		"Smartcar": {
			"smartcar", `{"eventId":"e","eventType":"VEHICLE_STATE","vehicleId":"v","data":{},"meta":{"version":"4.0","deliveryId":"d1","deliveredAt":1761896351529}}`,
			`{"eventId":"e","eventType":"VEHICLE_STATE","vehicleId":"v","data":{},"meta":{"version":"4.0","deliveryId":"d2","deliveredAt":1761896376529}}`,
			`{"eventId":"e","eventType":"VEHICLE_ERROR","vehicleId":"v","data":{},"meta":{"version":"4.0","deliveryId":"d1","deliveredAt":1761896351529}}`,
		},
		"Stripe": {
			"stripe", `{"id":"evt_1","type":"charge.succeeded","created":1700000000,"pending_webhooks":2,"data":{"object":{"id":"ch_1"}}}`,
			`{"id":"evt_1","type":"charge.succeeded","created":1700000000,"pending_webhooks":1,"data":{"object":{"id":"ch_1"}}}`,
			`{"id":"evt_1","type":"charge.succeeded","created":1700000000,"pending_webhooks":2,"data":{"object":{"id":"ch_2"}}}`,
		},
		"Telnyx": {
			"telnyx", `{"data":{"id":"e","event_type":"message.received","occurred_at":"2026-11-30T07:00:00Z"},"meta":{"attempt":1,"delivered_to":"https://a.example/"}}`,
			`{"data":{"id":"e","event_type":"message.received","occurred_at":"2026-11-30T07:00:00Z"},"meta":{"attempt":2,"delivered_to":"https://b.example/"}}`,
			`{"data":{"id":"e","event_type":"message.sent","occurred_at":"2026-11-30T07:00:00Z"},"meta":{"attempt":1,"delivered_to":"https://a.example/"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			repeated(t, webhook(t, unsigned, catalogEvent(t, tt.catalog)), tt.first, []string{tt.same}, tt.other)
		})
	}
}

// catalogEvent is the event block of a webhook of the catalogue, as it is written.
func catalogEvent(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(catalog.Files, name+".hcl")
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(text, name+".hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, hook := range f.Body.(*hclsyntax.Body).Blocks {
		for _, b := range hook.Body.Blocks {
			if hook.Type == "webhook" && b.Type == "event" {
				return string(b.Range().SliceBytes(text))
			}
		}
	}
	t.Fatal(name + " has no event block")
	return ""
}

// repeated sends a body, bodies that are the same event, and one that is in conflict.
func repeated(t *testing.T, set *inbound.Set, first string, same []string, other string) {
	t.Helper()
	b := serve(t, set)
	for _, body := range append([]string{first, first}, same...) {
		if got := b.post("/h", body, jsonBody); got.status != 200 {
			t.Fatalf("answered %d", got.status)
		}
		if all := b.stored(); len(all) != 1 || all[0].Status == inbound.Conflict {
			t.Fatalf("%d events after %s, the newest %s", len(all), body, all[0].Status)
		}
	}
	if other == "" {
		return
	}
	b.post("/h", other, jsonBody)
	if all := b.stored(); len(all) != 2 || all[0].Status != inbound.Conflict {
		t.Errorf("%d events after %s, the newest %s", len(all), other, all[0].Status)
	}
}

// TestVariesNamesMembers: what is not a member of the event cannot be cut out of it.
func TestVariesNamesMembers(t *testing.T) {
	for event, accepted := range map[string]bool{
		"varies = [body.a]":                            true,
		"varies = []":                                  true,
		"varies = [body]":                              false,
		"varies = [upper(body.a)]":                     false,
		"varies = [header[\"X-Try\"]]":                 false,
		"varies = [\"body.a\"]":                        false,
		"varies = body.a":                              false,
		"varies = [item.a]":                            false,
		"split = body.events\nvaries = [item.a]":       true,
		"split = body.events\nvaries = [body.a]":       false,
		"split = body.events\nvaries = [group.a]":      false,
		"split = body.events\nvaries = [item.a, item]": false,
	} {
		_, diags := load(fmt.Sprintf("webhook \"h\" {\npath = \"/h\"\n%s\ndeliver { to = \"http://127.0.0.1:1/\" }\nevent {\n%s\n}\n}\n", unsigned, event))
		if diags.HasErrors() == accepted {
			t.Errorf("%s: accepted is %v: %v", strings.ReplaceAll(event, "\n", "; "), !accepted, diags)
		}
	}
}
