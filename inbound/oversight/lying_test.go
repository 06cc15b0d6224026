package oversight_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
)

// circle is a provider whose list leads back to a page that was read: after some pages
// the others come again and again.
func circle(at time.Time, before, around int) func(r *http.Request, _ string) (int, string) {
	return func(r *http.Request, _ string) (int, string) {
		n, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if n++; n == before+around {
			n = before
		}
		return 200, page(fmt.Sprint("/events?page=", n), item(fmt.Sprint("on ", n), at))
	}
}

// TestListsThatGoInCircles: a list that leads back to a page that was read is a failure
// that is told, and is asked for again later and later; a run that a person asks for
// ends.
func TestListsThatGoInCircles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(strings.Replace(plain, "pages   = 3", "pages = 100", 1)), empty)
		defer p.stop()
		pause(5 * time.Minute)
		at := time.Now()
		pause(4 * time.Minute)
		p.answers(circle(at, 1, 3))
		pause(6 * time.Hour)
		all, err := p.Standings(t.Context())
		if err != nil || all[0].Current == nil || !strings.Contains(all[0].Current.Error, "in a circle") {
			t.Errorf("%+v, %v", all[0].Current, err)
		}
		if n := len(seen(p, &p.asked)); n < 100 || n > 700 {
			t.Errorf("asked %d times in six hours", n)
		}
		if len(seen(p, &p.troubles)) == 0 || len(p.stored()) != 3 {
			t.Errorf("told %q, stored %q", seen(p, &p.troubles), p.stored())
		}
	})
}

// TestCirclesEndForAPerson: a run that a person asks for has no limit of pages.
func TestCirclesEndForAPerson(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(5 * time.Minute)
		at := time.Now()
		for _, c := range []struct{ before, around int }{{1, 2}, {1, 3}, {5, 2}, {5, 7}, {20, 33}} {
			n, round := 0, circle(at, c.before, c.around)
			p.answers(func(r *http.Request, body string) (int, string) {
				if n++; n > 1000 {
					return 500, "{}" // or the test would never end
				}
				return round(r, body)
			})
			if err := p.Reconcile(t.Context(), oversight.Ask{}); err != nil {
				t.Fatal(err)
			}
			pause(time.Second)
			if all, _ := p.Standings(t.Context()); !strings.Contains(all[0].Manual.Error, "in a circle") || n > 3*(c.before+c.around)+3 {
				t.Errorf("%+v: asked %d times: %+v", c, n, all[0].Manual)
			}
		}
	})
}

// TestSoonerByPolicy: a new every is in force at once, and not when the old one is over.
func TestSoonerByPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		blocks := "subscription {\n every = \"48h\"\n check = \"/hooks\"\n active = true\n}\n" + strings.Replace(plain, `"10m"`, `"48h"`, 1)
		p := open(t, hook(blocks), empty)
		defer p.stop()
		pause(time.Minute)
		p.quiet()
		p.inbox.Swap(set(t, hook(strings.ReplaceAll(blocks, `"48h"`, `"5m"`))))
		pause(6 * time.Minute)
		asked := seen(p, &p.asked)
		for _, what := range []string{"/hooks", "/events"} {
			if n := count(asked, what); n < 1 || n > 3 {
				t.Errorf("%s was asked %d times: %q", what, n, asked)
			}
		}
	})
}

