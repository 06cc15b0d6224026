package inbound_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestHubSpotURL: the URL is signed as it is sent, or with some escapes written out,
// and in no third way.
func TestHubSpotURL(t *testing.T) {
	const sent = "/hook?to=a%2fb%3Ac&x=%7B%22%5B%25&y=%4"
	b := room(t, offline(), "verify \"hubspot\" { secrets = [env(\"S\")] }", "S="+secret)
	for i, tt := range []struct{ signed, result string }{
		{"/hook?to=a%2fb%3Ac&x=%7B%22%5B%25&y=%4", "accepted"},
		{"/hook?to=a/b:c&x=%7B%22%5B%25&y=%4", "accepted"},
		{"/hook?to=a/b%3Ac&x=%7B%22%5B%25&y=%4", "bad_signature"},
		{`/hook?to=a/b:c&x={"[%&y=%4`, "bad_signature"},
		{"/hook?to=a/b:c&x=%7B%22%5B%25&y=%4&", "bad_signature"},
		{"/hook", "bad_signature"},
	} {
		body, at := `[{"eventId":`+strconv.Itoa(i)+`}]`, strconv.FormatInt(time.Now().UnixMilli(), 10)
		h := set("X-HubSpot-Request-Timestamp", at, "X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(sum([]byte(secret), http.MethodPost+public+tt.signed+body+at)))
		b.each([]one{{tt.signed, sent, body, h, tt.result, false}})
	}
	// What is written out cannot pass for the beginning of a body.
	at := strconv.FormatInt(time.Now().UnixMilli(), 10)
	h := set("X-HubSpot-Request-Timestamp", at, "X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(sum([]byte(secret), http.MethodPost+public+`/hook?a=1[{"eventId":1}]`+at)))
	b.each([]one{{"a body in the query", "/hook?a=1%5B%7B%22eventId%22:1%7D%5D", "", h, "bad_signature", false}})
}
