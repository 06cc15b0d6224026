package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

const isForm = "application/x-www-form-urlencoded"

// TestCatalogEvents: what providers send, one request after the other, becomes these
// events, each once: the items of a list are events of their own, a repeat is none, and
// what are two things are two events.
func TestCatalogEvents(t *testing.T) {
	for _, tt := range []struct {
		hook, kind string
		bodies     []string
		want       []string // account, type, id or - if there is none, key, and when
	}{
		{"line", "", []string{
			`{"destination":"U1","events":[]}`,
			`{"destination":"U1","events":[{"type":"message","webhookEventId":"E1","timestamp":1700000000000,"source":{"userId":"u1"}}]}`,
			`{"destination":"U1","events":[{"type":"message","webhookEventId":"E1","timestamp":1700000000000,"source":{"userId":"u1"}},{"type":"follow","webhookEventId":"E2","timestamp":1700000001000,"source":{"userId":"u2"}}]}`,
		}, []string{"U1|message|E1|u1|2023-11-14T22:13:20Z", "U1|follow|E2|u2|2023-11-14T22:13:21Z"}},
		{"okta", "", []string{
			`{"source":"https://o","data":{"events":[{"uuid":"a","eventType":"user.x","published":"2026-11-30T10:00:00Z","target":[{"id":"t1"}]},{"uuid":"b","eventType":"user.y","published":"2026-11-30T10:00:01Z"}]}}`,
			`{"source":"https://o","data":{"events":[{"uuid":"a","eventType":"user.x","published":"2026-11-30T10:00:00Z","target":[{"id":"t1"}]}]}}`,
		}, []string{"https://o|user.x|a||2026-11-30T10:00:00Z", "https://o|user.y|b||2026-11-30T10:00:01Z"}},
		{"event_grid", "", []string{
			`[{"id":"1","eventType":"T","topic":"/t","subject":"s","eventTime":"2026-11-30T10:00:00Z"},{"id":"2","eventType":"T","topic":"/t","subject":"r","eventTime":"2026-11-30T10:00:00Z"}]`,
			`[{"id":"1","eventType":"T","topic":"/t","subject":"s","eventTime":"2026-11-30T10:00:00Z"}]`,
			`{"specversion":"1.0","id":"3","type":"C","source":"/c","subject":"q","time":"2026-11-30T10:00:00Z"}`,
		}, []string{"/t|T|1|s|2026-11-30T10:00:00Z", "/t|T|2|r|2026-11-30T10:00:00Z", "/c|C|3|q|2026-11-30T10:00:00Z"}},
		{"quickbooks", "", []string{
			`[{"specversion":"1.0","id":"88cd52aa","source":"intuit.x","type":"qbo.account.created.v1","time":"2025-09-10T21:31:25.179851517Z","intuitentityid":"1234","intuitaccountid":"310687","data":{}},{"specversion":"1.0","id":"88cd52ab","type":"qbo.invoice.created.v1","time":"2025-09-10T21:31:26Z","intuitentityid":"95","intuitaccountid":"310688","data":{}}]`,
			`{"eventNotifications":[{"realmId":"310687","dataChangeEvent":{"entities":[{"id":"1234","operation":"Create","name":"Account","lastUpdated":"2025-09-08T20:52:31.657Z"},{"id":"7","operation":"Update","name":"Invoice","lastUpdated":"2025-09-08T20:52:32Z"}]}}]}`,
		}, []string{
			"310687|qbo.account.created.v1|88cd52aa|1234|2025-09-10T21:31:25.179851517Z", "310688|qbo.invoice.created.v1|88cd52ab|95|2025-09-10T21:31:26Z",
			"310687|Account.Create|-|1234|2025-09-08T20:52:31.657Z", "310687|Invoice.Update|-|7|2025-09-08T20:52:32Z",
		}},
		{"pusher", "", []string{
			`{"time_ms":1700000000000,"events":[{"name":"channel_occupied","channel":"a"},{"name":"client_event","channel":"b"}]}`,
			`{"time_ms":1700000000000,"events":[{"name":"channel_occupied","channel":"a"},{"name":"client_event","channel":"b"}]}`,
			`{"time_ms":1700000001000,"events":[{"name":"channel_occupied","channel":"a"}]}`,
		}, []string{"|channel_occupied|-|a|2023-11-14T22:13:20Z", "|client_event|-|b|2023-11-14T22:13:20Z", "|channel_occupied|-|a|2023-11-14T22:13:21Z"}},
		{"statsig", "", []string{`{"data":[{"eventName":"a","timestamp":1700000000000},{"eventName":"b","timestamp":1700000001000}]}`}, []string{"|a|-||2023-11-14T22:13:20Z", "|b|-||2023-11-14T22:13:21Z"}},
		{"pandadoc", "", []string{`[{"event":"document_state_changed","data":{"id":"d1","date_modified":"2026-11-30T10:00:00.5Z"}},{"event":"recipient_completed","data":{"id":"d2","date_modified":"2026-11-30T10:00:00Z"}}]`}, []string{
			"|document_state_changed|-|d1|2026-11-30T10:00:00.5Z", "|recipient_completed|-|d2|2026-11-30T10:00:00Z",
		}},
		{"docusign", "", []string{
			`{"event":"envelope-completed","retryCount":0,"generatedDateTime":"2023-08-15T16:05:32.1234567Z","data":{"accountId":"A","envelopeId":"E"}}`,
			`{"event":"recipient-completed","retryCount":0,"generatedDateTime":"2023-08-15T16:05:32.1234567Z","data":{"accountId":"A","envelopeId":"E","recipientId":"1"}}`,
			`{"event":"recipient-completed","retryCount":0,"generatedDateTime":"2023-08-15T16:05:32.1234567Z","data":{"accountId":"A","envelopeId":"E","recipientId":"2"}}`,
		}, []string{
			"A|envelope-completed|E envelope-completed 2023-08-15T16:05:32.1234567Z -|E|2023-08-15T16:05:32.1234567Z",
			"A|recipient-completed|E recipient-completed 2023-08-15T16:05:32.1234567Z 1|E|2023-08-15T16:05:32.1234567Z",
			"A|recipient-completed|E recipient-completed 2023-08-15T16:05:32.1234567Z 2|E|2023-08-15T16:05:32.1234567Z",
		}},
		{"twilio", isForm, []string{
			"AccountSid=AC&MessageSid=SM1&SmsStatus=received", "AccountSid=AC&MessageSid=SM1&MessageStatus=delivered", "AccountSid=AC&CallSid=CA1&CallStatus=completed&SequenceNumber=3",
			"AccountSid=AC&CallSid=CA1&RecordingSid=RE1&RecordingStatus=in-progress", "AccountSid=AC&CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed&RecordingUrl=x", "AccountSid=AC&CallSid=CA1&RecordingSid=RE2&RecordingStatus=completed",
			"AccountSid=AC&CallSid=CA1&CallStatus=in-progress&Digits=1", "AccountSid=AC&CallSid=CA1&CallStatus=in-progress&Digits=2",
			"AccountSid=AC&CallSid=CA1&ConferenceSid=CF1&StatusCallbackEvent=participant-join&SequenceNumber=3", "AccountSid=AC&ConferenceSid=CF1&StatusCallbackEvent=conference-end&SequenceNumber=4",
		}, []string{
			"AC|received|SM1 received|SM1|", "AC|delivered|SM1 delivered|SM1|", "AC|completed|CA1 3|CA1|",
			"AC|in-progress|RE1 in-progress|RE1|", "AC|completed|RE1 completed|RE1|", "AC|completed|RE2 completed|RE2|",
			"AC|in-progress|-|CA1|", "AC|in-progress|-|CA1|",
			"AC|participant-join|CF1 3|CF1|", "AC|conference-end|CF1 4|CF1|",
		}},
		{"microsoft_graph", "", []string{`{"value":[{"changeType":"updated","tenantId":"T","resource":"r"},{"lifecycleEvent":"subscriptionRemoved","tenantId":"T","subscriptionId":"s"}]}`}, []string{"T|updated|-|r|", "T|subscriptionRemoved|-||"}},
		{"meta", "", []string{`{"object":"page","entry":[{"id":"p","time":1700000000,"changes":[{"field":"feed"}]},{"id":"p","time":1700000000123,"messaging":[{}]}]}`}, []string{"p|page feed|-||2023-11-14T22:13:20Z", "p|page|-||2023-11-14T22:13:20.123Z"}},
		{"stripe", "", []string{`{"id":"evt_1","type":"v1.billing.meter.x","created":"2026-11-30T10:00:00.5Z","object":"v2.core.event","related_object":{"id":"mtr_1"}}`}, []string{"|v1.billing.meter.x|evt_1|mtr_1|2026-11-30T10:00:00.5Z"}},
		{"xero", "", []string{`{"events":[{"resourceId":"r","eventDateUtc":"2017-06-21T01:15:39.902","eventType":"Update","tenantId":"T"}],"entropy":"x"}`}, []string{"T|Update|-|r|2017-06-21T01:15:39.902Z"}},
		{"woocommerce", "", []string{`{"id":7,"date_modified_gmt":"2026-11-30T10:00:00"}`}, []string{"||-|7|2026-11-30T10:00:00Z"}},
		{"github", isForm, []string{"payload=%7B%22installation%22%3A%7B%22id%22%3A5%7D%2C%22repository%22%3A%7B%22id%22%3A7%7D%7D"}, []string{"5||-|7|"}},
	} {
		t.Run(tt.hook, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "p.hcl", fmt.Sprintf("webhook %[1]q {\ncatalog = %[1]q\npath = \"/x\"\nprovider = \"p\"\nverify \"none\" {}\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\nprovider \"p\" { hosts = [\"api.example.com\"] }\n", tt.hook))
			hook := valid(t, dir).hooks[0]
			m := store.NewMemory().Inbox()
			in := inbound.New(inbound.Options{Store: m})
			set, diags := inbound.NewSet(inbound.Config{}, []*inbound.Webhook{hook})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			in.Swap(set)
			for _, body := range tt.bodies {
				r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				if tt.kind != "" {
					r.Header.Set("Content-Type", tt.kind)
				}
				w := httptest.NewRecorder()
				if in.ServeHTTP(w, r); w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			if got := told(t, m); !slices.Equal(got, tt.want) {
				t.Errorf("stored\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// told is what is known of the events of a store, the oldest first.
func told(t *testing.T, m inbound.Store) (got []string) {
	t.Helper()
	page, err := m.List(t.Context(), inbound.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(page.Events) {
		id, at := e.EventID, ""
		if e.Weak {
			id = "-"
		}
		if !e.Occurred.IsZero() {
			at = e.Occurred.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if e.Status == inbound.Conflict || e.Status == inbound.Quarantined {
			id += " " + string(e.Status)
		}
		got = append(got, strings.Join([]string{e.Account, e.Type, id, e.Key, at}, "|"))
	}
	return got
}
