package oversight_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
)

const plain = `reconcile {
  every   = "10m"
  list    = "/events?since=${since}"
  events  = response.body.data
  next    = response.body.next
  unit    = "rfc3339"
  overlap = "1h"
  pages   = 3
}`

// empty is a provider that has sent nothing.
func empty(*http.Request, string) (int, string) { return 200, page("") }

// TestFillsGaps: what a list names and is not there is stored, byte for byte, as
// backfill; what is too young, too old or there already is not; nothing is counted
// twice.
func TestFillsGaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		start := time.Now()
		pause(5 * time.Minute)
		p.push(item("a", time.Now()))
		lost := strings.Replace(item("b", time.Now()), ", ", " ,\t", 1)
		old := item("old", start.Add(-time.Minute))
		pause(4 * time.Minute)
		young := item("young", time.Now())
		p.answers(func(*http.Request, string) (int, string) {
			return 200, page("", young, lost, strings.Replace(item("a", start.Add(5*time.Minute)), `"a"`, `"a" `, 1), old)
		})
		pause(90 * time.Second)
		if got := p.stored(); len(got) != 2 || got[1] != lost {
			t.Errorf("stored %q", got)
		}
		if got := p.tally(); got != (oversight.Tally{Expected: 2, Received: 1, Backfilled: 1}) {
			t.Errorf("%+v", got)
		}
		pause(time.Hour)
		if got := p.tally(); got != (oversight.Tally{Expected: 3, Received: 1, Backfilled: 2}) {
			t.Errorf("after more runs, when the young one was of age: %+v", got)
		}
		p.push(strings.Replace(lost, "\t", "  ", 1))
		if got := p.tally(); got.Late != 1 || len(p.stored()) != 3 {
			t.Errorf("it came after all: %+v", got)
		}
		page, _ := p.db.Inbox().List(t.Context(), inbound.Filter{EventID: "b"})
		if e := page.Events[0]; !e.Verified || e.Proof.Scheme != "api" || e.Deliveries[0].Origin != inbound.Backfill || e.Deliveries[0].State != inbound.Received {
			t.Errorf("%+v", e)
		}
		if numbers(p) != [2]int{3, 2} {
			t.Errorf("told of %v", numbers(p))
		}
	})
}

// TestUnknownToProvider: what came and is on no list is counted once, and no more
// when a list names it.
func TestUnknownToProvider(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(time.Minute)
		at := time.Now()
		p.push(item("x", at))
		pause(time.Hour)
		if got := p.tally(); got != (oversight.Tally{Unknown: 1}) {
			t.Errorf("%+v", got)
		}
		sum := 0
		for _, r := range seen(p, &p.reports) {
			sum += r.Unknown
		}
		if sum != 1 {
			t.Errorf("reported %d times", sum)
		}
		p.answers(func(*http.Request, string) (int, string) { return 200, page("", item("x", at)) })
		if err := p.Reconcile(t.Context(), oversight.Ask{Since: 2 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		pause(time.Second)
		if got := p.tally(); got != (oversight.Tally{Expected: 1, Received: 1}) {
			t.Errorf("named after all: %+v", got)
		}
	})
}

// TestFailedPages: a page that fails is asked for again, from its place, also by
// the next process; nothing is skipped, and nothing is stored twice.
func TestFailedPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(strings.Replace(plain, "10m", "2h", 1)), empty)
		pause(5 * time.Minute)
		at := time.Now()
		bad := map[string]int{}
		provider := func(r *http.Request, _ string) (int, string) {
			n := r.URL.Query().Get("page")
			if bad[n]++; bad[n] < 3 {
				return []int{0, 500}[bad[n]-1], page("")
			}
			switch n {
			case "", "0":
				return 200, page("https://elsewhere.example/events?page=1", item("a", at))
			case "7":
				return 200, page("", item("h", at))
			}
			next := int(n[0]-'0') + 1
			return 200, page(fmt.Sprintf("/events?page=%d", next), item(string(rune('a'+next-1)), at))
		}
		pause(110 * time.Minute)
		p.answers(provider)
		pause(6 * time.Minute)
		p.stop()
		p.start()
		defer p.stop()
		pause(90 * time.Minute)
		if got := p.stored(); len(got) != 8 {
			t.Errorf("stored %q", got)
		}
		for n, times := range bad {
			if n != "" && times != 3 {
				t.Errorf("page %s was asked for %d times: it fails twice, and is read once", n, times)
			}
		}
		if slices.ContainsFunc(seen(p, &p.asked), func(s string) bool { return strings.Contains(s, "elsewhere") }) {
			t.Errorf("asked elsewhere: %q", seen(p, &p.asked))
		}
		if len(seen(p, &p.troubles)) == 0 {
			t.Error("nobody was told")
		}
	})
}

