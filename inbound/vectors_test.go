package inbound_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// old lets timestamps of documents pass.
const old = `tolerance = "5200w"`

// declared says how the schemes of the vectors are written in a policy. What is
// not here needs code, or a secret that is longer.
var declared = map[string]string{
	"stripe": `verify "stripe" { %s }`, "stripe-empty-body": `verify "stripe" { %s }`, "meta/whatsapp": `verify "meta" { %s }`, "zoom": `verify "zoom" { %s }`,
	"x-event": `verify "x" { %s }`, "dropbox": `verify "dropbox" { %s }`, "intercom": `verify "intercom" { %s }`, "typeform": `verify "typeform" { %s }`,
	"trello": `verify "trello" { %s }`, "calendly": `verify "calendly" { %s }`, "xero": `verify "xero" { %s }`, "woocommerce": `verify "woocommerce" { %s }`,
	"sentry": `verify "sentry" { %s }`, "asana": `verify "asana" { %s }`, "notion": `verify "notion" { %s }`, "paystack": `verify "paystack" { %s }`,
	"twitch": `verify "twitch" { %s }`, "airwallex": `verify "airwallex" { %s }`, "gitlab-signing-token / standard-webhooks": `verify "gitlab" { %s }`,
	// The body of this one has no webhookTimestamp.
	"linear":          `verify "hmac" { %s header = "Linear-Signature" }`,
	"mollie-next-gen": `verify "hmac" { %s header = "X-Mollie-Signature" prefix = "sha256=" }`,

	"V1 GitHub": `verify "github" { %s }`, "V3 Bitbucket": `verify "bitbucket" { %s }`, "V4 Slack": `verify "slack" { %s }`, "V6 Standard": `verify "standard" { %s }`,
	"V6 Svix": `verify "svix" { %s }`, "V9 Shopify": `verify "shopify" { %s }`, "V9 Shopify, empty": `verify "shopify" { %s }`,
	"V12 Square": `verify "square" { %s }`, "V12 Square SDK": `verify "square" { %s }`, "V12 Square escaped": `verify "square" { %s }`,
	"V14 Paddle": `verify "paddle" { %s }`, "V16 Box": `verify "box" { %s }`, "V16 Box secondary": `verify "box" { %s }`, "V17 LINE": `verify "line" { %s }`, "V19 Razorpay": `verify "razorpay" { %s }`,
	"V18 HubSpot v1": `verify "hmac" { %s header = "X-HubSpot-Signature" secret_in = "message" message = "${secret}${raw_body}" }`,
}

