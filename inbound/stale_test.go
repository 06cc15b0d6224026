package inbound_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// state waits until the event with this id of the provider has this status, and
// returns it.
func (b *box) state(id string, want inbound.State) inbound.Record {
	b.t.Helper()
	var found inbound.Record
	eventually(b.t, id+" is "+string(want), func() bool {
		for _, e := range b.stored() {
			if e.EventID == id {
				found = e
			}
		}
		return found.Status == want
	})
	return found
}

// because is why the only delivery of an event is where it is.
func because(e inbound.Record) string { return e.Deliveries[0].Reason }

// TestStaleDrop: what is older than what was accepted is not delivered and says what
// is newer; equal and undated events are.
func TestStaleDrop(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, ordered(a.URL, `order { mode = "stale_drop" }`)))
	b.run()
	b.post("/hook", `{"id":"new","key":"k","time":200}`, nil)
	b.state("new", inbound.Applied)
	for _, body := range []string{
		`{"id":"old","key":"k","time":199.999999}`, `{"id":"equal","key":"k","time":200}`, `{"id":"undated","key":"k"}`,
		`{"id":"elsewhere","key":"k","time":1,"account":"b"}`, `{"id":"keyless","time":1}`,
		fmt.Sprintf(`{"id":"dreamt","key":"k","time":%d}`, time.Now().Add(48*time.Hour).Unix()), `{"id":"after","key":"k","time":201}`,
	} {
		b.post("/hook", body, nil)
	}
	newer := b.state("new", inbound.Applied)
	if old := b.state("old", inbound.Ignored); because(old) != inbound.StaleReason(newer.ID) {
		t.Errorf("%q", because(old))
	}
	for _, id := range []string{"equal", "undated", "elsewhere", "keyless", "dreamt", "after"} {
		b.state(id, inbound.Applied)
	}
}

// TestStaleBehindNewer: an older one that waits for another attempt steps aside, and
// is not attempted any more when a newer one was applied.
func TestStaleBehindNewer(t *testing.T) {
	a := newApp(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Postern-Provider-Event-Id") == "old" {
			w.WriteHeader(503)
		}
	})
	src := strings.NewReplacer(`first  = "5ms"`, `first  = "200ms"`, `max    = "10ms"`, `max    = "1s"`).Replace(ordered(a.URL, `order { mode = "stale_drop" }`))
	b := serve(t, mustLoad(t, src))
	b.run()
	b.post("/hook", `{"id":"old","key":"k","time":100}`, nil)
	if e := b.state("old", inbound.Retrying); e.Deliveries[0].Stand != inbound.Aside {
		t.Errorf("it stands %d", e.Deliveries[0].Stand)
	}
	b.post("/hook", `{"id":"new","key":"k","time":200}`, nil)
	newer := b.state("new", inbound.Applied)
	if old := b.state("old", inbound.Ignored); because(old) != inbound.StaleReason(newer.ID) || old.Deliveries[0].Attempt != 1 {
		t.Errorf("%+v", old.Deliveries)
	}
	if names := a.names(); len(names) != 2 {
		t.Errorf("delivered %v", names)
	}
}

// TestStaleIsReplayedInVain: what has failed, and is older than what was applied since, is
// not delivered again by a replay; only a copy is.
func TestStaleIsReplayedInVain(t *testing.T) {
	a := newApp(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(400)
		}
	})
	b := serve(t, mustLoad(t, ordered(a.URL, `order { mode = "stale_drop" }`)))
	b.run()
	b.post("/hook", `{"id":"old","key":"k","time":100}`, nil)
	old := b.state("old", inbound.Failed)
	b.post("/hook", `{"id":"new","key":"k","time":200}`, nil)
	newer := b.state("new", inbound.Applied)
	if _, err := b.Act(t.Context(), inbound.ActReplay, inbound.Filter{IDs: []string{old.ID}}, "ann"); err != nil {
		t.Fatal(err)
	}
	if old := b.state("old", inbound.Ignored); because(old) != inbound.StaleReason(newer.ID) || len(a.names()) != 2 {
		t.Errorf("%+v, delivered %v", old.Deliveries, a.names())
	}
}

// TestStaleBehindWhatFails: a newer one that nobody has acknowledged may have had its
// effect, so that an older one that had stepped aside is not attempted any more.
func TestStaleBehindWhatFails(t *testing.T) {
	var seen atomic.Bool // the newer one is there
	a := newApp(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Postern-Provider-Event-Id") == "new" || !seen.Load() {
			w.WriteHeader(503)
		}
	})
	src := strings.NewReplacer(`first  = "5ms"`, `first  = "200ms"`, `max    = "10ms"`, `max    = "1s"`).Replace(ordered(a.URL, `order { mode = "stale_drop" }`))
	b := serve(t, mustLoad(t, src))
	b.run()
	b.post("/hook", `{"id":"old","key":"k","time":100}`, nil)
	b.state("old", inbound.Retrying)
	b.post("/hook", `{"id":"new","key":"k","time":200}`, nil)
	seen.Store(true)
	eventually(t, "the old one is told of", func() bool {
		return !slices.ContainsFunc(b.stored(), func(e inbound.Record) bool { return e.EventID == "old" && e.Status.Open() })
	})
	if old := b.state("old", inbound.Ignored); old.Deliveries[0].Attempt != 1 {
		t.Errorf("%+v", old.Deliveries)
	}
}