// TestPlaceThatIsGone: a place in a list that the provider does not know any more
// makes the run begin anew.
func TestPlaceThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(5 * time.Minute)
		at, begun := time.Now(), 0
		pause(4 * time.Minute)
		p.answers(func(r *http.Request, _ string) (int, string) {
			switch {
			case r.URL.Query().Get("page") == "":
				begun++
				return 200, page("/events?page=1", item("a", at))
			case begun == 1: // the place that was named first
				return 400, "{}"
			}
			return 200, page("", item("b", at))
		})
		pause(5 * time.Minute)
		if got := p.stored(); len(got) != 2 {
			t.Errorf("stored %q, asked %q", got, seen(p, &p.asked))
		}
	})
}

// TestWhatNobodyUnderstands: an answer that is no list, an item without an id and a
// next page that is the same are failures; nothing is taken for the end of a list.
func TestWhatNobodyUnderstands(t *testing.T) {
	for name, tt := range map[string]struct{ answer, want string }{
		"no JSON":         {"<html>", "the answer is no list"},
		"no list":         {`{"data":{}}`, "yields no list"},
		"no id":           {`{"data":[{"type":"x"}]}`, "has no id"},
		"no next":         {`{"data":[],"next":"other"}`, "neither a path nor a URL"},
		"another path":    {`{"data":[],"next":"/a/../b"}`, "read as another"},
		"the same page":   {`{"data":[],"next":"SELF"}`, "the page that it is on"},
		"another host":    {`{"data":[],"next":"//elsewhere.example"}`, "neither a path nor a URL"},
		"not a condition": {`{"data":"x"}`, "yields no list"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := open(t, hook(plain), func(r *http.Request, _ string) (int, string) {
					return 200, strings.Replace(tt.answer, "SELF", r.URL.RequestURI(), 1)
				})
				defer p.stop()
				pause(2 * time.Second)
				all, err := p.Standings(t.Context())
				if err != nil || len(all) != 1 || all[0].Current == nil || !strings.Contains(all[0].Current.Error, tt.want) || all[0].Last != nil {
					t.Errorf("%+v, %v", all, err)
				}
				if len(seen(p, &p.troubles)) != 1 {
					t.Errorf("%q", seen(p, &p.troubles))
				}
			})
		})
	}
}

// TestListsWithoutBodies: bodies are fetched for what is missing only, with the
// headers that a push would have had; what is gone is counted, and no reason to
// stop.
func TestListsWithoutBodies(t *testing.T) {
	src := strings.Replace(hook(`reconcile {
  every  = "10m"
  list   = "/hooks/${params.hook}/deliveries"
  params = { hook = "a/b" }
  events = response.body
  next   = try(regex("<([^>]+)>; rel=\"next\"", response.header["Link"])[0], null)
  get    = "/deliveries/${item.n}"
  body   = response.body.payload
  event {
    id     = item.guid
    type   = item.kind
    time   = item.at
    header = { "X-Kind" = item.kind }
  }
}`), "id      = body.id\n", "id      = header[\"X-Id\"]\n", 1)
	bubble(t, func(t *testing.T) {
		p := open(t, src, func(*http.Request, string) (int, string) { return 200, "[]" })
		defer p.stop()
		pause(5 * time.Minute)
		at := time.Now().UTC().Format(time.RFC3339)
		pause(4 * time.Minute)
		p.answers(func(r *http.Request, _ string) (int, string) {
			switch r.URL.Path {
			case "/hooks/a/b/deliveries":
				return 200, fmt.Sprintf(`[{"guid":"g1","n":1,"kind":"push","at":%q},{"guid":"g1","n":2,"kind":"push","at":%q},{"guid":"g3","n":3,"kind":"push","at":%q}]`, at, at, at)
			case "/deliveries/1":
				return 200, `{"payload": {"ref" : "main"}}`
			}
			return 404, "{}"
		})
		pause(11 * time.Minute)
		if got := p.stored(); !slices.Equal(got, []string{`{"ref" : "main"}`}) {
			t.Fatalf("stored %q, asked %q", got, seen(p, &p.asked))
		}
		if seen(p, &p.asked)[0] != "GET /hooks/a%2Fb/deliveries" {
			t.Errorf("asked %q", seen(p, &p.asked))
		}
		page, _ := p.db.Inbox().List(t.Context(), inbound.Filter{EventID: "g1"})
		e, _ := p.db.Inbox().Body(t.Context(), page.Events[0].ID)
		if e.Type != "push" || e.Header.Get("X-Kind") != "push" || e.Occurred.IsZero() {
			t.Errorf("%+v", e)
		}
		fetched := 0
		for _, a := range seen(p, &p.asked) {
			if a == "GET /deliveries/1" {
				fetched++
			}
		}
		if fetched != 1 {
			t.Errorf("fetched %d times", fetched)
		}
		if r := seen(p, &p.reports)[len(seen(p, &p.reports))-1]; r.Gone != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// TestAccounts: each account is asked for with its own credentials, by a POST whose
// body says what has to be said.
func TestAccounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(`reconcile {
  every    = "10m"
  accounts = true
  list     = "/search"
  method   = "POST"
  json     = { since = since, cursor = response.body.cursor, limit = 2 }
  events   = response.body.data
  next     = response.body.cursor == null ? null : "/search"
  unit     = "ms"
  event {
    account = account
  }
}`), func(*http.Request, string) (int, string) { return 200, `{"data":[]}` })
		defer p.stop()
		p.mu.Lock()
		p.accounts = []string{"one", "two"}
		p.mu.Unlock()
		pause(5 * time.Minute)
		at := time.Now()
		pause(4 * time.Minute)
		p.answers(func(_ *http.Request, body string) (int, string) {
			if strings.Contains(body, `"cursor":"c"`) {
				return 200, `{"data":[` + item("b", at) + `]}`
			}
			return 200, `{"data":[` + item("a", at) + `],"cursor":"c"}`
		})
		pause(2 * time.Minute)
		page, err := p.db.Inbox().List(t.Context(), inbound.Filter{})
		got := map[string]bool{}
		for _, e := range page.Events {
			got[e.Account+" "+e.EventID] = true
		}
		if err != nil || len(got) != 4 || !got["one a"] || !got["two b"] {
			t.Errorf("%v, %v", got, err)
		}
		if len(seen(p, &p.asked)) != 4 || !strings.HasPrefix(seen(p, &p.asked)[0], `POST /search one {"limit":2,"since":"`) || !strings.Contains(seen(p, &p.asked)[1], `"cursor":"c"`) || !strings.HasPrefix(seen(p, &p.asked)[2], "POST /search two ") {
			t.Errorf("asked %q", seen(p, &p.asked))
		}
	})
}

