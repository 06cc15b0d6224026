package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// vendorPolicy is one webhook per scheme that a vendor of the catalogue uses, each with a secret being rotated.
const vendorPolicy = `
webhook "stripe" {
  catalog = "stripe"
  path    = "/stripe"
  verify "stripe" {
    secrets = [env("STRIPE_NEW"), env("STRIPE_OLD")]
  }
  deliver {
    to = "RECEIVER/stripe"
  }
}

webhook "github" {
  catalog = "github"
  path    = "/github"
  verify "github" {
    secrets = [env("GITHUB_NEW"), env("GITHUB_OLD")]
  }
  deliver {
    to = "RECEIVER/github"
  }
}

webhook "slack" {
  catalog = "slack"
  path    = "/slack"
  verify "slack" {
    secrets = [env("SLACK_NEW"), env("SLACK_OLD")]
  }
  deliver {
    to = "RECEIVER/slack"
  }
}

webhook "standard" {
  path = "/standard"
  verify "standard" {
    secrets = [env("STANDARD_NEW"), env("STANDARD_OLD")]
  }
  event {
    type = body.type
  }
  deliver {
    to = "RECEIVER/standard"
  }
}
`

// hooks is a Postern with vendorPolicy, its secrets and its application.
type hooks struct {
	*harness.Postern
	app     *receiver.Receiver
	secrets map[string]string
}

func startHooks(t *testing.T, answer func(receiver.Delivery) int) *hooks {
	t.Helper()
	harness.Binary(t)
	h := &hooks{app: application(t, answer), secrets: map[string]string{}}
	var opts []harness.Option
	for _, v := range []string{"STRIPE", "GITHUB", "SLACK", "STANDARD"} {
		for _, age := range []string{"_NEW", "_OLD"} {
			secret := rand.Text()
			switch v {
			case "STRIPE":
				secret = "whsec_" + secret
			case "STANDARD":
				secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
			}
			h.secrets[strings.ToLower(v+age)] = secret
			opts = append(opts, harness.WithEnv(v+age, secret))
		}
	}
	h.Postern = harness.Start(t, harness.Files{"hooks.hcl": strings.ReplaceAll(vendorPolicy, "RECEIVER", h.app.URL)}, opts...)
	return h
}

// payloads are bodies that break whoever touches them between the wire and the signature.
func payloads(id string) map[string]string {
	return map[string]string{
		"plain":         fmt.Sprintf(`{"id":%q,"type":"thing.updated","created":1700000000,"account":"acct_1"}`, id+"_plain"),
		"pretty":        fmt.Sprintf("{\n  \"id\": %q,\n  \"type\" : \"thing.updated\"\n}\n", id+"_pretty"),
		"unicode":       fmt.Sprintf(`{"id":%q,"type":"thing.updated","name":"Ünïcödé ✓ e\u0301 é \u00e9"}`, id+"_unicode"),
		"big number":    fmt.Sprintf(`{"id":%q,"type":"thing.updated","n":9007199254740993,"f":1.0,"e":1e3}`, id+"_big number"),
		"repeated name": fmt.Sprintf(`{"id":%q,"type":"thing.updated","a":1,"a":2}`, id+"_repeated name"),
	}
}

// TestVendorSigned: what the vendors' own code signs is accepted, stored and delivered once, byte for byte.
func TestVendorSigned(t *testing.T) {
	h := startHooks(t, nil)
	v := startVendors(t)
	want := map[string]post{}
	for _, vendor := range []string{"stripe", "github", "standard"} {
		for _, age := range []string{"_new", "_old"} {
			for name, body := range payloads(vendor + age) {
				id := vendor + age + "_" + name
				p := v.sign(t, "/"+vendor, signJob{Vendor: vendor, Secret: h.secrets[vendor+age], ID: id, Payload: body})
				mustSend(t, h.Inbound, id, p, 200)
				want[id] = p
			}
		}
	}
	all := waitApplied(t, h.app, len(want))
	for id, p := range want {
		vendor := strings.Trim(p.Path, "/")
		got := receiver.Of(all, vendor, id)
		if len(got) != 1 {
			t.Errorf("%s: delivered %d times under its provider's id", id, len(got))
			continue
		}
		d := got[0]
		if string(d.Body) != p.Body || d.Path != p.Path || d.Event == "" || d.Attempt != "1" || d.Header.Get("Content-Type") != "application/json" ||
			d.Header.Get("Postern-Origin") != "push" || !uuidV7.MatchString(d.Header.Get("Postern-Id")) {
			t.Errorf("%s: delivered as %+v", id, d)
		}
		if wantType := map[string]string{"github": "issues"}[vendor]; d.Type != wantType && d.Type != "thing.updated" {
			t.Errorf("%s: Postern-Type %q", id, d.Type)
		}
		for _, header := range []string{"Stripe-Signature", "X-Hub-Signature-256", "Webhook-Signature"} {
			if d.Header.Get(header) != "" {
				t.Errorf("%s: the provider's %s was passed on", id, header)
			}
		}
	}
}

