package oversight_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound/oversight"
)

// plainAnd is plain with more lines.
func plainAnd(more string) string { return strings.TrimSuffix(plain, "}") + more + "\n}" }

// ids are those of the events that are stored, in their order.
func (p *place) ids() (all []string) {
	for _, body := range p.stored() {
		_, id, _ := strings.Cut(body, `{"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		all = append(all, id)
	}
	return all
}

// TestWhatIsTakenOfAList: the oldest first, whatever the order of the list; nothing of
// a type that the list is not asked for, and nothing that was kept or is too long.
func TestWhatIsTakenOfAList(t *testing.T) {
	for name, tt := range map[string]struct {
		more, source string
		page         func(at time.Time) string
		want         []string
	}{
		"the newest first": {"", "", func(at time.Time) string {
			return page("", item("c", at.Add(2*time.Second)), item("b", at.Add(time.Second)), item("a", at))
		}, []string{"a", "b", "c"}},
		"another type": {`types = ["thing.*", "other"]`, "", func(at time.Time) string {
			return page("", item("a", at), strings.Replace(item("b", at), "thing.updated", "things", 1), strings.Replace(item("c", at), "thing.updated", "other", 1), strings.Replace(item("d", at), "thing.updated", "other.thing", 1))
		}, []string{"a", "c"}},
		"from what is kept": {"", "cache", func(at time.Time) string { return page("", item("a", at)) }, nil},
		"too long":          {"", "", func(at time.Time) string { return page("", item("a", at)) + strings.Repeat(" ", 32<<20) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := open(t, hook(plainAnd(tt.more)), empty)
				defer func() { p.stop() }()
				p.mu.Lock()
				p.source = tt.source
				p.mu.Unlock()
				pause(time.Minute)
				text := tt.page(time.Now())
				p.answers(func(*http.Request, string) (int, string) { return 200, text })
				pause(15 * time.Minute)
				if got := p.ids(); !slices.Equal(got, tt.want) {
					t.Errorf("stored %q, want %q", got, tt.want)
				}
				if told := seen(p, &p.troubles); (len(told) > 0) != (tt.want == nil) {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// TestNothingBetweenTwoRuns: what was too young for one run is not too old for the next,
// also without an overlap, and is not unknown meanwhile because the list has it later.
func TestNothingBetweenTwoRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(strings.Replace(plain, "1h", "0s", 1)), empty)
		defer p.stop()
		pause(9 * time.Minute)
		pushed, lost := item("pushed", time.Now()), item("lost", time.Now())
		p.push(pushed)
		pause(2 * time.Minute)
		p.answers(func(*http.Request, string) (int, string) { return 200, page("", pushed, lost) })
		pause(20 * time.Minute)
		if got := p.tally(); got != (oversight.Tally{Expected: 2, Received: 1, Backfilled: 1}) {
			t.Errorf("%+v", got)
		}
		for _, r := range seen(p, &p.reports) {
			if r.Unknown != 0 {
				t.Errorf("unknown though it was young: %+v", r)
			}
		}
	})
}

// TestWindow: a list is not asked about a time that it does not go back to, and what
// came then is not unknown.
func TestWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plainAnd(`window = "2h"`)), empty)
		pause(time.Minute)
		p.push(item("x", time.Now()))
		p.stop()
		pause(5 * time.Hour)
		p.quiet()
		p.start()
		pause(time.Minute)
		p.stop()
		for _, asked := range seen(p, &p.asked) {
			_, since, _ := strings.Cut(asked, "since=")
			since, _ = url.QueryUnescape(strings.TrimSpace(since))
			if at, err := time.Parse(time.RFC3339, since); err != nil || time.Since(at) > 2*time.Hour+2*time.Minute {
				t.Errorf("asked %q, %v", asked, err)
			}
		}
		if got := p.tally(); len(seen(p, &p.asked)) == 0 || got.Unknown != 0 {
			t.Errorf("asked %d times, %+v", len(seen(p, &p.asked)), got)
		}
	})
}

// TestPagesOfOneRun: a run reads so many pages, and no more of a list that has the newest
// first than what it is about.
func TestPagesOfOneRun(t *testing.T) {
	for name, tt := range map[string]struct {
		list string
		want int
	}{"asked for a time": {"/events?since=${since}", 3}, "the newest first": {"/events", 2}} {
		bubble(t, func(t *testing.T) {
			begun := time.Now()
			p := open(t, hook(strings.Replace(plain, "/events?since=${since}", tt.list, 1)), func(r *http.Request, _ string) (int, string) {
				n := 0
				_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
				next := fmt.Sprintf("/events?page=%d", n+1)
				if n == 9 {
					next = ""
				}
				return 200, page(next, item(fmt.Sprint(n), begun.Add(time.Duration(n)*-30*time.Minute)))
			})
			pause(time.Second)
			p.stop()
			if got := len(seen(p, &p.asked)); got != tt.want {
				t.Errorf("%s: read %d pages, want %d", name, got, tt.want)
			}
		})
	}
}

// TestUnknownOfAnAccount: a run counts what is not on the list of its own account.
func TestUnknownOfAnAccount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := closed(t, hook(plainAnd("accounts = true\nevent { account = account }")), empty)
		p.accounts = []string{"a", "b"}
		p.start()
		defer p.stop()
		pause(time.Minute)
		for _, account := range p.accounts {
			p.push(strings.Replace(item("of "+account, time.Now()), "{", fmt.Sprintf(`{"account":%q,`, account), 1))
		}
		pause(time.Hour)
		unknown := map[string]int{}
		for _, r := range seen(p, &p.reports) {
			unknown[r.Account] += r.Unknown
		}
		if unknown["a"] != 1 || unknown["b"] != 1 {
			t.Errorf("%v", unknown)
		}
	})
}

// TestFeedFromItsBeginning: of a list that goes on from a position, the first run takes
// nothing that was before it was in force.
func TestFeedFromItsBeginning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		at := time.Now()
		p := open(t, hook("reconcile {\nlist = cursor == null ? \"/feed\" : \"/feed?after=${cursor}\"\nevents = response.body.data\ncursor = response.body.cursor\n}"), func(r *http.Request, _ string) (int, string) {
			if r.URL.Query().Get("after") != "" {
				return 200, `{"data":[],"cursor":"1"}`
			}
			return 200, fmt.Sprintf(`{"data":[%s,%s],"cursor":"1"}`, item("before", at.Add(-time.Minute)), item("since", at))
		})
		defer p.stop()
		pause(time.Hour)
		if got := p.ids(); !slices.Equal(got, []string{"since"}) {
			t.Errorf("stored %q", got)
		}
	})
}

// taking is a store whose leases are another's as soon as it says so.
type taking struct {
	oversight.Store
	gone *atomic.Bool
}

func (s taking) Take(ctx context.Context, w oversight.Watch, token string, lease time.Duration) ([]byte, bool, error) {
	if s.gone.Load() {
		return nil, false, nil
	}
	return s.Store.Take(ctx, w, token, lease)
}

// TestRunThatIsAnothers: a run whose lease is lost asks for no other page.
func TestRunThatIsAnothers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gone := new(atomic.Bool)
		p := closed(t, hook(plain), func(r *http.Request, _ string) (int, string) {
			gone.Store(true)
			time.Sleep(time.Minute)
			return 200, page("/events?page=1" + r.URL.Query().Get("page"))
		})
		p.over = func(s oversight.Store) oversight.Store { return taking{s, gone} }
		p.start()
		defer p.stop()
		pause(10 * time.Minute)
		if asked := seen(p, &p.asked); len(asked) != 1 {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestUnclearIsAskedAgain: while nobody knows how a subscription does, it is asked every
// minute and not after an hour.
func TestUnclearIsAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := &hookAt{status: 503, state: "on", end: time.Now().Add(48 * time.Hour)}
		p := open(t, hook(fmt.Sprintf(subscribed, "")), h.answer)
		defer p.stop()
		pause(30 * time.Second)
		h.set(func() { h.status = 200 })
		pause(time.Minute)
		if told := seen(p, &p.health); !slices.Equal(told, []string{"unclear", "unclear active"}) {
			t.Errorf("%q", told)
		}
	})
}
