package inbound_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// TestWhatAnEventIs posts what looks much alike: what is another event is not taken for
// a duplicate, and what is the same one not for another.
func TestWhatAnEventIs(t *testing.T) {
	const github = "verify \"github\" {\nsecrets = [env(\"KEY\")]\n}"
	long := strings.Repeat("x", 600)
	type request struct {
		path, body string
		header     []string
		want       string
	}
	for name, tt := range map[string]struct {
		verify, event string
		posts         []request
	}{
		"ids that are long": {byToken, "id = body.id", []request{
			{"/h", `{"id":"` + long + `1"}`, nil, "accepted"},
			{"/h", `{"id":"` + long + `2"}`, nil, "accepted"},
			{"/h", `{"id":"` + long + `1"}`, nil, "duplicate"},
		}},
		"the same bytes for two accounts": {byToken, "id = body.id\naccount = query.account", []request{
			{"/h?account=a", `{"id":"1"}`, nil, "accepted"},
			{"/h?account=a", `{"id":"1"}`, nil, "duplicate"}, // from here on it is known without the store
			{"/h?account=b", `{"id":"1"}`, nil, "accepted"},
			{"/h?account=a", `{"id":"1"}`, nil, "duplicate"},
		}},
		"no id, and headers that are not signed": {github, "type = header[\"X-GitHub-Event\"]", []request{
			{"/h", "{}", []string{"X-Github-Event", "push"}, "accepted"},
			{"/h", "{}", []string{"X-Github-Event", "fork"}, "duplicate"}, // a replay that somebody has relabelled
		}},
		"no id, and words that could be divided otherwise": {byToken, "type = header[\"X-Kind\"]\nkey = header[\"X-Key\"]", []request{
			{"/h", "{}", []string{"X-Kind", "ab", "X-Key", "c"}, "accepted"},
			{"/h", "{}", []string{"X-Kind", "a", "X-Key", "bc"}, "accepted"},
			{"/h", "{}", []string{"X-Kind", "ab", "X-Key", "c"}, "duplicate"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, webhook(t, tt.verify, "event {\n"+tt.event+"\n}"))
			for i, r := range tt.posts {
				h := set(append(r.header, "Content-Type", "application/json", "X-Token", "a key of some length", "X-Hub-Signature-256", "sha256="+sign("a key of some length", r.body))...)
				if got := b.post(r.path, r.body, h); got.status != 200 || b.last(i+1).Result != r.want {
					t.Errorf("%d: %d %s, want %s", i, got.status, b.last(i+1).Result, r.want)
				}
			}
		})
	}
}

// TestSignedIDOfAList: an id that is signed for a list is not that of each item, in
// whatever order they come when the list is sent again.
func TestSignedIDOfAList(t *testing.T) {
	src := "webhook \"h\" {\npath = \"/h\"\nverify \"hmac\" {\nheader = \"X-Signature\"\nid = \"X-Id\"\nmessage = \"${header[\"X-Id\"]}.${raw_body}\"\nsecrets = [env(\"KEY\")]\n}\nevent { split = body }\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n"
	b := serve(t, mustLoad(t, src, "KEY=a key of some length"))
	for i, tt := range []struct{ body, want string }{{`[{"a":1},{"b":2}]`, "accepted"}, {`[{"b":2},{"a":1}]`, "duplicate"}, {`[{"b":2},{"c":3}]`, "accepted"}} {
		h := http.Header{"Content-Type": {"application/json"}, "X-Id": {"msg_1"}, "X-Signature": {hex.EncodeToString(sum([]byte("a key of some length"), "msg_1."+tt.body))}}
		if got := b.post("/h", tt.body, h); got.status != 200 || b.last(i+1).Result != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.body, got.status, b.last(i+1).Result, tt.want)
		}
	}
}

// TestLanesAreToldApart: no two accounts and keys have the same lane, however they are
// written, and however long they are.
func TestLanesAreToldApart(t *testing.T) {
	b := serve(t, mustLoad(t, ordered("http://127.0.0.1:1/", `order { mode = "lane" }`)))
	long, lanes := strings.Repeat("k", 512), map[string]string{}
	for i, of := range [][2]string{{"", "abc"}, {"a", "bc"}, {"ab", "c"}, {"1", ":2"}, {"1:", "2"}, {"", long}, {"", long + "1"}, {"", long + "2"}} {
		b.post("/hook", fmt.Sprintf(`{"id":"%d","account":%q,"key":%q}`, i, of[0], of[1]), nil)
		e := b.state(fmt.Sprint(i), inbound.Received)
		if other, known := lanes[e.Lane]; known || e.Lane == "" {
			t.Errorf("account %.20q and key %.20q are in the lane of %s", of[0], of[1], other)
		}
		lanes[e.Lane] = fmt.Sprintf("%.20q, %.20q", of[0], of[1])
	}
}
