package inbound_test

import (
	"encoding/hex"
	"net/http"
	"testing"
)

// TestPretendedContent: what headers say of a body is not signed. Whoever replays a
// request can make them say anything, and it stays the event that it was.
func TestPretendedContent(t *testing.T) {
	const source = "webhook \"hook\" {\npath = \"/hook\"\nverify \"hmac\" {\nsecrets = [env(\"SECRET\")]\nheader = \"X-Signature\"\n}\nevent {\nid = body.id\ntype = body.type\n}\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n"
	const form = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		what, body, kind string
	}{
		{"JSON", ` {"id":"evt_1","type":"paid"}`, "application/json"},
		{"a form", "id=evt_1&type=paid", form},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := serve(t, mustLoad(t, source, "SECRET="+secret))
			pretended := []http.Header{
				set("Content-Type", tt.kind), set("Content-Type", tt.kind, "Content-Encoding", "gzip"), set("Content-Type", tt.kind, "Content-Encoding", "identity"),
				set("Content-Type", tt.kind, "Content-Encoding", "utf-8", "Content-Encoding", "br"),
			}
			if tt.kind != form {
				pretended = append(pretended, set("Content-Type", form), set("Content-Type", form+"; charset=utf-8"), set("Content-Type", "image/png"), http.Header{})
			}
			for _, h := range pretended {
				h.Set("X-Signature", hex.EncodeToString(sum([]byte(secret), tt.body)))
				if got := b.post("/hook", tt.body, h); got.status != 200 {
					t.Errorf("%v: %d", h, got.status)
				}
			}
			all := b.stored()
			if len(all) != 1 || all[0].EventID != "evt_1" || all[0].Type != "paid" || all[0].Weak {
				t.Errorf("%d events are stored: %+v", len(all), all)
			}
		})
	}
}

// TestEncodedContent: what is really encoded is not read, whatever it is called.
func TestEncodedContent(t *testing.T) {
	const source = "webhook \"hook\" {\npath = \"/hook\"\nverify \"none\" {}\nevent {\nid = body.id\n}\ndeliver { to = \"http://127.0.0.1:1/\" }\n}\n"
	b := serve(t, mustLoad(t, source))
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded"} {
		if got := b.post("/hook", "\x1f\x8b\x08\x00id=evt_1&", set("Content-Type", kind, "Content-Encoding", "gzip")); got.status != 200 {
			t.Errorf("%d", got.status)
		}
	}
	if all := b.stored(); len(all) != 1 || !all[0].Weak {
		t.Errorf("%d events are stored: %+v", len(all), all)
	}
}
