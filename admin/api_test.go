package admin

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

func TestStatus(t *testing.T) {
	l := serve(t, `admin {}`)
	st := read[Status](t, l.ask("GET", "/api/v1/status", ""))
	if st.Version != "1.2.3" || st.Revision != "abc" || st.Generation != 3 || !st.Ready || len(st.Checks) != 2 || !st.Loaded.Equal(time.Unix(1e9, 0)) ||
		len(st.Listeners) != 1 || st.Listeners[0] != (Listener{"proxy", "127.0.0.1:8080"}) || st.Started.IsZero() {
		t.Errorf("%+v", st)
	}
}

func TestReload(t *testing.T) {
	l := serve(t, `admin {}`)
	if st := read[Status](t, l.ask("POST", "/api/v1/reload", "")); l.reloads != 1 || st.Generation != 3 {
		t.Errorf("%d reloads, %+v", l.reloads, st)
	}
	l.refused = errors.New("stripe.hcl:3: there is no attribute \"hots\"")
	a := l.ask("POST", "/api/v1/reload", "")
	isProblem(t, "refused", a, http.StatusUnprocessableEntity)
	if !strings.Contains(a.body, "stripe.hcl:3") || !strings.Contains(a.body, "Mend the files") {
		t.Error(a.body)
	}
}

func TestProviders(t *testing.T) {
	l := serve(t, `admin {}`)
	list := read[Providers](t, l.ask("GET", "/api/v1/providers", "")).Providers
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, p := range list {
		if p.Name == "api.stripe.com" && (len(p.Hosts) != 1 || p.Hosts[0] != p.Name || len(p.Plans) != 1 || p.Endpoints[0] != "other") {
			t.Errorf("%+v", p)
		}
	}
}

func TestWebhooks(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	l.insert(inbound.Event{ID: "g", Webhook: "gone", EventID: "1"}, "gone")
	a := l.ask("GET", "/api/v1/webhooks", "")
	if strings.Contains(a.body, "canary") {
		t.Errorf("the URL of a target is shown: %s", a.body)
	}
	list := read[Webhooks](t, a).Webhooks
	if len(list) != 3 || list[0].Name != "github" || list[1].Name != "gone" || list[2].Name != "slack" {
		t.Fatalf("%+v", list)
	}
	if g := list[0]; g.Path != "/github" || g.Provider != "github" || g.Counts["failed"] != 3 || g.Counts["received"] != 2 || g.Oldest.IsZero() || len(g.Targets) != 1 {
		t.Errorf("%+v", g)
	}
	if g := list[1]; len(g.Stranded) != 1 || g.Stranded[0] != (Stranded{Target: "gone", Count: 1}) || list[0].Stranded != nil {
		t.Errorf("%+v, %+v: what waits for no target of the policy", g, list[0])
	}
	if s := list[2]; len(s.Targets) != 2 || s.Counts["received"] == 0 {
		t.Errorf("%+v", s)
	}
}