// TestVendorDuplicates: a repeat is acknowledged and not applied again; another body under the same id is kept back.
func TestVendorDuplicates(t *testing.T) {
	h := startHooks(t, nil)
	v := startVendors(t)
	body := func(n int) string { return fmt.Sprintf(`{"id":"evt_dup","type":"thing.updated","n":%d}`, n) }
	for _, vendor := range []string{"stripe", "github", "standard"} {
		sign := func(n int) post {
			return v.sign(t, "/"+vendor, signJob{Vendor: vendor, Secret: h.secrets[vendor+"_new"], ID: "evt_dup", Payload: body(n)})
		}
		first := sign(1)
		for range 3 {
			mustSend(t, h.Inbound, vendor+" repeated", first, 200)
		}
		mustSend(t, h.Inbound, vendor+" signed again", sign(1), 200)
		mustSend(t, h.Inbound, vendor+" same id, other body", sign(2), 200)
		mustSend(t, h.Inbound, vendor+" afterwards", v.sign(t, "/"+vendor, signJob{
			Vendor: vendor, Secret: h.secrets[vendor+"_new"], ID: "evt_after", Payload: `{"id":"evt_after","type":"thing.updated"}`,
		}), 200)
	}
	all := waitApplied(t, h.app, 6)
	for _, vendor := range []string{"stripe", "github", "standard"} {
		got := receiver.Of(all, vendor, "evt_dup")
		if len(got) != 1 || string(got[0].Body) != body(1) {
			t.Errorf("%s: delivered %d times", vendor, len(got))
		}
		if n := h.Metric("postern_inbox_requests_total", `webhook="`+vendor+`"`, `result="duplicate"`); n != 3 {
			t.Errorf("%s: %v duplicates counted, want 3", vendor, n)
		}
		if n := h.Metric("postern_inbox_requests_total", `webhook="`+vendor+`"`, `result="conflict"`); n != 1 {
			t.Errorf("%s: %v conflicts counted, want 1", vendor, n)
		}
	}
}