func count(all []string, part string) (n int) {
	for _, s := range all {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// TestClockWasAhead: what is kept of a time when the clock was days ahead keeps nobody
// from asking now.
func TestClockWasAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := closed(t, hook("subscription {\n check = \"/hooks\"\n active = true\n}\n"+plain), empty)
		ahead := time.Now().Add(72 * time.Hour)
		for kind, text := range map[string]string{
			oversight.KindReconcile:    `{"first":%[2]q,"since":%[1]q,"due":%[1]q}`,
			oversight.KindSubscription: `{"webhook":"hook","health":"active","checked":%[1]q,"due":%[1]q}`,
		} {
			w := oversight.Watch{Kind: kind, Webhook: "hook"}
			if _, _, err := p.db.Oversight().Take(t.Context(), w, "before", time.Second); err != nil {
				t.Fatal(err)
			}
			value := fmt.Sprintf(text, ahead.Format(time.RFC3339), time.Now().Format(time.RFC3339))
			if err := p.db.Oversight().Keep(t.Context(), w, "before", []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
		p.start()
		defer p.stop()
		pause(5 * time.Minute)
		p.answers(func(*http.Request, string) (int, string) {
			return 200, page("", item("a", time.Now().Add(-3*time.Minute)))
		})
		pause(70 * time.Minute)
		if asked := seen(p, &p.asked); count(asked, "/hooks") == 0 || count(asked, "/events") == 0 || len(p.stored()) == 0 {
			t.Errorf("asked %q, stored %q", asked, p.stored())
		}
	})
}

// TestEndNobodyCanRead: a time that cannot be read is no subscription without end.
func TestEndNobodyCanRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(fmt.Sprintf(subscribed, "")), func(*http.Request, string) (int, string) {
			return 200, `{"state":"on","end":"next week"}`
		})
		defer p.stop()
		pause(time.Minute)
		all, err := p.Subscriptions(t.Context())
		if err != nil || len(all) != 1 || all[0].Health != oversight.Unclear || !strings.Contains(all[0].Why, "next week") {
			t.Errorf("%+v, %v", all, err)
		}
		p.answers(func(*http.Request, string) (int, string) { return 200, `{"state":"on"}` })
		pause(time.Hour)
		if all, err := p.Subscriptions(t.Context()); err != nil || all[0].Health != oversight.Active {
			t.Errorf("one that does not end: %+v, %v", all, err)
		}
	})
}

// TestAccountsThatLeave: what an account had that is connected no more is nobody's
// concern, until it is back.
func TestAccountsThatLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		blocks := "subscription {\n check = \"/hooks\"\n accounts = true\n active = false\n}\n" + strings.Replace(plain, "reconcile {", "reconcile {\n accounts = true", 1)
		p := open(t, hook(blocks), empty)
		defer p.stop()
		connected := func(accounts ...string) {
			p.mu.Lock()
			p.accounts = accounts
			p.mu.Unlock()
			pause(time.Minute)
		}
		has := func(want ...string) {
			t.Helper()
			var health, runs []string
			subs, err := p.Subscriptions(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range subs {
				health = append(health, s.Account)
			}
			standings, err := p.Standings(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range standings {
				runs = append(runs, s.Account)
			}
			if !slices.Equal(health, want) || !slices.Equal(runs, want) {
				t.Errorf("subscriptions of %q, runs of %q, want %q", health, runs, want)
			}
		}
		connected("one", "two")
		has("one", "two")
		connected("two")
		has("two")
		connected("one", "two")
		has("one", "two")
	})
}

// TestDryRunOfPagesThatOverlap: an item that is on two pages is one.
func TestDryRunOfPagesThatOverlap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(time.Minute)
		at := time.Now()
		pause(5 * time.Minute)
		p.answers(func(r *http.Request, _ string) (int, string) {
			if r.URL.Query().Get("page") == "" {
				return 200, page("/events?page=1", item("a", at), item("b", at))
			}
			return 200, page("", item("b", at), item("c", at))
		})
		for _, dry := range []bool{true, false} {
			if err := p.Reconcile(t.Context(), oversight.Ask{DryRun: dry}); err != nil {
				t.Fatal(err)
			}
			pause(time.Second)
			all, _ := p.Standings(t.Context())
			if got, _ := json.Marshal(all[0].Manual.Tally); !strings.Contains(string(got), `"expected":3,"received":0,"backfilled":3`) {
				t.Errorf("dry: %v, %s", dry, got)
			}
		}
	})
}

