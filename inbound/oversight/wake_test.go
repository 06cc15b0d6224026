package oversight_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
)

// TestWake: a ping has what is new fetched at once, in its order and however young; it
// is not delivered itself; many pings share a run, and one that comes during a run has another.
func TestWake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		l.add("ann", "before", time.Now())
		p := l.opened(t, "ann", "bob")
		defer p.stop()
		pause(5 * time.Second) // the first run says where the list stands
		for i := range 5 {
			l.add("ann", fmt.Sprint("a", i), time.Now())
		}
		l.add("bob", "b0", time.Now())
		p.quiet()
		for range 20 {
			p.push(pings("ann"))
		}
		pause(3 * time.Second)
		ids, states := p.changes()
		if !slices.Equal(ids["ann"], []string{"a0", "a1", "a2", "a3", "a4"}) || ids["bob"] != nil || states["ignored"] != 1 || len(states) != 1 {
			t.Fatalf("%v %v, asked %q, %q", ids, states, seen(p, &p.asked), seen(p, &p.troubles))
		}
		if n := len(seen(p, &p.asked)); n != 3 {
			t.Errorf("asked %d times for three pages: %q", n, seen(p, &p.asked))
		}
		page, _ := p.db.Inbox().List(t.Context(), inbound.Filter{})
		for _, e := range page.Events {
			d := e.Deliveries[0]
			if e.Type == "change" && (d.State != inbound.Received || d.Origin != inbound.Backfill || !e.Verified) || e.Type != "change" && !strings.HasPrefix(d.Reason, "only a ping, what is new is fetched: true (policy.hcl:") {
				t.Errorf("%+v", e)
			}
		}

		l.mu.Lock()
		l.hold = make(chan struct{})
		hold := l.hold
		l.mu.Unlock()
		p.push(pings("ann"))
		pause(3 * time.Second) // it runs, and has not been answered
		l.add("ann", "a5", time.Now())
		p.push(pings("ann"))
		l.mu.Lock()
		l.hold = nil
		l.mu.Unlock()
		close(hold)
		pause(4 * time.Second)
		if ids, _ := p.changes(); len(ids["ann"]) != 6 || len(seen(p, &p.troubles)) != 0 {
			t.Errorf("%v, %q", ids, seen(p, &p.troubles))
		}
		if rows, err := p.db.Oversight().Watches(t.Context(), oversight.KindWake); err != nil || len(rows) != 0 {
			t.Errorf("marks that are left: %+v, %v", rows, err)
		}
		p.quiet()
		pause(10 * time.Minute)
		if n := len(seen(p, &p.asked)); n != 0 {
			t.Errorf("asked without a ping: %q", seen(p, &p.asked))
		}
		p.push(pings("nobody"))
		pause(3 * time.Second)
		if told := seen(p, &p.troubles); len(told) != 1 || !strings.Contains(told[0], `account "nobody" is not connected`) || len(seen(p, &p.asked)) != 0 {
			t.Errorf("%q, asked %q", told, seen(p, &p.asked))
		}
	})
}

// TestWakeOutlivesTheProcess: a ping that was acknowledged is followed by the next
// process, and a run that was cut off between two pages goes on there.
func TestWakeOutlivesTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		p := l.opened(t)
		pause(5 * time.Second)
		p.stop()
		for i := range 7 {
			l.add("", fmt.Sprint("a", i), time.Now())
		}
		p.push(pings("ann")) // and then it dies
		n := 0
		l.fail = func(string) bool { n++; return n == 2 }
		p.start()
		pause(time.Second)
		if ids, _ := p.changes(); len(ids[""]) != 2 {
			t.Fatalf("%v", ids)
		}
		p.stop()
		p.start()
		defer p.stop()
		pause(10 * time.Second)
		ids, _ := p.changes()
		if !slices.Equal(ids[""], []string{"a0", "a1", "a2", "a3", "a4", "a5", "a6"}) {
			t.Errorf("%v", ids)
		}
	})
}

