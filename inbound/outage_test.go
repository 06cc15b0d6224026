package inbound_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

// outage is an inbox before a modelled application. Its webhooks are large and
// small, quiet, which gets nothing while the application is down, and ordered, in
// which the lane "big" has nearly everything and twenty others have the rest.
type outage struct {
	*testing.T
	in     *inbound.Inbox
	app    *modelled
	mu     sync.Mutex
	posted map[string]time.Time // by id
}

const (
	outageLanes = 20
	outageHook  = "webhook %q {\n path = \"/%[1]s\"\n verify \"none\" {}\n event {\n id = body.id\n key = body.key\n }\n%s deliver {\n to = \"http://app.test/\"\n concurrency = 32\n }\n retry { attempts = 3 }\n}\n"
)

func outageSet(t *testing.T) *inbound.Set {
	t.Helper()
	src := ""
	for _, name := range []string{"large", "small", "quiet"} {
		src += fmt.Sprintf(outageHook, name, "")
	}
	return mustLoad(t, src+fmt.Sprintf(outageHook, "ordered", " order { mode = \"lane\" }\n"))
}

// post sends an event of this kind, and demands that the sender notices nothing.
func (o *outage) post(kind string) {
	o.mu.Lock()
	id := fmt.Sprint(kind, "-", len(o.posted))
	o.posted[id] = time.Now()
	o.mu.Unlock()
	hook, key := kind, ""
	switch {
	case kind == "new": // each in a lane of its own
		hook, key = "ordered", id
	case kind == "big" || strings.HasPrefix(kind, "lane"):
		hook, key = "ordered", kind
	}
	w, start := httptest.NewRecorder(), time.Now()
	o.in.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+hook, strings.NewReader(fmt.Sprintf(`{"id":%q,"key":%q}`, id, key))))
	if w.Code != http.StatusOK || time.Since(start) > 0 {
		o.Fatalf("event %s: %d after %v", id, w.Code, time.Since(start))
	}
}

// backlogKind is what the i-th event of the backlog is: of twenty, ten are large, one is
// small, and of the others one of twenty is not in the big lane.
func backlogKind(i int) string {
	switch n := i % 20; {
	case n < 10:
		return "large"
	case n == 10:
		return "small"
	case i/20*9+n-11 >= 0 && (i/20*9+n-11)%20 == 0:
		return fmt.Sprint("lane", (i/20*9+n-11)/20%outageLanes)
	}
	return "big"
}

// TestF28SixHours: an application is down for six hours, and events keep coming.
// Senders notice nothing, nothing is given up, and when it is back it is not run
// over: few calls first, and never so many that they wait long for each other.
// Whoever has few events does not wait for those who have many.
func TestF28SixHours(t *testing.T) {
	backlog := 6000
	if os.Getenv("POSTERN_SOAK") != "" {
		backlog = 100_000
	}
	set := outageSet(t)
	synctest.Test(t, func(t *testing.T) {
		app := newModelled()
		end := app.serve()
		o := &outage{T: t, app: app, posted: map[string]time.Time{}}
		o.in = inbound.New(inbound.Options{Store: store.NewMemory().Inbox(), Dial: app.dial})
		o.in.Swap(set)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); o.in.Run(ctx) }()

		for i := range 600 { // two ordinary minutes
			o.post(backlogKind(i))
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(time.Second)
		usual, before := p99(t, app.since(0)), app.served()
		app.set(true)
		for i := range backlog {
			o.post(backlogKind(i))
			time.Sleep(6 * time.Hour / time.Duration(backlog))
		}
		if got := app.served() - before; got != 0 {
			t.Fatalf("%d events were applied by an application that is down", got)
		}
		late := len(o.posted) // where those begin that are new after the outage
		back := o.drain(before, backlog)
		cancel()
		<-done
		end()

		after := app.since(before)
		t.Logf("a backlog of %d was applied %v after the application was back; p99 %v, usually %v", backlog, o.finished(after, late).Sub(back), p99(t, after), usual)
		o.check(after, usual)
		o.checkStart(after[0].at)
		o.checkBacklog(after, late)
		o.checkFresh(after, late)
	})
}

// drain lets the application come back, posts new events of every kind each second
// until all of the backlog is applied, and waits for these.
func (o *outage) drain(before, backlog int) (back time.Time) {
	o.app.set(false)
	back = time.Now()
	go o.app.warm()
	fresh := 0
	for deadline := back.Add(time.Duration(backlog) * time.Second); o.app.served()-before < backlog+fresh; {
		for i, kind := range []string{"large", "small", "quiet", "big", "lane0", "new"} {
			if o.app.served()-before < backlog {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				o.post(kind)
				fresh++
			}
		}
		time.Sleep(time.Second)
		if time.Now().After(deadline) {
			o.Fatalf("%d of %d are applied", o.app.served()-before, backlog+fresh)
		}
	}
	time.Sleep(time.Minute)
	return back
}