// TestUndatedTombstone: a deletion that does not say when it was is of now, and one that
// the provider alone knows of is one, too.
func TestUndatedTombstone(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, ordered(a.URL, "order {\nmode = \"stale_drop\"\ndeleted = event.type == \"deleted\"\n}")))
	b.run()
	b.post("/hook", `{"id":"gone","key":"k","type":"deleted"}`, nil)
	b.state("gone", inbound.Applied)
	b.post("/hook", fmt.Sprintf(`{"id":"late","key":"k","time":%d}`, time.Now().Add(-time.Minute).Unix()), nil)
	b.state("late", inbound.Ignored)

	u := &upstream{plan: func(int, *http.Request) *http.Response { return says(404, "") }}
	b = latestBox(t, a, u, "debounce = \"0s\"\ngone = \"deliver\"\nunchanged = \"deliver\"", `order { mode = "stale_drop" }`)
	b.run()
	b.post("/hook", `{"id":"first","key":"k","time":100}`, nil)
	first := b.state("first", inbound.Applied)
	b.post("/hook", `{"id":"same","key":"k","time":100}`, nil)
	if e := b.state("same", inbound.Ignored); because(e) != inbound.StaleReason(first.ID) {
		t.Errorf("%q", because(e))
	}
	b.post("/hook", `{"id":"newer","key":"k","time":101}`, nil)
	b.state("newer", inbound.Applied)
}

// TestTombstone: what is gone is not revived by a late update, however the update is
// dated up to the deletion, but by what is newer.
func TestTombstone(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, ordered(a.URL, "order {\nmode = \"stale_drop\"\nsequence = body.version\ndeleted = event.type == \"deleted\"\n}")))
	b.run()
	for _, c := range []struct {
		body string
		want inbound.State
	}{
		{`{"id":"1","key":"k","version":9007199254740993,"type":"deleted"}`, inbound.Applied},
		{`{"id":"2","key":"k","version":9007199254740992,"type":"updated"}`, inbound.Ignored},
		{`{"id":"3","key":"k","version":"9007199254740993","type":"updated"}`, inbound.Ignored},
		{`{"id":"4","key":"k","version":9007199254740994,"type":"created"}`, inbound.Applied},
		{`{"id":"5","key":"k","version":9007199254740993,"type":"deleted"}`, inbound.Ignored},
		{`{"id":"6","key":"k","version":"soon","type":"updated"}`, inbound.Applied},
	} {
		b.post("/hook", c.body, nil)
		b.state(c.body[7:8], c.want)
	}
}

// TestLatestMode: of those that wait the newest alone is delivered, and none after a
// newer one.
func TestLatestMode(t *testing.T) {
	first := make(chan struct{})
	a := newApp(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			<-first
			w.WriteHeader(503)
		}
	})
	b := serve(t, mustLoad(t, ordered(a.URL, `order { mode = "latest" }`)))
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	a.nth(t, 1)
	for i := range 20 {
		b.post("/hook", fmt.Sprintf(`{"id":"%d","key":"k"}`, i+2), nil)
	}
	close(first)
	last := b.state("21", inbound.Applied)
	for i := range 20 {
		if e := b.state(fmt.Sprint(i+1), inbound.Ignored); !strings.HasPrefix(because(e), "overtaken: by "+last.ID) {
			t.Errorf("%d: %q", i+1, because(e))
		}
	}
	if names := a.names(); strings.Join(names, " ") != "1 21" {
		t.Errorf("delivered %v", names)
	}
}

// TestSkipAfter: the first steps aside after so many attempts; TestHold: or the lane
// waits for a person.
func TestSkipAfter(t *testing.T) {
	a := newApp(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Postern-Provider-Event-Id") == "1" && n < 4 {
			w.WriteHeader(503)
		}
	})
	src := strings.NewReplacer("attempts = 3", "attempts = 9", `first  = "5ms"`, `first  = "100ms"`, `max    = "10ms"`, `max    = "100ms"`).Replace(ordered(a.URL, "order {\nmode = \"lane\"\nskip_after = 2\n}"))
	b := serve(t, mustLoad(t, src))
	b.run()
	for i := range 3 {
		b.post("/hook", fmt.Sprintf(`{"id":"%d","key":"k"}`, i+1), nil)
	}
	b.state("1", inbound.Applied)
	if names := strings.Join(a.names(), " "); names != "1 1 2 3 1" {
		t.Errorf("delivered %v", names)
	}
}

func TestHold(t *testing.T) {
	fail := make(chan struct{})
	a := newApp(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		select {
		case <-fail:
		default:
			w.WriteHeader(400)
		}
	})
	b := serve(t, mustLoad(t, ordered(a.URL, "order {\nmode = \"lane\"\nfailed = \"hold\"\n}")))
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	first := b.state("1", inbound.Failed)
	b.post("/hook", `{"id":"2","key":"k"}`, nil)
	b.post("/hook", `{"id":"3","key":"other"}`, nil)
	b.state("3", inbound.Failed)
	b.state("2", inbound.Received)
	if !strings.Contains(because(first), "waits for a replay") {
		t.Errorf("%q", because(first))
	}
	close(fail)
	if _, err := b.Act(t.Context(), inbound.ActReplay, inbound.Filter{IDs: []string{first.ID}}, "ann"); err != nil {
		t.Fatal(err)
	}
	b.state("1", inbound.Applied)
	b.state("2", inbound.Applied)
}
