package oversight_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound/oversight"
)

// TestSilence: a silence is told of once, also if the process begins anew
// meanwhile, and so is its end. What was fetched breaks no silence.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook("expect { every = \"1h\" }\n"+strings.Replace(plain, "every   = \"10m\"", "every = \"20m\"", 1)), empty)
		pause(30 * time.Minute)
		p.push(item("a", time.Now()))
		pause(55 * time.Minute)
		if len(seen(p, &p.silences)) != 0 {
			t.Errorf("too early: %q", seen(p, &p.silences))
		}
		p.answers(func(*http.Request, string) (int, string) {
			return 200, page("", item("b", time.Now().Add(-10*time.Minute)))
		})
		pause(20 * time.Minute)
		if !slices.Equal(seen(p, &p.silences), []string{"1h0m0s over false"}) || len(p.stored()) != 2 {
			t.Errorf("after an hour and a quarter: %q, stored %q", seen(p, &p.silences), p.stored())
		}
		if s := p.Silences(); len(s) != 1 || s[0].Alarm.IsZero() || time.Since(s[0].Since).Round(time.Minute) != 75*time.Minute {
			t.Errorf("%+v", s)
		}
		elsewhere := oversight.New(oversight.Options{Inbox: p.inbox, Store: p.db.Oversight()}) // it watches nothing
		if s, err := elsewhere.Watched(t.Context()); err != nil || len(s) != 1 || s[0] != p.Silences()[0] || len(elsewhere.Silences()) != 0 {
			t.Errorf("as another process sees it: %+v, %v; want %+v", s, err, p.Silences())
		}
		p.stop()
		p.start()
		defer func() { p.stop() }()
		pause(3 * time.Hour)
		if len(seen(p, &p.silences)) != 1 {
			t.Errorf("told again: %q", seen(p, &p.silences))
		}
		p.push(item("c", time.Now()))
		pause(time.Minute)
		if !slices.Equal(seen(p, &p.silences), []string{"1h0m0s over false", "1h0m0s over true"}) {
			t.Errorf("back: %q", seen(p, &p.silences))
		}
		p.stop()
		p.start()
		pause(30 * time.Minute)
		if len(seen(p, &p.silences)) != 2 {
			t.Errorf("told again that it is back: %q", seen(p, &p.silences))
		}
	})
}

// TestSilenceFromTheBeginning: a webhook that never came at all is silent since it
// is watched.
func TestSilenceFromTheBeginning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(`expect { every = "1h" }`), empty)
		defer p.stop()
		pause(59 * time.Minute)
		if len(seen(p, &p.silences)) != 0 {
			t.Errorf("too early: %q", seen(p, &p.silences))
		}
		pause(2 * time.Minute)
		if len(seen(p, &p.silences)) != 1 {
			t.Errorf("%q", seen(p, &p.silences))
		}
	})
}

// TestLearnedRhythm: what is usual is not told of: here six hours every night. An
// outage in the past does not make it deaf.
func TestLearnedRhythm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook("expect {\n learn = true\n factor = 2\n}"), empty)
		defer p.stop()
		for day := range 12 {
			for n := range 36 {
				p.push(item(fmt.Sprint(day, "-", n), time.Now()))
				pause(30 * time.Minute)
			}
			pause(6 * time.Hour)
			if day == 9 {
				pause(48 * time.Hour)
			}
		}
		told := len(seen(p, &p.silences))
		if told != 2 { // the outage, and its end
			t.Errorf("%q", seen(p, &p.silences))
		}
		p.push(item("last", time.Now()))
		pause(8 * time.Hour)
		if len(seen(p, &p.silences)) != told {
			t.Errorf("too early: %q", seen(p, &p.silences))
		}
		pause(8 * time.Hour)
		if len(seen(p, &p.silences)) != told+1 {
			t.Errorf("%q, %+v", seen(p, &p.silences), p.Silences())
		}
	})
}

// TestLearnsNothingOfLittle: with few events there is no alarm, or that of every.
func TestLearnsNothingOfLittle(t *testing.T) {
	for every, want := range map[string]int{"": 0, "every = \"1h\"": 1} {
		bubble(t, func(t *testing.T) {
			p := open(t, hook("expect {\n learn = true\n"+every+"\n}"), empty)
			defer p.stop()
			for n := range 20 {
				p.push(item(fmt.Sprint(n), time.Now()))
				pause(time.Minute)
			}
			pause(24 * time.Hour)
			if len(seen(p, &p.silences)) != want {
				t.Errorf("%q: %q", every, seen(p, &p.silences))
			}
		})
	}
}

const subscribed = `subscription {
  every   = "1h"
  check   = "/subscriptions/${params.id}"
  active  = response.status == 200 && response.body.state != "off"
  expires = response.body.end
  before  = "12h"
  params  = { id = "s/1" }
%s
}`

// hookAt is a provider's subscription that ends at a time.
type hookAt struct {
	mu     sync.Mutex
	status int
	state  string
	end    time.Time
	renews bool
	lies   bool // that it has renewed
}

