package inbound_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound/keys"
	dialling "github.com/postern-proxy/postern/proxy/upstream"
)

const topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"

// message is one of SNS, signed by key; change spoils it before, and after that it
// is signed.
func message(t testing.TB, key *rsa.PrivateKey, change func(m map[string]string), after func(m map[string]string)) string {
	t.Helper()
	m := map[string]string{
		"Type": "Notification", "MessageId": "m-1", "TopicArn": topic, "Message": "Hello\nworld", "Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"SignatureVersion": "2", "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem",
	}
	if change != nil {
		change(m)
	}
	fields := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		fields = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	text := ""
	for _, f := range fields {
		if v, ok := m[f]; ok {
			text += f + "\n" + v + "\n"
		}
	}
	hash := crypto.SHA256
	if m["SignatureVersion"] == "1" {
		hash = crypto.SHA1
	}
	h := hash.New()
	h.Write([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	m["Signature"] = base64.StdEncoding.EncodeToString(sig)
	if after != nil {
		after(m)
	}
	body, _ := json.Marshal(m)
	return string(body)
}

func put(name, value string) func(map[string]string) {
	return func(m map[string]string) { m[name] = value }
}

// TestC38SNS: where certificates may come from, whose they have to be, which topics
// are taken; and nothing is fetched that is not pinned.
func TestC38SNS(t *testing.T) {
	p, key := publish(t), rsaKey()
	root := issue(t, nil, authority, curveKey(t))
	between := issue(t, root, func(c *x509.Certificate) { authority(c); c.Subject.CommonName = "between" }, curveKey(t))
	leaf := func(change func(*x509.Certificate)) []byte {
		return append(issue(t, between, func(c *x509.Certificate) { named("sns.amazonaws.com", "sns.amazonaws.com")(c); change(c) }, key).pem(), between.pem()...)
	}
	const at = "sns.us-west-2.amazonaws.com/SimpleNotificationService-"
	p.put(at+"0a1b.pem", leaf(func(*x509.Certificate) {}))
	p.put(at+"other.pem", leaf(named("evil.example.com", "evil.example.com")))
	p.put(at+"old.pem", leaf(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}))
	p.put(at+"future.pem", leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }))
	p.put(at+"self.pem", issue(t, nil, named("sns.amazonaws.com", "sns.amazonaws.com"), key).pem())
	p.put(at+"huge.pem", append(leaf(func(*x509.Certificate) {}), make([]byte, 300<<10)...))
	p.put(at+"junk.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	p.serve(at+"moved.pem", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example.com/x.pem", http.StatusFound)
	})
	p.put("evil.example.com/x.pem", leaf(func(*x509.Certificate) {}))
	p.put(at+"alone.pem", issue(t, between, func(c *x509.Certificate) {
		named("sns.amazonaws.com", "sns.amazonaws.com")(c)
		c.IssuingCertificateURL = []string{"https://crt.example.com/no.cer", "https://crt.r2m01.amazontrust.com/r2m01.cer"}
	}, key).pem())
	p.put("crt.r2m01.amazontrust.com/r2m01.cer", between.Raw)
	p.put("crt.example.com/no.cer", between.Raw)
	p.put("sns.us-west-2.amazonaws.com/bucket/x.pem", leaf(func(*x509.Certificate) {})) // as anybody could put it there

	url := func(u string) string { return message(t, key, nil, put("SigningCertURL", u)) }
	host := "https://sns.us-west-2.amazonaws.com"
	good := message(t, key, nil, nil)
	for _, tt := range []struct{ name, body, result string }{
		{"as it is", good, "accepted"},
		{"SHA-1", message(t, key, put("SignatureVersion", "1"), nil), "accepted"},
		{"with a subject", message(t, key, put("Subject", "s"), nil), "accepted"},
		{"a chain that is completed", url("https://" + at + "alone.pem"), "accepted"},
		{"another topic", message(t, key, put("TopicArn", "arn:aws:sns:us-west-2:999999999999:Mine"), nil), "bad_signature"},
		{"the last repeat", message(t, key, put("Timestamp", time.Now().Add(-61*time.Minute).UTC().Format(time.RFC3339)), nil), "accepted"},
		{"three hours ago", message(t, key, put("Timestamp", time.Now().Add(-3*time.Hour).UTC().Format(time.RFC3339)), nil), "stale"},
		{"version 3", message(t, key, put("SignatureVersion", "3"), nil), "bad_signature"},
		{"signed with the other hash", message(t, key, nil, put("SignatureVersion", "1")), "bad_signature"},
		{"a line break in the id", message(t, key, put("MessageId", "m-1\nSubject\nx"), nil), "bad_signature"},
		{"a field twice", strings.Replace(good, `{`, `{"Message":"evil",`, 1), "bad_signature"},
		{"a field twice, in another case", strings.TrimSuffix(good, `}`) + `,"message":"evil"}`, "bad_signature"},
		{"another message", message(t, key, nil, put("Message", "x")), "bad_signature"},
		{"unsigned", message(t, key, nil, put("Signature", "")), "unsigned"},
		{"http", url("http://" + at + "0a1b.pem"), "bad_signature"},
		{"another host", url("https://evil.example.com/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"a host that begins so", url("https://sns.us-west-2.amazonaws.com.evil.com/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"a host that ends so", url("https://evilsns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"no region", url("https://sns.amazonaws.com/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"a user", url("https://sns.us-west-2.amazonaws.com@evil.example.com/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"a user of the right host", url("https://x@" + at + "0a1b.pem"), "bad_signature"},
		{"another port", url(host + ":8443/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"port 443", url(host + ":443/SimpleNotificationService-0a1b.pem"), "accepted"},
		{"another path", url(host + "/bucket/x.pem"), "bad_signature"},
		{"a path that leads out", url(host + "/SimpleNotificationService-/../x.pem"), "bad_signature"},
		{"an encoded path", url(host + "/SimpleNotificationService-%2e%2e.pem"), "bad_signature"},
		{"a query", url("https://" + at + "0a1b.pem?x=.pem"), "bad_signature"},
		{"a fragment", url(host + "/x#/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"an address", url("https://127.0.0.1/SimpleNotificationService-0a1b.pem"), "bad_signature"},
		{"a backslash", url(`https://evil.example.com\@sns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem`), "bad_signature"},
		{"another name in it", url("https://" + at + "other.pem"), "bad_signature"},
		{"one that has ended", url("https://" + at + "old.pem"), "bad_signature"},
		{"one that has not begun", url("https://" + at + "future.pem"), "bad_signature"},
		{"one that signs itself", url("https://" + at + "self.pem"), "bad_signature"},
		{"one that is not there", url("https://" + at + "none.pem"), "bad_signature"},
		{"one that moved", url("https://" + at + "moved.pem"), "unavailable"},
		{"one that is huge", url("https://" + at + "huge.pem"), "unavailable"},
		{"one that is none", url("https://" + at + "junk.pem"), "unavailable"},
		{"no JSON", "Message", "bad_signature"},
		{"a list", "[]", "bad_signature"},
	} {
		b := room(t, p.fetcher(root), "verify \"sns\" { topics = [\""+topic+"\"] }")
		b.post("/hook", tt.body, nil)
		if r := b.newest(); r.Result != tt.result {
			t.Errorf("%s: %s (%s), want %s", tt.name, r.Result, r.Why, tt.result)
		}
	}
	b := room(t, p.fetcher(root), "verify \"sns\" {\ntopics = [\""+topic+"\"]\nversions = [\"2\"]\n}")
	for version, want := range map[string]string{"1": "bad_signature", "2": "accepted"} {
		b.post("/hook", message(t, key, put("SignatureVersion", version), nil), nil)
		if r := b.newest(); r.Result != want {
			t.Errorf("version %s where 2 is taken: %s", version, r.Result)
		}
	}
	for _, asked := range p.requests() {
		if strings.HasPrefix(asked, "evil.") || strings.HasPrefix(asked, "crt.example.com") {
			t.Errorf("%s was fetched", asked)
		}
	}
}

// TestC38Confirm: a subscription is confirmed where the policy says so, and only at
// SNS; otherwise its confirmation is an event.
func TestC38Confirm(t *testing.T) {
	p, key := publish(t), rsaKey()
	root := issue(t, nil, authority, curveKey(t))
	p.put("sns.us-west-2.amazonaws.com/SimpleNotificationService-0a1b.pem", issue(t, root, named("sns.amazonaws.com", "sns.amazonaws.com"), key).pem())
	p.put("sns.us-west-2.amazonaws.com/", []byte("<ok/>"))
	confirmation := func(u string) string {
		return message(t, key, func(m map[string]string) {
			m["Type"], m["Token"], m["SubscribeURL"] = "SubscriptionConfirmation", "t-1", u
		}, nil)
	}
	right := "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=t-1&TopicArn=" + topic
	b := room(t, p.fetcher(root), "verify \"sns\" {\ntopics = [\""+topic+"\"]\nconfirm = true\n}")
	for u, want := range map[string]int{
		right: 200, "https://evil.example.com/?Action=ConfirmSubscription&Token=t-1": 400, "http" + strings.TrimPrefix(right, "https"): 400, strings.Replace(right, "t-1", "t-2", 1): 400,
		strings.Replace(right, "ConfirmSubscription", "Unsubscribe", 1): 400, strings.Replace(right, "MyTopic", "Other", 1): 400,
	} {
		if got := b.post("/hook", confirmation(u), nil); got.status != want {
			t.Errorf("%s: %d, want %d", u, got.status, want)
		}
	}
	visits := 0
	for _, asked := range p.requests() {
		if strings.Contains(asked, "Action=") {
			visits++
		}
	}
	if visits != 1 || len(b.stored()) != 0 {
		t.Errorf("%d confirmed and %d stored, want 1 and 0", visits, len(b.stored()))
	}
	off := room(t, p.fetcher(root), "verify \"sns\" { topics = [\""+topic+"\"] }")
	if off.post("/hook", confirmation(right), nil); len(off.stored()) != 1 {
		t.Error("with confirm off the confirmation is no event")
	}
}

// TestPayPal: what is signed, and that a CRC-32 is no digest.
func TestPayPal(t *testing.T) {
	p, key := publish(t), rsaKey()
	root := issue(t, nil, authority, curveKey(t))
	const cert = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
	p.put(strings.TrimPrefix(cert, "https://"), issue(t, root, named("messageverificationcerts.paypal.com"), key).pem())
	p.put("api.paypal.com/v1/notifications/certs/CERT-evil", issue(t, root, named("www.paypal.com", "www.paypal.com"), key).pem())
	b := room(t, p.fetcher(root), "verify \"paypal\" { webhook_id = [\"OLD\", \"8PT597110X687430LKGECATA\"] }")
	const body = `{"id":"WH-1"}`
	signed := func(at time.Time, id, hook string, change ...string) http.Header {
		stamp := at.UTC().Format(time.RFC3339)
		sum := sha256.Sum256([]byte(fmt.Sprintf("%s|%s|%s|%d", id, stamp, hook, crc32.ChecksumIEEE([]byte(body)))))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		h := set("Paypal-Transmission-Id", id, "Paypal-Transmission-Time", stamp, "Paypal-Transmission-Sig", base64.StdEncoding.EncodeToString(sig), "Paypal-Cert-Url", cert, "Paypal-Auth-Algo", "SHA256withRSA")
		for i := 0; i < len(change); i += 2 {
			h.Set(change[i], change[i+1])
		}
		return h
	}
	now, own := time.Now(), "8PT597110X687430LKGECATA"
	for _, tt := range []struct {
		name, body string
		header     http.Header
		result     string
	}{
		{"as it is", body, signed(now, "t-1", own), "accepted"},
		{"the one before", body, signed(now, "t-2", "OLD"), "accepted"},
		{"another webhook", body, signed(now, "t-1", "9"), "bad_signature"},
		{"another body", body + " ", signed(now, "t-1", own), "bad_signature"},
		{"a bar in the id", body, signed(now, "t|1", own), "bad_signature"},
		{"another id", body, signed(now, "t-1", own, "Paypal-Transmission-Id", "t-9"), "bad_signature"},
		{"another algorithm", body, signed(now, "t-1", own, "Paypal-Auth-Algo", "SHA1withRSA"), "bad_signature"},
		{"six minutes ago", body, signed(now.Add(-6*time.Minute), "t-1", own), "stale"},
		{"six minutes ahead", body, signed(now.Add(6*time.Minute), "t-1", own), "stale"},
		{"a certificate that PayPal has for another purpose", body, signed(now, "t-1", own, "Paypal-Cert-Url", "https://api.paypal.com/v1/notifications/certs/CERT-evil"), "bad_signature"},
		{"a certificate elsewhere", body, signed(now, "t-1", own, "Paypal-Cert-Url", "https://api.paypal.com.evil.com/v1/notifications/certs/CERT-1"), "bad_signature"},
		{"a certificate over http", body, signed(now, "t-1", own, "Paypal-Cert-Url", "http"+strings.TrimPrefix(cert, "https")), "bad_signature"},
		{"unsigned", body, nil, "unsigned"},
	} {
		b.post("/hook", tt.body, tt.header)
		r := b.newest()
		if r.Result != tt.result || r.Result == "accepted" && !r.Proof.Partial {
			t.Errorf("%s: %s, %+v (%s), want %s", tt.name, r.Result, r.Proof, r.Why, tt.result)
		}
	}
	for name := range signed(now, "t-1", own) {
		h := signed(now, "t-1", own)
		if h.Del(name); b.post("/hook", body, h).status != 401 {
			t.Errorf("without %s it is accepted", name)
		}
		h = signed(now, "t-1", own)
		if h.Add(name, h.Get(name)); b.post("/hook", body, h).status != 401 {
			t.Errorf("with %s twice it is accepted", name)
		}
	}
}

// TestC38PrivateAddress: a name that resolves to a private address is not fetched
// from, whatever a request or a policy says.
func TestC38PrivateAddress(t *testing.T) {
	p := publish(t)
	guard := new(dialling.Guard)
	guard.Set(dialling.Rules{})
	f := keys.New(keys.Options{Dial: guard.DialContext})
	for _, host := range []string{"localhost.localdomain.", "localhost."} {
		if _, err := f.Key(t.Context(), "https://"+host+"/jwks.json", "k1"); err == nil {
			t.Errorf("%s was fetched from", host)
		}
	}
	for _, address := range []string{"https://127.0.0.1/jwks.json", "https://[::1]/x", "http://id.example.com/x", "https://u:p@id.example.com/x", "https://id.example.com:8443/x", "https://localhost/x", "ftp://id.example.com/x", "https:///x", "https://id.example.com/x#y"} {
		if err := keys.Plain(address); err == nil {
			t.Errorf("%s is plain", address)
		}
		if _, diags := loadWith(schemes(f, nil), hooked("verify \"jwt\" {\nalg = \"RS256\"\nissuer = \"x\"\naudience = [\"x\"]\njwks_url = \""+address+"\"\n}")); !diags.HasErrors() {
			t.Errorf("a policy may say %s", address)
		}
	}
	if n := len(p.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestKeysLastGood: while the source fails, the last good value is used; it is asked
// again at most once a minute.
func TestKeysLastGood(t *testing.T) {
	p, key := publish(t), rsaKey()
	p.put("id.example.com/jwks.json", jwks(t, jwk("k1", key.Public())))
	f := p.fetcher()
	if _, err := f.Key(t.Context(), jwksURL, "k1"); err != nil {
		t.Fatal(err)
	}
	p.serve("id.example.com/jwks.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	for range 5 {
		if _, err := f.Key(t.Context(), jwksURL, "k1"); err != nil {
			t.Error(err)
		}
	}
	for range 5 {
		if _, err := f.Key(t.Context(), "https://down.example.com/jwks.json", "k1"); err == nil {
			t.Error("a source that is not there gave a key")
		}
	}
	if n := len(p.requests()); n != 2 {
		t.Errorf("%d requests, want one for each source", n)
	}
}
