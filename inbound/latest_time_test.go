package inbound_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
)

// timely is an inbox in virtual time, over a store in memory, that reads from u.
type timely struct {
	*testing.T
	in  *inbound.Inbox
	app *modelled
}

// inTime runs a test in virtual time.
func inTime(t *testing.T, u *upstream, more string, do func(*timely)) {
	t.Helper()
	src := strings.NewReplacer(`first  = "5ms"`, `first  = "1s"`, `max    = "10ms"`, `max    = "10m"`).Replace(ordered("http://app.test/", "provider = \"shop\"\n"+more))
	if strings.Contains(more, "deliver {") { // instead of the usual one
		src = strings.Replace(src, `deliver { to = "http://app.test/" }`, "", 1)
	}
	set := mustLoad(t, src)
	synctest.Test(t, func(t *testing.T) {
		o := &timely{t, nil, newModelled()}
		end := o.app.serve()
		o.in = inbound.New(inbound.Options{Store: store.NewMemory().Inbox(), Dial: o.app.dial, Egress: u.egress})
		o.in.Swap(set)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); o.in.Run(ctx) }()
		defer func() { cancel(); <-done; end() }()
		do(o)
	})
}

func (o *timely) post(body string) {
	o.Helper()
	w := httptest.NewRecorder()
	o.in.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body)))
	if w.Code != http.StatusOK {
		o.Fatalf("%s: %d", body, w.Code)
	}
}

// is checks where events are, by their ids: "id state reason".
func (o *timely) is(want ...string) {
	o.Helper()
	page, err := o.in.List(context.Background(), inbound.Filter{})
	if err != nil {
		o.Fatal(err)
	}
	for i := range want {
		found := false
		var all []string
		for _, e := range page.Events {
			is := fmt.Sprint(e.EventID, " ", e.Status, " ", because(e))
			found, all = found || strings.HasPrefix(is, want[i]), append(all, is)
		}
		if !found {
			o.Errorf("%q is not among %q", want[i], all)
		}
	}
}

// TestUnconfirmedTakesNobodyAlong: an event that somebody has made up, before there was
// such a thing, takes no true one with it that came while its provider was asked.
func TestUnconfirmedTakesNobodyAlong(t *testing.T) {
	var begun time.Time
	u := &upstream{plan: func(int, *http.Request) *http.Response {
		if time.Since(begun) < 12*time.Second {
			return says(404, "")
		}
		return says(200, `{"paid":true}`)
	}}
	inTime(t, u, "latest { get = \"/v1/payments/${event.key}\" }", func(o *timely) {
		begun = time.Now()
		o.post(`{"id":"made up","key":"k"}`)
		time.Sleep(9 * time.Second)
		o.post(`{"id":"true","key":"k"}`)
		time.Sleep(time.Minute)
		o.is("made up ignored unconfirmed: ", "true applied")
	})
}

// TestLatestIsTriedWithin: reading is given up when it has failed for so long, and not
// at its first failure when the event is old: because the application was down, or
// because it was in quarantine.
func TestLatestIsTriedWithin(t *testing.T) {
	var failing atomic.Bool
	u := &upstream{plan: func(n int, _ *http.Request) *http.Response {
		if failing.Load() {
			return says(503, "")
		}
		return says(200, fmt.Sprint(n))
	}}
	inTime(t, u, "latest {\n get = \"/v1/things/${event.key}\"\n within = \"2h\"\n}", func(o *timely) {
		o.app.set(true)
		o.post(`{"id":"1","key":"k"}`)
		time.Sleep(5 * time.Hour)
		failing.Store(true)
		o.app.set(false)
		time.Sleep(time.Hour)
		o.is("1 retrying the latest state cannot be read: it answered 503")
		failing.Store(false)
		time.Sleep(time.Hour)
		o.is("1 applied")

		o.app.set(true)
		o.post(`{"id":"2","key":"k"}`)
		time.Sleep(5 * time.Hour)
		failing.Store(true)
		o.app.set(false)
		time.Sleep(3 * time.Hour)
		o.is("2 failed given up after 2h0m0s: the latest state cannot be read: it answered 503")
	})
}