// TestWakeMarkOfALaterPing: what came while a run was under way is not forgotten with
// the mark of that run.
func TestWakeMarkOfALaterPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		p := l.opened(t)
		pause(5 * time.Second)
		hold := make(chan struct{})
		l.mu.Lock()
		l.hold = hold
		l.mu.Unlock()
		p.push(pings("ann"))
		pause(3 * time.Second) // it has been answered without what follows
		l.add("", "a0", time.Now())
		p.push(pings("ann"))
		l.mu.Lock()
		l.hold = nil
		l.mu.Unlock()
		close(hold)
		pause(500 * time.Millisecond)
		p.stop()
		p.start()
		defer p.stop()
		pause(2 * time.Second)
		if ids, _ := p.changes(); len(ids[""]) != 1 {
			t.Errorf("%v", ids)
		}
	})
}

// TestWakeWhileAMarkIsTaken: a ping that comes at the very moment in which the mark of
// the run before is taken away is followed, even if the process dies right then.
func TestWakeWhileAMarkIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		between := &between{}
		p := l.opened(t)
		p.stop()
		p.over = func(s oversight.Store) oversight.Store { between.Store = s; return between }
		p.start()
		pause(5 * time.Second)
		between.do = func() {
			l.add("", "a0", time.Now())
			p.push(pings("bob"))
		}
		p.push(pings("ann"))
		pause(3 * time.Second)
		p.stop()
		if ids, _ := p.changes(); between.do != nil || len(ids[""]) != 0 {
			t.Fatalf("nothing came between: %v", ids)
		}
		p.start()
		defer p.stop()
		pause(2 * time.Second)
		if ids, _ := p.changes(); len(ids[""]) != 1 {
			t.Errorf("%v", ids)
		}
	})
}

// TestWakeOfWhatFails: pings that come while a run fails do not have the provider asked
// before its time, however many they are.
func TestWakeOfWhatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		p := l.opened(t)
		defer p.stop()
		pause(5 * time.Second)
		p.mu.Lock()
		p.byAccount = func(string, *http.Request, string) (int, string) { time.Sleep(time.Second); return 429, "{}" }
		p.mu.Unlock()
		p.quiet()
		for range 600 {
			p.push(pings("ann"))
			pause(700 * time.Millisecond)
		}
		if n := len(seen(p, &p.asked)); n < 4 || n > 8 {
			t.Errorf("asked %d times in seven minutes", n)
		}
		p.mu.Lock()
		p.byAccount = l.answer
		p.mu.Unlock()
		l.add("", "a0", time.Now())
		pause(20 * time.Minute)
		if ids, _ := p.changes(); len(ids[""]) != 1 {
			t.Errorf("%v", ids)
		}
	})
}

// TestWakeBesidesWhatHangs: a provider that does not answer has a few runs at once, and
// keeps no other webhook waiting.
func TestWakeBesidesWhatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one := strings.Replace(feed, "ACCOUNTS", "true", 1)
		l := &log{size: 2}
		p := closed(t, one+strings.NewReplacer(`"hook"`, `"other"`, `"/hook"`, `"/other"`, `"acme"`, `"quick"`).Replace(one), nil)
		for i := range 12 {
			p.accounts = append(p.accounts, fmt.Sprint("a", i))
		}
		p.byAccount = l.answer
		p.start()
		defer p.stop()
		pause(5 * time.Second)
		hang := make(chan struct{})
		p.mu.Lock()
		p.hanging = map[string]chan struct{}{"acme": hang}
		p.mu.Unlock()
		p.quiet()
		p.push(pings(p.accounts...))
		pause(3 * time.Second)
		if n := len(seen(p, &p.asked)); n != 4 {
			t.Errorf("%d runs at once", n)
		}
		l.add("a7", "new", time.Now())
		if status := p.sendTo("/other", pings("a7")); status != http.StatusOK {
			t.Errorf("answered %d", status)
		}
		pause(3 * time.Second)
		if ids, _ := p.changes(); len(ids["a7"]) != 1 {
			t.Errorf("while another hangs: %v", ids)
		}
		p.mu.Lock()
		p.hanging = nil
		p.mu.Unlock()
		close(hang)
		pause(3 * time.Second)
		if ids, _ := p.changes(); len(ids["a7"]) != 2 {
			t.Errorf("in the end: %v", ids)
		}
		if rows, err := p.db.Oversight().Watches(t.Context(), oversight.KindWake); err != nil || len(rows) != 0 {
			t.Errorf("%d marks are left, %v", len(rows), err)
		}
	})
}