func (h *hookAt) answer(r *http.Request, body string) (int, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Method == http.MethodPatch {
		if !h.renews {
			return 403, "{}"
		}
		if h.lies {
			return 200, "{}"
		}
		_, end, _ := strings.Cut(body, `"end":"`)
		h.end, _ = time.Parse(time.RFC3339, strings.TrimSuffix(end, `"}`))
		return 200, "{}"
	}
	return h.status, fmt.Sprintf(`{"state":%q,"end":%q}`, h.state, h.end.UTC().Format(time.RFC3339))
}

// set changes what it is.
func (h *hookAt) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// TestSubscription: it is told once when a provider has a hook no more, when it is
// about to end, when nobody knows, and when it is well again.
func TestSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &hookAt{status: 200, state: "on", end: time.Now().Add(30 * time.Hour)}
		p := open(t, hook(fmt.Sprintf(subscribed, "")), h.answer)
		pause(10 * time.Hour)
		if seen(p, &p.asked)[0] != "GET /subscriptions/s%2F1" || len(seen(p, &p.asked)) < 10 {
			t.Errorf("asked %d times, %q", len(seen(p, &p.asked)), seen(p, &p.asked)[0])
		}
		steps := []struct {
			change func()
			want   string
		}{
			{func() {}, "active"},
			{func() { pause(5 * time.Hour) }, "active expiring"},
			{func() { h.set(func() { h.end = time.Now().Add(48 * time.Hour) }) }, "expiring active"},
			{func() { h.set(func() { h.status = 404 }) }, "active missing"},
			{func() { h.set(func() { h.status = 503 }) }, "missing unclear"},
			{func() { h.set(func() { h.status = 401 }) }, "missing unclear"},
			{func() { h.set(func() { h.status = 200 }) }, "unclear active"},
			{func() { h.set(func() { h.state = "off" }) }, "active missing"},
			{func() { p.stop(); p.start() }, "active missing"},
		}
		for _, step := range steps {
			step.change()
			pause(3 * time.Hour)
			told := seen(p, &p.health)
			last := told[len(told)-1]
			if last != step.want {
				t.Errorf("%q, want %q", seen(p, &p.health), step.want)
			}
		}
		if len(seen(p, &p.health)) != 7 {
			t.Errorf("told %d times: %q", len(seen(p, &p.health)), seen(p, &p.health))
		}
		all, err := p.Subscriptions(t.Context())
		if err != nil || len(all) != 1 || all[0].Health != "missing" {
			t.Errorf("%+v, %v", all, err)
		}
		p.stop()
	})
}

// TestRenewal: what is about to end is renewed before it does; if that is refused
// it is told.
func TestRenewal(t *testing.T) {
	renew := "renew {\n method = \"PATCH\"\n path = \"/subscriptions/${params.id}\"\n json = { end = until }\n for = \"48h\"\n}"
	bubble(t, func(t *testing.T) {
		h := &hookAt{status: 200, state: "on", end: time.Now().Add(24 * time.Hour), renews: true}
		p := open(t, hook(fmt.Sprintf(subscribed, renew)), h.answer)
		defer p.stop()
		pause(4 * 24 * time.Hour)
		if !slices.Equal(seen(p, &p.health), []string{"active"}) || time.Until(h.end) < 11*time.Hour {
			t.Errorf("%q, until %v", seen(p, &p.health), time.Until(h.end))
		}
		renewed := 0
		for _, a := range seen(p, &p.asked) {
			if strings.HasPrefix(a, "PATCH") {
				renewed++
			}
		}
		if renewed < 2 || renewed > 4 {
			t.Errorf("renewed %d times", renewed)
		}
		if all, _ := p.Subscriptions(t.Context()); all[0].Renewed.IsZero() || all[0].Expires.IsZero() {
			t.Errorf("%+v", all[0])
		}
		h.set(func() { h.renews = false })
		pause(40 * time.Hour)
		if !slices.Equal(seen(p, &p.health), []string{"active", "active expiring"}) {
			t.Errorf("refused: %q", seen(p, &p.health))
		}
	})
}

// TestRenewedInVain: a provider that says that it has renewed, and has not, is told of.
func TestRenewedInVain(t *testing.T) {
	renew := "renew {\n method = \"PATCH\"\n path = \"/subscriptions/${params.id}\"\n json = { end = until }\n for = \"48h\"\n}"
	bubble(t, func(t *testing.T) {
		h := &hookAt{status: 200, state: "on", end: time.Now().Add(6 * time.Hour), renews: true, lies: true}
		p := open(t, hook(fmt.Sprintf(subscribed, renew)), h.answer)
		defer p.stop()
		pause(time.Minute)
		if all, err := p.Subscriptions(t.Context()); err != nil || len(all) != 1 || all[0].Health != oversight.Expiring || all[0].Why != "it was renewed, and ends no later" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// TestSubscriptionOfAccounts: each account's is asked for by itself.
func TestSubscriptionOfAccounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook("subscription {\n check = \"/hooks\"\n accounts = true\n active = length(response.body) == 1\n}"), func(r *http.Request, _ string) (int, string) { return 200, "[]" })
		defer p.stop()
		p.mu.Lock()
		p.accounts = []string{"one", "two"}
		p.mu.Unlock()
		pause(time.Minute)
		if all, err := p.Subscriptions(t.Context()); err != nil || len(all) != 2 || all[1].Account != "two" || all[1].Health != "missing" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
