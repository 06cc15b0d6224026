package inbound_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
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
	set := mustLoad(t, strings.NewReplacer(`first  = "5ms"`, `first  = "1s"`, `max    = "10ms"`, `max    = "10m"`).Replace(ordered("http://app.test/", "provider = \"shop\"\n"+more)))
	synctest.Test(t, func(t *testing.T) {
		o := &timely{t, nil, newModelled()}
		end := o.app.serve()
		o.in = inbound.New(inbound.Options{Store: store.NewMemory().Inbox(), Dial: o.app.dial, Egress: u.egress})
		o.in.Swap(set)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); o.in.Run(ctx) }()
		do(o)
		cancel()
		<-done
		end()
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
	var failing bool
	u := &upstream{plan: func(n int, _ *http.Request) *http.Response {
		if failing {
			return says(503, "")
		}
		return says(200, fmt.Sprint(n))
	}}
	inTime(t, u, "latest {\n get = \"/v1/things/${event.key}\"\n within = \"2h\"\n}", func(o *timely) {
		o.app.set(true)
		o.post(`{"id":"1","key":"k"}`)
		time.Sleep(5 * time.Hour)
		failing = true
		o.app.set(false)
		time.Sleep(time.Hour)
		o.is("1 retrying the latest state cannot be read: it answered 503")
		failing = false
		time.Sleep(time.Hour)
		o.is("1 applied")

		o.app.set(true)
		o.post(`{"id":"2","key":"k"}`)
		time.Sleep(5 * time.Hour)
		failing = true
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