// TestWakeLeavesNothing: nothing stays in the store of pings that are followed, or that
// name accounts which are not connected: anybody can make up names.
func TestWakeLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		p := l.opened(t, "ann")
		defer p.stop()
		pause(5 * time.Second)
		p.push(pings("ann"))
		for i := range 20 {
			p.push(pings(fmt.Sprint("nobody", i)))
		}
		pause(10 * time.Second)
		if rows, err := p.db.Oversight().Watches(t.Context(), oversight.KindWake); err != nil || len(rows) != 0 {
			t.Errorf("%d marks are left, %v", len(rows), err)
		}
	})
}

// TestWakeFetchesWhatIsOld: what a list names after the position where it stood is new,
// whatever time it says, and comes in the order of the list: a file that is moved is as
// old as before, and what is deleted has no time at all.
func TestWakeFetchesWhatIsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		l.add("", "before", time.Now())
		p := l.opened(t)
		defer p.stop()
		pause(5 * time.Second)
		l.add("", "new", time.Now())
		l.add("", "deleted", time.Time{})
		l.add("", "moved", time.Now().AddDate(-1, 0, 0))
		p.push(pings("ann"))
		pause(3 * time.Second)
		if ids, _ := p.changes(); !slices.Equal(ids[""], []string{"new", "deleted", "moved"}) {
			t.Errorf("%v", ids)
		}
	})
}

// TestWakeNotMarked: a ping that cannot be written down is not acknowledged; its
// repeat, a duplicate, is followed.
func TestWakeNotMarked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		broken := &fickle{}
		p := l.opened(t)
		p.stop()
		p.over = func(s oversight.Store) oversight.Store { broken.Store = s; return broken }
		p.start()
		defer p.stop()
		pause(5 * time.Second)
		l.add("", "a0", time.Now())
		broken.down.Store(true)
		if status := p.send(pings("ann")); status != 503 {
			t.Errorf("answered %d", status)
		}
		broken.down.Store(false)
		p.push(pings("ann"))
		pause(3 * time.Second)
		if ids, states := p.changes(); len(ids[""]) != 1 || states["ignored"] != 1 {
			t.Errorf("%v %v", ids, states)
		}
	})
}

// TestExpiredPosition: a position that the provider does not know any more is given
// up, which is told and counted, and the list begun anew.
func TestExpiredPosition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		p := l.opened(t)
		defer p.stop()
		pause(5 * time.Second)
		l.add("", "lost", time.Now())
		l.mu.Lock()
		l.making++
		l.mu.Unlock()
		p.push(pings("ann"))
		pause(3 * time.Second)
		all, err := p.Standings(t.Context())
		if err != nil || all[0].Last.Expired != 1 || all[0].Last.Error != "" {
			t.Errorf("%+v, %v", all[0].Last, err)
		}
		if told := seen(p, &p.troubles); len(told) != 1 || !strings.Contains(told[0], "does not know the position in its list any more") {
			t.Errorf("%q", told)
		}
		l.add("", "a0", time.Now())
		p.push(pings("ann"))
		pause(3 * time.Second)
		if ids, _ := p.changes(); !slices.Equal(ids[""], []string{"a0"}) {
			t.Errorf("%v, asked %q", ids, seen(p, &p.asked))
		}
	})
	for status, again := range map[int]bool{410: true, 400: false, 404: false} {
		bubble(t, func(t *testing.T) {
			p := open(t, hook("reconcile {\nevery = \"1h\"\nlist = \"/list?from=${coalesce(cursor, \"start\")}\"\nevents = response.body.data\ncursor = response.body.cursor\n}"), func(r *http.Request, _ string) (int, string) {
				if r.URL.Query().Get("from") == "start" {
					return 200, `{"data":[],"cursor":"c"}`
				}
				return status, "{}"
			})
			defer p.stop()
			pause(time.Second)
			p.quiet()
			pause(time.Hour)
			if asked := seen(p, &p.asked); slices.Contains(asked, "GET /list?from=start") != again {
				t.Errorf("%d: %q", status, asked)
			}
		})
	}
}