// finished is when the last of the backlog was answered.
func (o *outage) finished(after []answered, late int) (last time.Time) {
	for _, a := range after {
		if number(a.id) < late {
			last = a.at
		}
	}
	return last
}

func number(id string) (n int) {
	_, text, _ := strings.Cut(id, "-")
	_, _ = fmt.Sscan(text, &n)
	return n
}

// check demands that everything was applied once, and that the application answered
// as quickly as it should, in each minute.
func (o *outage) check(after []answered, usual time.Duration) {
	failed, _ := o.in.Count(o.Context(), inbound.Filter{State: inbound.Failed})
	applied, _ := o.in.Count(o.Context(), inbound.Filter{State: inbound.Applied})
	if got := o.app.served(); failed.N != 0 || applied.N != len(o.posted) || got != len(o.posted) {
		o.Errorf("of %d events %d are applied by %d calls, and %d failed", len(o.posted), applied.N, got, failed.N)
	}
	if got := p99(o.T, after); got > 2*usual {
		o.Errorf("the p99 is %v, usually %v", got, usual)
	}
	first := true
	for len(after) > 0 {
		n := 0
		for n < len(after) && after[n].at.Sub(after[0].at) < time.Minute {
			n++
		}
		limit := 2 * usual
		if first { // it is cold, and has half of its workers
			limit = 5 * usual / 2
		}
		first = false
		if got := p99(o.T, after[:n]); got > limit {
			o.Errorf("the p99 of a minute with %d answers is %v, usually %v", n, got, usual)
		}
		after = after[n:]
	}
}

// checkStart demands that few calls come first: of each of the targets that have a
// backlog one, and one more after each second.
func (o *outage) checkStart(first time.Time) {
	var most []int
	for i := range 12 {
		most = append(most, o.app.most[first.Truncate(time.Second).Add(time.Duration(i)*time.Second)])
	}
	o.Logf("at once, by second: %v", most)
	for i, n := range most {
		if n > 4*(i+1) {
			o.Errorf("%d calls at once in second %d", n, i)
		}
	}
	if all := slices.Max(most); all < 3 {
		o.Errorf("%d calls at once: the drain did not speed up", all)
	}
}

// checkBacklog demands that of two targets, or of two lanes, the one with little is
// done when it has had its share. A target knows at its next attempt that the
// application is back, so shares are counted from there.
func (o *outage) checkBacklog(after []answered, late int) {
	group := func(a answered) string {
		if strings.HasPrefix(a.kind(), "lane") {
			return "lanes"
		}
		return a.kind()
	}
	left := map[string]int{}
	for _, a := range after {
		if number(a.id) < late {
			left[group(a)]++
		}
	}
	total, had, shares := maps.Clone(left), map[string]int{}, map[string]map[string]int{}
	for _, a := range after {
		g := group(a)
		if a.kind() == "small" && had["small"] == 0 {
			had["large"] = 0
		}
		if had[g]++; number(a.id) < late {
			if left[g]--; left[g] == 0 {
				shares[g] = maps.Clone(had)
			}
		}
	}
	o.Logf("backlogs %v; applied when small was done %v, when the small lanes were done %v", total, shares["small"], shares["lanes"])
	if s := shares["small"]; s["large"] > 3*s["small"] || s["large"] < s["small"]/3 {
		o.Error("the large webhook and the small one had no equal shares")
	}
	if each := total["lanes"] / outageLanes; shares["lanes"]["big"] > 3*each+10 {
		o.Errorf("the big lane had %d when the others, with %d each, were done", shares["lanes"]["big"], each)
	}
}

// checkFresh demands that what is new does not wait for the backlog of others: for
// that of its own target or lane only.
func (o *outage) checkFresh(after []answered, late int) {
	waits := map[string][]time.Duration{}
	for _, a := range after {
		if number(a.id) >= late {
			waits[a.kind()] = append(waits[a.kind()], a.at.Sub(o.posted[a.id]))
		}
	}
	for _, kind := range []string{"large", "small", "quiet", "big", "lane0", "new"} {
		w := slices.Sorted(slices.Values(waits[kind]))
		if len(w) == 0 {
			o.Fatalf("no new event of %s", kind)
		}
		o.Logf("%d new events of %s waited %v, half of them no more than %v", len(w), kind, w[len(w)-1].Round(time.Millisecond), w[len(w)/2].Round(time.Millisecond))
		if limit := map[string]time.Duration{"quiet": time.Second, "new": 30 * time.Second}[kind]; limit > 0 && w[len(w)-1] > limit {
			o.Errorf("a new event of %s waited %v", kind, w[len(w)-1])
		}
	}
}
