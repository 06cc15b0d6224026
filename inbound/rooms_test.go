package inbound_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
)

// roomed says how the schemes of the vectors that need code are written in a
// policy. %s is the secret.
var roomed = map[string]string{
	"discord-ping":       "verify \"discord\" {\nkeys = [%q]\ntolerance = \"5200w\"\n}",
	"aws-sns-v2":         "verify \"sns\" {\ntopics = [\"arn:aws:sns:us-west-2:123456789012:MyTopic\"]\ntolerance = \"5200w\"\n}",
	"aws-sns-confirm-v2": "verify \"sns\" {\ntopics = [\"arn:aws:sns:us-west-2:123456789012:MyTopic\"]\ntolerance = \"5200w\"\n}",
	"V7 Standard v1a":    "verify \"standard_v1a\" {\nkeys = [%q]\ntolerance = \"5200w\"\n}",
}

var v7 = vector{
	Name: "V7 Standard v1a", Secret: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", Body: `{"test": 2432232314}`, Headers: map[string]string{
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
	},
}

// hooked is a webhook with this verification and an inbound block of this address.
func hooked(verify string) string {
	return fmt.Sprintf("inbound {\npublic_url = \"https://hooks.example.com\"\n}\nwebhook \"hook\" {\npath = \"/hook\"\n%s\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n", verify)
}

// room serves a webhook with this verification, whose keys are got by f.
func room(t testing.TB, f *keys.Fetcher, verify string, environ ...string) *box {
	t.Helper()
	set, diags := loadWith(schemes(f, nil), hooked(verify), environ...)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return serve(t, set)
}

func headers(m map[string]string) http.Header {
	h := http.Header{}
	for name, value := range m {
		h.Set(name, value)
	}
	return h
}

// TestVectorsOfRooms sends the vectors of schemes that are made of code through
// the listener, as they are and with their body changed.
func TestVectorsOfRooms(t *testing.T) {
	ran := map[string]bool{}
	for _, v := range append(vectors(t), v7) {
		verify, ok := roomed[v.Name]
		if !ok {
			continue
		}
		ran[v.Name] = true
		t.Run(v.Name, func(t *testing.T) {
			p, cert := publish(t), kat(t)
			p.put("sns.us-west-2.amazonaws.com/SimpleNotificationService-kat.pem", cert.pem())
			if strings.Contains(verify, "%q") {
				verify = fmt.Sprintf(verify, v.Secret)
			}
			b := room(t, p.fetcher(cert), verify)
			for what, body := range map[string]string{"a newline inside": strings.Replace(v.Body, "e", "e\\n", 1), "a byte less": strings.TrimSuffix(v.Body, "}"), "another byte": strings.Replace(v.Body, "2", "3", 1), "another digit": strings.Replace(v.Body, "1", "7", 1)} {
				if body == v.Body {
					continue
				}
				if got := b.post("/hook", body, headers(v.Headers)); got.status != 401 {
					t.Errorf("%s: status %d, want 401: %s", what, got.status, body)
				}
			}
			if got := b.post("/hook", v.Body, headers(v.Headers)); got.status/100 != 2 {
				t.Errorf("status %d: %s", got.status, b.last(len(b.receptions)).Why)
			}
		})
	}
	for name := range roomed {
		if !ran[name] {
			t.Errorf("there is no vector %q", name)
		}
	}
}

// TestProofOfRooms: which key, and what it covers, is kept with the event.
func TestProofOfRooms(t *testing.T) {
	p, cert := publish(t), kat(t)
	p.put("sns.us-west-2.amazonaws.com/SimpleNotificationService-kat.pem", cert.pem())
	b := room(t, p.fetcher(cert), roomed["aws-sns-v2"])
	for _, v := range vectors(t) {
		if v.Name != "aws-sns-v2" {
			continue
		}
		for body, partial := range map[string]bool{v.Body: false, strings.Replace(v.Body, "{", `{"MessageAttributes":{},`, 1): true} {
			b.post("/hook", body, headers(v.Headers))
			r := b.last(len(b.receptions))
			want := inbound.Proof{Scheme: "sns", Key: inbound.Fingerprint(cert.RawSubjectPublicKeyInfo), Signed: time.Date(2012, 5, 2, 0, 54, 6, 655e6, time.UTC), Partial: partial}
			if r.Proof != want {
				t.Errorf("%+v, want %+v", r.Proof, want)
			}
		}
	}
	if n := len(p.requests()); n != 1 {
		t.Errorf("the certificate was fetched %d times, want once", n)
	}
}
