package e2e

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// signedBy is what one vendor's package signs, and the webhook of the catalogue that takes it.
type signedBy struct {
	vendor, verify string // of sign.mjs, and the name in the catalogue
	secret, policy string // what signs, and what the policy has; the same if policy is ""
	attr           string // of the verify block, "secrets" if ""
	body           string
	events         int // in it, 1 if 0
	form           bool
}

// publicURL is where the providers think that they post to.
const publicURL = "https://hooks.example.com"

func signers(t *testing.T) []signedBy {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	spki, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	item := func(reference string) string {
		return `{"NotificationRequestItem":{"pspReference":"` + reference + `","originalReference":"","merchantAccountCode":"Shop_ECOM","merchantReference":"order \\ 1","amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true","eventDate":"2026-11-29T10:00:00+01:00"}}`
	}
	return []signedBy{
		{vendor: "stripe", verify: "stripe", secret: "whsec_" + rand.Text(), body: `{"id":"evt_1","type":"thing.updated","created":1700000000,"n":9007199254740993}`},
		{vendor: "github", verify: "github", secret: rand.Text(), body: `{"action":"opened","n":1.0}`},
		{vendor: "standard", verify: "standard", secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text())), body: `{"type":"thing.made","n":1}`},
		{vendor: "svix", verify: "svix", secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text())), body: `{"type":"user.created","n":1}`},
		{vendor: "twilio", verify: "twilio", secret: rand.Text(), form: true, body: url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"delivered"}, "AccountSid": {"AC1"}, "To": {"+18005551212"}, "Body": {"hello & good-bye ✓"}}.Encode()},
		{vendor: "workos", verify: "workos", secret: rand.Text(), body: `{"id":"event_1","event":"user.created","data":{"id":"user_1"}}`},
		{vendor: "hubspot", verify: "hubspot", secret: rand.Text(), events: 2, body: `[{"eventId":1,"subscriptionId":2,"portalId":3,"occurredAt":1564113600000,"subscriptionType":"contact.creation","objectId":4},{"eventId":5,"subscriptionId":2,"portalId":3,"occurredAt":1564113600000,"subscriptionType":"contact.deletion","objectId":4}]`},
		{vendor: "adyen", verify: "adyen", secret: "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056", events: 2, body: `{"live":"false","notificationItems":[` + item("8835511210681324") + `,` + item("8835511210681325") + `]}`},
		{vendor: "gocardless", verify: "gocardless", secret: rand.Text(), events: 2, body: `{"events":[{"id":"EV1","created_at":"2026-11-29T10:00:00.000Z","action":"paid","resource_type":"payments","links":{"payment":"PM1"}},{"id":"EV2","created_at":"2026-11-29T10:00:01.000Z","action":"paid","resource_type":"payments","links":{"payment":"PM2"}}],"meta":{"webhook_id":"WB1"}}`},
		{vendor: "razorpay", verify: "razorpay", secret: rand.Text(), body: `{"entity":"event","event":"payment.captured","account_id":"acc_1","created_at":1700000000}`},
		{vendor: "discord", verify: "discord", secret: private(ed), policy: hex.EncodeToString(ed.Public().(ed25519.PublicKey)), attr: "keys", body: `{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2026-11-29T10:00:00.000000"}}`},
		{vendor: "sendgrid", verify: "sendgrid", secret: private(ec), policy: base64.StdEncoding.EncodeToString(spki), attr: "keys", events: 2, body: `[{"email":"a@example.com","timestamp":1513299569,"event":"processed","sg_event_id":"sg1","sg_message_id":"m1"},{"email":"a@example.com","timestamp":1513299570,"event":"delivered","sg_event_id":"sg2","sg_message_id":"m1"}]`},
	}
}

// TestSDKSignedVendors: what twelve vendors' own packages sign, or accept as signed, is taken through the listener, split
// where it is a batch, delivered byte for byte, and refused when one byte is another.
func TestSDKSignedVendors(t *testing.T) {
	harness.Binary(t)
	v := startVendors(t)
	app := application(t, nil)
	var policy strings.Builder
	var opts []harness.Option
	all := signers(t)
	for _, s := range all {
		attr, secret := s.attr, s.policy
		if attr == "" {
			attr = "secrets"
		}
		if secret == "" {
			secret = s.secret
		}
		name := strings.ToUpper(s.vendor) + "_SECRET"
		opts = append(opts, harness.WithEnv(name, secret))
		fmt.Fprintf(&policy, "webhook %[1]q {\n  catalog = %[2]q\n  path = \"/%[1]s\"\n  verify %[2]q {\n    %[3]s = [env(%[4]q)]\n  }\n  deliver {\n    to = \"%[5]s/%[1]s\"\n  }\n}\n", s.vendor, s.verify, attr, name, app.URL)
	}
	main := strings.Replace(harness.Main, `inbound { listen = "INBOUND" }`, "inbound {\n  listen = \"INBOUND\"\n  public_url = \""+publicURL+"\"\n}", 1)
	p := harness.Start(t, harness.Files{"postern.hcl": main, "hooks.hcl": policy.String()}, opts...)
	want := 0
	for _, s := range all {
		job := signJob{Vendor: s.vendor, Secret: s.secret, ID: "msg_" + s.vendor, Payload: s.body, URL: publicURL + "/" + s.vendor}
		signed := v.sign(t, "/"+s.vendor, job)
		forged := signed
		forged.Body = strings.Replace(signed.Body, "1", "7", 1)
		if status, _, err := send(p.Inbound, forged); err != nil || status != 401 {
			t.Errorf("%s with another byte: %d %v", s.vendor, status, err)
		}
		for range 2 { // the second is a duplicate
			if status, answer, err := send(p.Inbound, signed); err != nil || status < 200 || status > 299 {
				t.Errorf("%s: %d %q %v", s.vendor, status, answer, err)
			}
		}
		want += max(s.events, 1)
	}
	got := waitApplied(t, app, want)
	for _, s := range all {
		var mine []receiver.Delivery
		for _, d := range got {
			if d.Path == "/"+s.vendor {
				mine = append(mine, d)
			}
		}
		if len(mine) != max(s.events, 1) {
			t.Errorf("%s: %d events, want %d", s.vendor, len(mine), max(s.events, 1))
		}
		if s.events == 0 && s.vendor != "adyen" && len(mine) == 1 && string(mine[0].Body) != s.body {
			t.Errorf("%s: delivered as %s", s.vendor, mine[0].Body)
		}
	}
	t.Logf("%d vendors' packages, %d events", len(all), want)
}