// TestCopyOvertakesNothing: where only the newest counts, a copy of an old event is
// delivered, and what is newer is, too.
func TestCopyOvertakesNothing(t *testing.T) {
	inTime(t, &upstream{}, `order { mode = "latest" }`, func(o *timely) {
		o.post(`{"id":"old","key":"k"}`)
		time.Sleep(time.Minute)
		page, err := o.in.List(context.Background(), inbound.Filter{})
		if err != nil {
			o.Fatal(err)
		}
		o.app.set(true)
		o.post(`{"id":"new","key":"k"}`)
		time.Sleep(time.Minute)
		if done, err := o.in.Anew(context.Background(), inbound.Filter{IDs: []string{page.Events[0].ID}}, "ann"); err != nil || len(done.Moved) != 1 {
			o.Fatal(done, err)
		}
		o.app.set(false)
		time.Sleep(time.Hour)
		o.is("new applied", "old applied")
		if got := o.app.since(0); len(got) != 3 {
			o.Errorf("delivered %+v", got)
		}
	})
}

// TestLatestSharedByWorkers: what is pulled shares a state as what is posted does, once
// it is acknowledged.
func TestLatestSharedByWorkers(t *testing.T) {
	u := &upstream{plan: func(n int, _ *http.Request) *http.Response { return says(200, fmt.Sprint(n)) }}
	inTime(t, u, "latest {\n get = \"/v1/things/${event.key}\"\n unchanged = \"deliver\"\n}\ndeliver { pull = true }", func(o *timely) {
		for i := range 5 {
			o.post(fmt.Sprintf(`{"id":"%d","key":"k"}`, i+1))
		}
		ask := inbound.Pull{Webhook: "hook", Max: 10, Wait: 20 * time.Second, Lease: time.Minute}
		got, err := o.in.Claim(context.Background(), ask)
		if err != nil || len(got) != 1 {
			o.Fatal(len(got), err)
		}
		o.post(`{"id":"late","key":"k"}`)
		o.is("2 received", "5 received")
		if _, err := o.in.Nack(context.Background(), got[0].Lease, inbound.Nack{Delay: time.Second}); err != nil {
			o.Fatal(err)
		}
		o.is("1 retrying", "2 received") // nobody has the state yet
		if got, err = o.in.Claim(context.Background(), ask); err != nil || len(got) != 1 {
			o.Fatal(len(got), err)
		}
		o.post(`{"id":"later","key":"k"}`)
		if err := o.in.Ack(context.Background(), got[0].Lease); err != nil {
			o.Fatal(err)
		}
		o.is("1 applied", "2 ignored overtaken: its state was delivered with ", "5 ignored overtaken", "late ignored overtaken", "later received")
	})
}

// TestClaimsOfASlowProvider: while the state is read for some events of a claim, those
// that are given out with them keep their leases.
func TestClaimsOfASlowProvider(t *testing.T) {
	u := &upstream{plan: func(int, *http.Request) *http.Response {
		time.Sleep(8 * time.Second)
		return says(200, "{}")
	}}
	inTime(t, u, "latest { get = \"/v1/things/${event.key}\" }\ndeliver { pull = true }", func(o *timely) {
		for i := range 20 {
			o.post(fmt.Sprintf(`{"id":"%d","key":"%d"}`, i, i))
		}
		time.Sleep(5 * time.Second)
		applied := 0
		for range 20 {
			asked := time.Now()
			got, err := o.in.Claim(context.Background(), inbound.Pull{Webhook: "hook", Max: 20, Lease: 30 * time.Second})
			if err != nil {
				o.Fatal(err)
			}
			if took := time.Since(asked); took >= 30*time.Second { // the first would be another's by now
				o.Errorf("claimed within %v", took)
			}
			for _, one := range got {
				if left := time.Until(one.Deadline); left < 10*time.Second {
					o.Errorf("%v are left", left)
				}
				if err := o.in.Ack(context.Background(), one.Lease); err != nil {
					o.Errorf("acknowledged at once: %v", err)
				}
				applied++
			}
		}
		if applied != 20 {
			o.Errorf("%d of 20 were applied", applied)
		}
	})
}