// TestLateBesidesRetention: each run says how many came late since the last one, of its
// account, whatever is deleted meanwhile.
func TestLateBesidesRetention(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(strings.Replace(plain, "reconcile {", "reconcile {\n accounts = true", 1)), empty)
		defer p.stop()
		p.mu.Lock()
		p.accounts = []string{"one", "two"}
		p.mu.Unlock()
		pause(time.Minute)
		w := p.inbox.Set().Webhooks()[0]
		late := func(account string, n, round int) {
			var bodies []string
			for i := range n {
				bodies = append(bodies, fmt.Sprintf(`{"id":"%d-%d","account":%q,"type":"thing.updated","at":%q}`, round, i, account, time.Now().UTC().Format(time.RFC3339)))
				if err := p.inbox.Backfill(t.Context(), w, []*inbound.Arrival{p.inbox.Arrival(w, &inbound.Listed{Body: []byte(bodies[i])})}); err != nil {
					t.Fatal(err)
				}
			}
			for _, b := range bodies {
				p.push(b)
			}
		}
		told := func(round, one, two int) {
			t.Helper()
			p.mu.Lock()
			p.reports = nil
			p.mu.Unlock()
			pause(11 * time.Minute)
			got := map[string]int{}
			for _, r := range seen(p, &p.reports) {
				got[r.Account] += r.Late
			}
			if got["one"] != one || got["two"] != two {
				t.Errorf("round %d: late %v, want %d and %d", round, got, one, two)
			}
		}
		late("one", 8, 0)
		late("two", 1, 1)
		told(0, 8, 1)
		told(1, 0, 0)
		if _, err := p.inbox.Act(t.Context(), inbound.ActDiscard, inbound.Filter{}, "ann"); err != nil {
			t.Fatal(err)
		}
		pause(time.Second)
		if n, err := p.db.Inbox().Prune(t.Context(), time.Now(), 100); err != nil || n != 9 {
			t.Fatalf("pruned %d, %v", n, err)
		}
		late("one", 3, 2)
		told(2, 3, 0)
	})
}

// forgetful is a store to which the place of a run that reads pages does not get.
type forgetful struct {
	oversight.Store
	dead *atomic.Bool
}

func (f forgetful) Keep(ctx context.Context, w oversight.Watch, token string, value []byte, lease time.Duration) error {
	if f.dead.Load() && w.Kind == oversight.KindReconcile {
		return errors.New("the disk is gone")
	}
	return f.Store.Keep(ctx, w, token, value, lease)
}

// TestReportOfARunThatIsCutOff: a run that is cut off after it has stored a page, and
// before it has written down that it did, counts that page once, and each event of
// pages that overlap once.
func TestReportOfARunThatIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dead := new(atomic.Bool)
		p := closed(t, hook(plain), empty)
		p.over = func(s oversight.Store) oversight.Store { return forgetful{s, dead} }
		p.start()
		pause(5 * time.Minute)
		at := time.Now()
		p.push(item("pushed", at))
		pause(4 * time.Minute)
		p.answers(func(r *http.Request, _ string) (int, string) {
			if r.URL.Query().Get("page") == "" {
				dead.Store(true)
				return 200, page("/events?page=1", item("pushed", at), item("a", at), item("b", at))
			}
			return 200, page("", item("b", at), item("c", at))
		})
		pause(75 * time.Second)
		p.stop()
		if len(p.stored()) != 3 {
			t.Fatalf("stored %q", p.stored())
		}
		p.answers(func(r *http.Request, _ string) (int, string) {
			if r.URL.Query().Get("page") == "" {
				return 200, page("/events?page=1", item("pushed", at), item("a", at), item("b", at))
			}
			return 200, page("", item("b", at), item("c", at))
		})
		dead.Store(false)
		p.start()
		defer func() { p.stop() }()
		pause(time.Hour)
		var sum oversight.Tally
		for _, r := range seen(p, &p.reports) {
			sum.Expected, sum.Received, sum.Backfilled = sum.Expected+r.Expected, sum.Received+r.Received, sum.Backfilled+r.Backfilled
		}
		if want := p.tally(); sum != want || want.Expected != 4 {
			t.Errorf("reported %+v, and there are %+v", sum, want)
		}
	})
}

// TestMendedPolicy: a run that is stuck where an old policy has led it begins its list
// anew under a new one.
func TestMendedPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(strings.Replace(plain, "next    = response.body.next", `next = response.body.next == null ? null : "/wrong?page=1"`, 1)), empty)
		defer p.stop()
		pause(5 * time.Minute)
		at := time.Now()
		pause(4 * time.Minute)
		p.answers(func(r *http.Request, _ string) (int, string) {
			switch {
			case r.URL.Path == "/wrong":
				return 403, "{}"
			case r.URL.Query().Get("page") == "":
				return 200, page("/events?page=1", item("a", at))
			}
			return 200, page("", item("b", at))
		})
		pause(30 * time.Minute)
		if len(p.stored()) != 1 {
			t.Fatalf("stored %q", p.stored())
		}
		p.inbox.Swap(set(t, hook(plain)))
		p.quiet()
		pause(30 * time.Minute)
		if len(p.stored()) != 2 {
			t.Errorf("stored %q, asked %q", p.stored(), seen(p, &p.asked))
		}
	})
}
