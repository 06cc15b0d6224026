package inbound_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSignedChallengeIsNoEvent: what anybody can have signed by asking the question
// of a handshake is not accepted as an event.
func TestSignedChallengeIsNoEvent(t *testing.T) {
	for _, tt := range []struct{ kind, header, before, body string }{
		{"x", "X-Twitter-Webhooks-Signature", "", "42"},
		{"x", "X-Twitter-Webhooks-Signature", "", "for_user_id=7"},
		{"linkedin", "X-LI-Signature", "hmacsha256=", "true"},
		{"linkedin", "X-LI-Signature", "hmacsha256=", ""},
		{"smartcar", "SC-Signature", "", "null"},
	} {
		t.Run(tt.kind+" "+tt.body, func(t *testing.T) {
			b := serve(t, mustLoad(t, fmt.Sprintf("webhook \"hook\" {\npath = \"/hook\"\nverify %q {\nsecrets = [env(\"SECRET\")]\n}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", tt.kind), "SECRET="+secret))
			challenge := tt.before + tt.body
			var got reply
			if tt.kind == "smartcar" {
				got = b.post("/hook", fmt.Sprintf(`{"eventType":"VERIFY","data":{"challenge":%q}}`, challenge), nil)
			} else {
				got = b.send("GET", "/hook?"+url.Values{"crc_token": {challenge}, "challengeCode": {challenge}}.Encode(), strings.NewReader(""), nil)
			}
			var answer struct {
				Response1 string `json:"response_token"`
				Response2 string `json:"challengeResponse"`
				Response3 string `json:"challenge"`
			}
			if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != 200 {
				t.Fatalf("%d %s: %v", got.status, got.body, err)
			}
			signature := answer.Response1 + answer.Response2 + answer.Response3
			if got := b.post("/hook", tt.body, http.Header{http.CanonicalHeaderKey(tt.header): {signature}}); got.status != 401 || len(b.stored()) != 0 {
				t.Errorf("%d, and %d are stored: a stranger has had it signed", got.status, len(b.stored()))
			}
		})
	}
}
