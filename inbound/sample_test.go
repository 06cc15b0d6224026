package inbound

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// TestSampleHasWhatIsRead shows that the event block finds in a sample what was put
// there for it.
func TestSampleHasWhatIsRead(t *testing.T) {
	parse := func(src string) *block.Expr {
		x, err := block.ParseExpr(src, "webhook")
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	now := time.Unix(1764000000, 0)
	for _, e := range []*EventNames{
		{ID: parse(`body.id`), Type: parse(`body.type`), Account: parse(`body.data.object.customer`), Time: parse(`body.created`), Key: parse(`body.data.object.id`), Unit: Seconds},
		{ID: parse(`header["X-Delivery"]`), Type: parse(`header["X-Event"]`), Account: parse(`body.installation.id`), Time: parse(`body.at`), Unit: RFC3339},
		{ID: parse(`body.events[0].id`), Type: parse(`body.events[0].name`), Time: parse(`body.ms`), Unit: Millis},
	} {
		w := &Webhook{Name: "hook", Path: "/hook", Event: e, check: &Verification{None: true}}
		r := w.Sample("thing.made", nil, nil, "", now)
		if err := w.SignSample(r); err != nil {
			t.Fatal(err)
		}
		got := w.event(&Names{Request: r}, Verdict{}, "id", r.Body)
		if got.Type != "thing.made" || got.Weak || !strings.HasPrefix(got.EventID, "evt_") || !got.Occurred.Equal(now) || (e.Account != nil) != (got.Account != "") || (e.Key != nil) != (got.Key != "") {
			t.Errorf("%s: %+v", r.Body, got)
		}
	}
	own := &Webhook{Event: &EventNames{Type: parse(`header["X-Event"]`)}, check: &Verification{None: true}}
	r := own.Sample("push", []byte("as it is"), http.Header{"X-More": {"1"}}, "", now)
	if string(r.Body) != "as it is" || r.Header.Get("X-Event") != "push" || r.Header.Get("X-More") != "1" {
		t.Errorf("%+v", r)
	}
	own.check = &Verification{}
	if err := own.SignSample(r); err == nil || !strings.Contains(err.Error(), "only the sender has") || own.Signs() {
		t.Errorf("without a way to sign: %v", err)
	}
}