// TestReadingOutlastsALease: an event whose state takes longer to read than its worker
// wants to have it is given to no other meanwhile.
func TestReadingOutlastsALease(t *testing.T) {
	u := &upstream{plan: func(int, *http.Request) *http.Response {
		time.Sleep(8 * time.Second)
		return says(200, "{}")
	}}
	inTime(t, u, "latest { get = \"/v1/things/${event.key}\" }\ndeliver { pull = true }", func(o *timely) {
		o.post(`{"id":"1","key":"k"}`)
		time.Sleep(5 * time.Second)
		claim := func() int {
			got, err := o.in.Claim(context.Background(), inbound.Pull{Webhook: "hook", Max: 1, Lease: 5 * time.Second})
			if err != nil {
				o.Error(err)
			}
			return len(got)
		}
		other := make(chan int)
		go func() { time.Sleep(6 * time.Second); other <- claim() }()
		if first, second := claim(), <-other; first != 1 || second != 0 || u.count() != 1 {
			o.Errorf("%d and %d are given out, read %d times", first, second, u.count())
		}
	})
}

// TestLostWhileRead: what is another's by the time that its state is read is not given
// out.
func TestLostWhileRead(t *testing.T) {
	set := mustLoad(t, strings.Replace(ordered("http://app.test/", "provider = \"shop\"\nlatest {\nget = \"/x\"\ndebounce = \"0s\"\n}\ndeliver { pull = true }"), `deliver { to = "http://app.test/" }`, "", 1))
	u := &upstream{plan: func(int, *http.Request) *http.Response { return says(200, "{}") }}
	in := inbound.New(inbound.Options{Store: losing{store.NewMemory().Inbox()}, Egress: u.egress})
	in.Swap(set)
	in.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(`{"id":"1"}`)))
	got, err := in.Claim(t.Context(), inbound.Pull{Webhook: "hook", Max: 1, Lease: time.Minute})
	if err != nil || len(got) != 0 || u.count() != 1 {
		t.Errorf("%d are given out, read %d times: %v", len(got), u.count(), err)
	}
}

// losing is a store in which every lease is lost as soon as it is renewed.
type losing struct{ inbound.Store }

func (losing) Renew(_ context.Context, leases []queue.Lease, _ time.Duration) ([]queue.Lease, error) {
	return leases, nil
}

// TestOrderOfWorkers: the modes of order hold for what is pulled, too.
func TestOrderOfWorkers(t *testing.T) {
	for mode, want := range map[string][]string{
		"lane":       {"new", "old", "newer"},
		"stale_drop": {"new", "newer"},
		"latest":     {"newer"},
	} {
		inTime(t, &upstream{}, "order { mode = \""+mode+"\" }\ndeliver { pull = true }", func(o *timely) {
			for i, id := range []string{"new", "old", "newer"} {
				o.post(fmt.Sprintf(`{"id":%q,"key":"k","time":%d}`, id, []int{200, 100, 300}[i]))
			}
			var ids []string
			for range want {
				got, err := o.in.Claim(context.Background(), inbound.Pull{Webhook: "hook", Max: 10, Wait: time.Minute, Lease: time.Minute})
				if err != nil || len(got) != 1 {
					o.is("") // where they are
					o.Fatal(mode, len(got), err)
				}
				ids = append(ids, got[0].Header.Get("Postern-Provider-Event-Id"))
				if err := o.in.Ack(context.Background(), got[0].Lease); err != nil {
					o.Fatal(err)
				}
			}
			if !slices.Equal(ids, want) {
				o.Errorf("%s: %q, want %q", mode, ids, want)
			}
		})
	}
}