// TestSlackChallenge: verified first, answered with the challenge, stored never.
func TestSlackChallenge(t *testing.T) {
	h := startHooks(t, nil)
	const body = `{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	good := signSlack("/slack", h.secrets["slack_new"], body, time.Now())
	if got := mustSend(t, h.Inbound, "challenge", good, 200); got != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" {
		t.Errorf("answered %q", got)
	}
	if got := mustSend(t, h.Inbound, "unsigned challenge", good.without("X-Slack-Signature"), 401); strings.Contains(got, "3eZbrw1aBm2r") {
		t.Errorf("an unsigned challenge was answered: %q", got)
	}
	event := signSlack("/slack", h.secrets["slack_old"], `{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"message"}}`, time.Now())
	mustSend(t, h.Inbound, "event", event, 200)
	if all := waitApplied(t, h.app, 1); len(all) != 1 || all[0].ID != "Ev1" || all[0].Header.Get("Postern-Account") == "" {
		t.Errorf("delivered %+v", all)
	}
}

// TestVendorRefused runs the negative list of every scheme against freshly signed events.
func TestVendorRefused(t *testing.T) {
	h := startHooks(t, nil)
	const body = `{"id":"evt_bad","type":"thing.updated","n":1}`
	now := time.Now()
	ts := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	stripe := func(secret string, at time.Time) post { return signStripe("/stripe", secret, body, at) }
	slack := func(secret string, at time.Time) post { return signSlack("/slack", secret, body, at) }
	standard := func(secret string, at time.Time) post {
		return signStandard("/standard", secret, "evt_bad", ts(at), body)
	}
	github := func(secret string, _ time.Time) post { return signGitHub("/github", secret, "evt_bad", body) }
	cases := map[string]post{}
	for vendor, sign := range map[string]func(string, time.Time) post{"stripe": stripe, "slack": slack, "standard": standard, "github": github} {
		secret := h.secrets[vendor+"_new"]
		for name, p := range mutations(sign(secret, now)) {
			cases[vendor+": "+name] = p
		}
		cases[vendor+": another tenant's secret"] = sign("whsec_"+base64.StdEncoding.EncodeToString([]byte("another tenant's secret")), now)
		if vendor != "standard" {
			cases[vendor+": secret with a newline"] = sign(secret+"\n", now)
			cases[vendor+": empty secret"] = sign("", now)
		}
		if vendor == "github" {
			continue
		}
		for name, at := range map[string]time.Time{
			"an hour old": now.Add(-time.Hour), "six minutes old": now.Add(-6 * time.Minute),
			"six minutes ahead": now.Add(6 * time.Minute), "a year ahead": now.AddDate(1, 0, 0), "negative": time.Unix(-now.Unix(), 0),
		} {
			cases[vendor+": timestamp "+name] = sign(secret, at)
		}
		cases[vendor+": timestamp in ms"] = sign(secret, time.Unix(now.UnixMilli(), 0))
	}
	maps.Copy(cases, stripeRefused(h.secrets["stripe_new"], body, now))
	maps.Copy(cases, standardRefused(h.secrets["standard_new"], body, now))
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if got := mustSend(t, h.Inbound, name, cases[name], 401); strings.Contains(got, "=") {
			t.Errorf("%s: the answer says too much: %q", name, got)
		}
	}
	good := stripe(h.secrets["stripe_new"], now)
	mustSend(t, h.Inbound, "no such path", post{Path: "/nothing", Headers: good.Headers, Body: good.Body}, 404)
	for _, method := range []string{"GET", "PUT", "HEAD", "DELETE", "OPTIONS"} {
		wrong := good
		wrong.Method = method
		mustSend(t, h.Inbound, method, wrong, 405)
	}
	huge := post{Path: "/stripe", Body: strings.Repeat("x", 40<<20), Chunked: true}.with("Stripe-Signature", good.get("Stripe-Signature"))
	if status, _, err := send(h.Inbound, huge); err == nil && status != 413 {
		t.Errorf("40 MiB in chunks: %d, want 413", status)
	}
	// What was refused is not stored: the only event there is is the one that follows.
	mustSend(t, h.Inbound, "good after all", good, 200)
	if all := waitApplied(t, h.app, 1); len(all) != 1 {
		t.Errorf("%d deliveries, want the good one alone", len(all))
	}
	if n := h.Metric("postern_inbox_requests_total", `result="accepted"`); n != 1 {
		t.Errorf("%v events accepted, want 1", n)
	}
}

// stripeRefused are the ways in which Stripe's header grammar is abused.
func stripeRefused(secret, body string, now time.Time) map[string]post {
	good := signStripe("/stripe", secret, body, now)
	header := func(v string) post { return good.set("Stripe-Signature", v) }
	sig := good.get("Stripe-Signature")
	t, v1, _ := strings.Cut(sig, ",")
	return map[string]post{
		"stripe: v0 only":                  header(t + "," + strings.Replace(v1, "v1=", "v0=", 1)),
		"stripe: no timestamp":             header(v1),
		"stripe: no signature":             header(t),
		"stripe: two timestamps":           header(t + "," + t + "," + v1),
		"stripe: other timestamp first":    header("t=" + fmt.Sprint(now.Unix()-1) + "," + sig),
		"stripe: plus sign":                header(strings.Replace(sig, "t=", "t=+", 1)),
		"stripe: leading zero":             header(strings.Replace(sig, "t=", "t=0", 1)),
		"stripe: fraction":                 header(t + ".0," + v1),
		"stripe: prefix only":              header(t + ",v1="),
		"stripe: comma only":               header(","),
		"stripe: hundreds of wrong ones":   header(t + strings.Repeat(",v1="+strings.Repeat("0", 64), 400)),
		"stripe: a bare signature":         header(strings.TrimPrefix(v1, "v1=")),
		"stripe: the scheme in upper case": header(t + "," + strings.Replace(v1, "v1=", "V1=", 1)),
	}
}

// standardRefused are the ways in which the Standard Webhooks header grammar is abused.
func standardRefused(secret, body string, now time.Time) map[string]post {
	good := signStandard("/standard", secret, "evt_bad", fmt.Sprint(now.Unix()), body)
	header := func(v string) post { return good.set("webhook-signature", v) }
	sig := good.get("webhook-signature")
	raw := strings.TrimPrefix(sig, "v1,")
	return map[string]post{
		"standard: v1a only":               header("v1a," + raw),
		"standard: v2 only":                header("v2," + raw),
		"standard: no version":             header(raw),
		"standard: prefix only":            header("v1,"),
		"standard: other id":               good.set("webhook-id", "evt_other"),
		"standard: hundreds of wrong ones": header(strings.TrimSpace(strings.Repeat("v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" ", 400))),
		"standard: not base64":             header("v1,!!!!"),
	}
}
