package inbound_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/postern-proxy/postern/inbound/keys"
)

// bank is Plaid's API on loopback: it gives out keys by their names, as
// POST /webhook_verification_key/get does.
type bank struct {
	*httptest.Server
	t testing.TB

	mu    sync.Mutex
	keys  map[string]string // what stands in the answer's key
	asked []string
}

func openBank(t testing.TB) *bank {
	b := &bank{t: t, keys: map[string]string{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// issue makes a key of this name; more are members beside those of the JWK.
func (b *bank) issue(kid, more string) *ecdsa.PrivateKey {
	key := curveKey(b.t)
	made := jwk(kid, key.Public())
	made.Algorithm, made.Use = "ES256", "sig"
	text, err := json.Marshal(made)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys[kid] = strings.TrimSuffix(string(text), "}") + more + "}"
	return key
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID string `json:"key_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost || r.URL.Path != "/webhook_verification_key/get" {
		b.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, q.ID)
	key, ok := b.keys[q.ID]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error_type":"INVALID_INPUT","error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID","request_id":"r"}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"key":%s,"request_id":"r"}`, key)
}

// egress is the way to the provider "plaid", which the bank is.
func (b *bank) egress(provider, _ string) func(*http.Request) (*http.Response, error) {
	if provider != "plaid" {
		return nil
	}
	at, err := url.Parse(b.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return func(r *http.Request) (*http.Response, error) {
		r.URL.Scheme, r.URL.Host = at.Scheme, at.Host
		return b.Client().Do(r)
	}
}

// stamped are the headers of a webhook of Plaid. change may make the claims others.
func stamped(t testing.TB, alg jose.SignatureAlgorithm, key any, kid, body string, change ...func(map[string]any)) http.Header {
	sum := sha256.Sum256([]byte(body))
	c := map[string]any{"iat": time.Now().Unix(), "request_body_sha256": hex.EncodeToString(sum[:])}
	for _, f := range change {
		f(c)
	}
	return set("Plaid-Verification", signJWT(t, alg, key, map[string]any{"kid": kid}, c))
}

// TestPlaidAccepted: what Plaid has signed now is stored, with the key that it was
// signed with; and it is refused when it is stale, about another body, by another
// algorithm, or by a key that Plaid does not have, has ended, or is another's.
func TestPlaidAccepted(t *testing.T) {
	api := openBank(t)
	key, next := api.issue("bfbd5111-8e33-4643-8ced-b2e642a72f3c", `,"created_at":1560466143,"expired_at":null`), api.issue("6c5516e1-92dc-479e-a8ff-5a51992e0001", `,"created_at":1560466150`)
	ended := api.issue("ended", `,"created_at":1560466143,"expired_at":1560466150`)
	src := strings.Replace(hooked("verify \"plaid\" {}\nevent {\ntype = \"${body.webhook_type} ${body.webhook_code}\"\naccount = body.item_id\n}"), "webhook \"hook\"", "webhook \"plaid\"", 1)
	made, diags := loadWith(schemes(keys.New(keys.Options{}), api.egress), src)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b := serve(t, made)
	const kid = "bfbd5111-8e33-4643-8ced-b2e642a72f3c"
	body := func(n int) string {
		return fmt.Sprintf(`{"webhook_type":"TRANSACTIONS","webhook_code":"SYNC_UPDATES_AVAILABLE","item_id":"item-1","n":%d}`, n)
	}
	at := func(ago time.Duration) func(map[string]any) {
		return func(c map[string]any) { c["iat"] = time.Now().Add(-ago).Unix() }
	}
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	capitals := func(c map[string]any) {
		c["request_body_sha256"] = strings.ToUpper(c["request_body_sha256"].(string))
	}
	b.each([]one{
		{"as it is", "", body(1), stamped(t, jose.ES256, key, kid, body(1)), "accepted", false},
		{"once more", "", body(1), stamped(t, jose.ES256, key, kid, body(1)), "duplicate", false},
		{"by the next key", "", body(2), stamped(t, jose.ES256, next, "6c5516e1-92dc-479e-a8ff-5a51992e0001", body(2)), "accepted", false},
		{"four minutes ago", "", body(3), stamped(t, jose.ES256, key, kid, body(3), at(4*time.Minute)), "accepted", false},
		{"six minutes ago", "", body(4), stamped(t, jose.ES256, key, kid, body(4), at(6*time.Minute)), "stale", false},
		{"six minutes ahead", "", body(4), stamped(t, jose.ES256, key, kid, body(4), at(-6*time.Minute)), "stale", false},
		{"without a date", "", body(4), stamped(t, jose.ES256, key, kid, body(4), without("iat")), "bad_signature", false},
		{"about another body", "", body(5), stamped(t, jose.ES256, key, kid, body(4)), "bad_signature", false},
		{"with a newline more", "", body(5) + "\n", stamped(t, jose.ES256, key, kid, body(5)), "bad_signature", false},
		{"about no body", "", body(5), stamped(t, jose.ES256, key, kid, body(5), without("request_body_sha256")), "bad_signature", false},
		{"HS256 with the key's name", "", body(5), stamped(t, jose.HS256, bytes.Repeat([]byte(kid), 2), kid, body(5)), "bad_signature", false},
		{"RS256", "", body(5), stamped(t, jose.RS256, rsaKey(), kid, body(5)), "bad_signature", false},
		{"by a key that Plaid does not have", "", body(5), stamped(t, jose.ES256, key, "unknown", body(5)), "bad_signature", false},
		{"by a key that has ended", "", body(5), stamped(t, jose.ES256, ended, "ended", body(5)), "bad_signature", false},
		{"by another key of this name", "", body(5), stamped(t, jose.ES256, next, kid, body(5)), "bad_signature", false},
		{"unsigned", "", body(5), nil, "unsigned", false},
		{"a digest in capitals", "", body(6), stamped(t, jose.ES256, key, kid, body(6), capitals), "accepted", false},
	})
	all := b.stored()
	if len(all) != 4 {
		t.Fatalf("%d events are stored", len(all))
	}
	for _, e := range all {
		if e.Proof.Scheme != "plaid" || e.Proof.Key == "" || e.Proof.Signed.IsZero() || !e.Verified || e.Account != "item-1" || e.Type != "TRANSACTIONS SYNC_UPDATES_AVAILABLE" {
			t.Errorf("%+v", e.Event)
		}
	}
	if all[1].Proof.Key == all[2].Proof.Key {
		t.Error("two keys have one fingerprint")
	}
	times := map[string]int{}
	for _, name := range api.asked {
		if times[name]++; times[name] > 1 {
			t.Errorf("asked for %s %d times", name, times[name])
		}
	}

	own, diags := loadWith(schemes(keys.New(keys.Options{}), nil), hooked("verify \"plaid\" { jwks = [env(\"KEY\")] }"), "KEY="+string(jwks(t, jwk("mine", key.Public()))))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	serve(t, own).each([]one{{"by a key of the policy's", "", "{}", stamped(t, jose.ES256, key, "mine", "{}"), "accepted", false}})
}

// TestPlaidIsAway: a key that cannot be asked for is no reason to refuse for good.
func TestPlaidIsAway(t *testing.T) {
	api := openBank(t)
	key := api.issue("k1", "")
	made, diags := loadWith(schemes(keys.New(keys.Options{}), func(string, string) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		}
	}), hooked("verify \"plaid\" {}"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b := serve(t, made)
	got := b.post("/hook", "{}", stamped(t, jose.ES256, key, "k1", "{}"))
	if r := b.newest(); got.status != 503 || got.header.Get("Retry-After") == "" || r.Result != "unavailable" {
		t.Errorf("%d %v %s (%s)", got.status, got.header, r.Result, r.Why)
	}
}