// TestLossyFeed: pings that are lost, repeated and mixed up, answers that fail, and a
// process that is started anew again and again: at the end everything that has
// happened is there once, and in its order.
func TestLossyFeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 11))
		l := &log{}
		accounts := []string{"ann", "bob", "cyd"}
		p := l.opened(t, accounts...)
		pause(10 * time.Second)
		l.mu.Lock()
		failing := rand.New(rand.NewPCG(5, 3)) // under the lock of l
		l.fail = func(string) bool { return failing.IntN(6) == 0 }
		l.mu.Unlock()
		want, sent := map[string][]string{}, 0
		for i := range 600 {
			who := accounts[random.IntN(3)]
			id := fmt.Sprintf("%s-%03d", who, i)
			l.add(who, id, time.Now())
			want[who] = append(want[who], id)
			for range []int{0, 1, 1, 2}[random.IntN(4)] {
				p.push(pings(accounts[:1+random.IntN(3)]...))
				sent++
			}
			if i%50 == 49 {
				p.stop()
				p.start()
			}
			pause(time.Duration(random.IntN(4000)) * time.Millisecond)
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		pause(70 * time.Minute)
		p.stop()
		ids, states := p.changes()
		for _, who := range accounts {
			if !slices.Equal(ids[who], want[who]) {
				t.Errorf("%s: %d of %d, or in another order", who, len(ids[who]), len(want[who]))
			}
		}
		if len(states) != 1 || states["ignored"] == 0 || sent < 300 {
			t.Errorf("%d pings: %v", sent, states)
		}
	})
}

// TestWakeRefused: what makes no sense is said where it stands.
func TestWakeRefused(t *testing.T) {
	for lines, want := range map[string]string{
		"wake = true": "is for a list that goes on from a position", "expired = response.status == 410": "is for a list that goes on from a position",
		"cursor = response.body.c\nwake = response.status == 1": "There is no response", "cursor = response.body.c\nexpired = body.x": "There is no body",
	} {
		if _, diags := load(hook("reconcile {\nlist = \"/l\"\nevents = response.body\n" + lines + "\n}")); !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v", lines, diags)
		}
	}
}

// fickle is a store whose marks can fail to be written.
type fickle struct {
	oversight.Store
	down atomic.Bool
}

func (f *fickle) Take(ctx context.Context, w oversight.Watch, token string, lease time.Duration) ([]byte, bool, error) {
	if w.Kind == oversight.KindWake && f.down.Load() {
		return nil, false, errors.New("the disk is full")
	}
	return f.Store.Take(ctx, w, token, lease)
}

// between is a store in which something happens between the two steps in which a mark is
// taken away.
type between struct {
	oversight.Store
	do func()
}

func (b *between) Keep(ctx context.Context, w oversight.Watch, token string, value []byte, lease time.Duration) error {
	if do := b.do; do != nil && w.Kind == oversight.KindWake && value == nil {
		b.do = nil
		go do()
		time.Sleep(time.Millisecond)
	}
	return b.Store.Keep(ctx, w, token, value, lease)
}