type vector struct {
	Name    string            `json:"name"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Secret  string            `json:"secret"`
	URL     string            `json:"url"`
}

// published are vectors that providers print in their own documents and SDKs.
var published = []vector{
	{Name: "V1 GitHub", Secret: "It's a Secret to Everybody", Body: "Hello, World!", Headers: map[string]string{
		"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
	}},
	{Name: "V3 Bitbucket", Secret: "It's a Secret to Everybody", Body: "Hello World!", Headers: map[string]string{
		"X-Hub-Signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
	}},
	{
		Name: "V4 Slack", Secret: "8f742231b10e8888abcd99yyyzzz85a5",
		Body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
		Headers: map[string]string{
			"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature":         "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
		},
	},
	{Name: "V6 Standard", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Body: `{"test": 2432232314}`, Headers: map[string]string{
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	}},
	{Name: "V6 Svix", Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Body: `{"test": 2432232314}`, Headers: map[string]string{
		"svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": "1614265330", "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	}},
	{Name: "V9 Shopify", Secret: "hush", Body: `"my secret message"`, Headers: map[string]string{"X-Shopify-Hmac-Sha256": "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI="}},
	{Name: "V9 Shopify, empty", Secret: "hush", Headers: map[string]string{"X-Shopify-Hmac-Sha256": "Knm8rWjeSXNIt2H0AOMT7DQ8/YSy8sQi/pEjbuUmGMs="}},
	{
		Name: "V12 Square SDK", Secret: "signature-key", URL: "https://webhook.site/webhooks", Body: `{"data":{"type":"webhooks","id":"fake_id"}}`,
		Headers: map[string]string{"x-square-hmacsha256-signature": "W3FlCNk5IA3ZQ2LHTWoajvzfaDu/OwY2tNHIHC3IUOA="},
	},
	{
		Name: "V12 Square escaped", Secret: "signature-key", URL: "https://webhook.site/webhooks", Body: `{"data":{"type":"webhooks","id":">id<"}}`,
		Headers: map[string]string{"x-square-hmacsha256-signature": "Cxt7+aTi4rKgcA0bC4g9EHdVtLSDWdqccmL5MvihU4U="},
	},
	{Name: "V16 Box secondary", Secret: "SampleSecondaryKey", Body: `{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}`, Headers: map[string]string{
		"Box-Delivery-Timestamp": "2020-01-01T00:00:00-07:00", "Box-Signature-Primary": "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI=", "Box-Signature-Secondary": "v+1CD1Jdo3muIcbpv5lxxgPglOqMfsNHPV899xWYydo=",
	}},
	{
		Name: "V18 HubSpot v1", Secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
		Body:    `[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]`,
		Headers: map[string]string{"X-HubSpot-Signature": "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"},
	},
	{Name: "V19 Razorpay", Secret: "123456", Body: `{"a":1,"b":2,"c":{"d":3}}`, Headers: map[string]string{"X-Razorpay-Signature": "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"}},
	{
		Name: "V12 Square", Secret: "Ibxx_5AKakO-3qeNVR61Dw", URL: "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
		Body:    `{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}`,
		Headers: map[string]string{"x-square-hmacsha256-signature": "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="},
	},
	{
		Name: "V14 Paddle", Secret: "pdl_ntfset_01hsdn8d43dt7mezr1ef2jtbaw_hKkRiCGyyRhbFwIUuqiTBgI7gnWoV0Gr",
		Headers: map[string]string{"Paddle-Signature": "ts=1710929255;h1=6c05ef8fa83c44d751be6d259ec955ce5638e2c54095bf128e408e2fce1589c8"},
		Body:    `{"data":{"id":"pri_01hsdn96k2hxjzsq5yerecdj9j","name":null,"status":"active","quantity":{"maximum":999999,"minimum":1},"tax_mode":"account_setting","product_id":"pro_01hsdn8qp7yydry3x1yeg6a9rv","unit_price":{"amount":"1000","currency_code":"USD"},"custom_data":null,"description":"testing","import_meta":null,"trial_period":null,"billing_cycle":{"interval":"month","frequency":1},"unit_price_overrides":[]},"event_id":"evt_01hsdn97563968dy0szkmgjwh3","event_type":"price.created","occurred_at":"2024-03-20T10:07:35.590857Z","notification_id":"ntf_01hsdn977e920kbgzt6r6c9rqc"}`,
	},
	{Name: "V16 Box", Secret: "SamplePrimaryKey", Body: `{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}`, Headers: map[string]string{
		"Box-Delivery-Timestamp": "2020-01-01T00:00:00-07:00", "Box-Signature-Primary": "6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI=",
	}},
	{Name: "V17 LINE", Secret: "8c570fa6dd201bb328f1c1eac23a96d8", Body: `{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[]}`, Headers: map[string]string{
		"x-line-signature": "GhRKmvmHys4Pi8DxkF4+EayaH0OqtJtaZxgTD9fMDLs=",
	}},
}

func vectors(t testing.TB) (all []vector) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return append(all, published...)
}

// policy is a webhook with this verification, one attribute a line.
func policy(t testing.TB, verify, public string) string {
	head, rest, _ := strings.Cut(verify, "%s")
	name := strings.Split(head, `"`)[1]
	secrets, dated, handshakes := `secrets = [env("SECRET"), env("OLD", "another secret altogether")]`, strings.Contains(rest, "timestamp"), ""
	for _, s := range signatures(t) {
		if s.name != name {
			continue
		}
		if dated = s.dated(); s.g.SecretEncoding != "utf8" {
			secrets = `secrets = [env("SECRET")]`
		}
		for _, b := range s.body.Blocks {
			if b.Type == "handshake" && b.Body.Attributes["presented"] != nil && b.Body.Attributes["learn"] == nil {
				handshakes += fmt.Sprintf("handshake %q {\ntoken = [env(\"TOKEN\", \"a token of some length\")]\n}\n", b.Labels[0])
			}
		}
	}
	if dated {
		secrets += "\n" + old
	}
	for _, attr := range []string{"header =", "prefix =", "message =", "secret_in ="} {
		rest = strings.ReplaceAll(rest, " "+attr, "\n"+attr)
	}
	rest = strings.TrimSuffix(rest, "}")
	return fmt.Sprintf("inbound {\npublic_url = %q\n}\nwebhook \"hook\" {\npath = \"/hook\"\n%s\n%s\n%s\n%s}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", public, head, secrets, rest, handshakes)
}

// TestVendorVectors sends every vector that the declarative verifier covers
// through the listener, as it is and with its body changed.
func TestVendorVectors(t *testing.T) {
	ran := map[string]bool{}
	for _, v := range vectors(t) {
		verify, ok := declared[v.Name]
		if !ok {
			continue
		}
		ran[v.Name] = true
		t.Run(v.Name, func(t *testing.T) {
			public, path := "https://hooks.example.com", "/hook"
			if v.URL != "" {
				i := strings.Index(v.URL[8:], "/") + 8
				public, path = v.URL[:i], v.URL[i:]
			}
			src := strings.Replace(policy(t, verify, public), `path = "/hook"`, fmt.Sprintf("path = %q", path), 1)
			b := serve(t, mustLoad(t, src, "SECRET="+v.Secret))
			header := http.Header{}
			for name, value := range v.Headers {
				header.Set(name, value)
			}
			if got := b.post(path, v.Body, header); got.status != 200 {
				t.Errorf("status %d, %s", got.status, b.last(1).Result)
			}
			for what, body := range map[string]string{"a newline more": v.Body + "\n", "a byte less": strings.TrimSuffix(v.Body, "}"), "other escapes": strings.ReplaceAll(v.Body, `\u00e4`, "ä")} {
				if body == v.Body {
					continue
				}
				if got := b.post(path, body, header); got.status != 401 {
					t.Errorf("%s: status %d, want 401", what, got.status)
				}
			}
			if n := len(b.stored()); n != 1 {
				t.Errorf("%d events stored, want 1", n)
			}
		})
	}
	for name := range declared {
		if !ran[name] {
			t.Errorf("there is no vector %q", name)
		}
	}
}

// TestC36StaleVector: the same vectors with the usual tolerance are too old.
func TestC36StaleVector(t *testing.T) {
	for _, v := range vectors(t) {
		verify, ok := declared[v.Name]
		if !ok || !strings.Contains(policy(t, verify, ""), old) {
			continue
		}
		b := serve(t, mustLoad(t, strings.Replace(policy(t, verify, "https://hooks.example.com"), old, "", 1), "SECRET="+v.Secret))
		header := http.Header{}
		for name, value := range v.Headers {
			header.Set(name, value)
		}
		if got := b.post("/hook", v.Body, header); got.status != 401 || b.last(1).Result != "stale" {
			t.Errorf("%s: %d, %s, want 401 and stale", v.Name, got.status, b.last(1).Result)
		}
	}
}