// TestAskedFor: a person can have a run at once, look only, and go further back; a
// second one meanwhile is refused.
func TestAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		before := time.Now()
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(5 * time.Minute)
		hold := make(chan struct{})
		p.answers(func(*http.Request, string) (int, string) {
			<-hold
			return 200, page("", item("old", before.Add(-time.Hour)))
		})
		if err := p.Reconcile(t.Context(), oversight.Ask{Webhook: "other"}); !errors.Is(err, oversight.ErrNoReconcile) {
			t.Errorf("another webhook: %v", err)
		}
		if err := p.Reconcile(t.Context(), oversight.Ask{Webhook: "hook", Since: 24 * time.Hour, DryRun: true}); err != nil {
			t.Fatal(err)
		}
		if err := p.Reconcile(t.Context(), oversight.Ask{}); !errors.Is(err, oversight.ErrBusy) {
			t.Errorf("a second one: %v", err)
		}
		if all, _ := p.Standings(t.Context()); !all[0].Running || all[0].Manual == nil || !all[0].Manual.Ended.IsZero() {
			t.Errorf("meanwhile: %+v", all)
		}
		close(hold)
		pause(time.Second)
		all, err := p.Standings(t.Context())
		if err != nil || all[0].Running || all[0].Manual.Ended.IsZero() || all[0].Manual.Backfilled != 1 || len(p.stored()) != 0 {
			t.Errorf("looked: %+v, %v", all[0].Manual, err)
		}
		if err := p.Reconcile(t.Context(), oversight.Ask{Since: 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		pause(time.Second)
		if all, _ := p.Standings(t.Context()); all[0].Manual.Backfilled != 1 || all[0].Manual.DryRun || len(p.stored()) != 1 {
			t.Errorf("filled: %+v", all[0].Manual)
		}
	})
}

// TestDryRunForetells: a run that only looks says what the run after it then finds, also
// of what no list names, and leaves that to it.
func TestDryRunForetells(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, hook(plain), empty)
		defer p.stop()
		pause(time.Minute)
		named, missing := item("named", time.Now()), item("missing", time.Now())
		p.push(named)
		p.push(item("forged", time.Now()))
		pause(5 * time.Minute)
		p.answers(func(*http.Request, string) (int, string) { return 200, page("", missing, named) })
		want := oversight.Tally{Expected: 2, Received: 1, Backfilled: 1, Unknown: 1}
		for _, dry := range []bool{true, true, false} {
			if err := p.Reconcile(t.Context(), oversight.Ask{DryRun: dry}); err != nil {
				t.Fatal(err)
			}
			pause(time.Second)
			if all, _ := p.Standings(t.Context()); all[0].Manual.Tally != want || all[0].Manual.Error != "" || dry && p.tally() != (oversight.Tally{}) {
				t.Errorf("dry: %v, %+v, in all %+v", dry, all[0].Manual, p.tally())
			}
		}
		if p.tally() != want {
			t.Errorf("%+v", p.tally())
		}
	})
}

// TestBeginningIsKept: that reconcile is in force is on disk before anything is
// asked, so that a crash in the first run opens no gap.
func TestBeginningIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kept := make(chan string, 1)
		var p *place
		ready := make(chan struct{})
		p = open(t, hook(plain), func(*http.Request, string) (int, string) {
			<-ready
			rows, _ := p.db.Oversight().Watches(t.Context(), oversight.KindReconcile)
			select {
			case kept <- string(rows[0].Value):
			default:
			}
			return 200, page("")
		})
		defer func() { p.stop() }()
		begun := time.Now().UTC().Format(time.RFC3339)
		close(ready)
		pause(time.Second)
		if got := <-kept; !strings.Contains(got, `"first":"`+begun[:16]) {
			t.Errorf("kept when it was first asked: %q", got)
		}
	})
}
