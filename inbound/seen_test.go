package inbound_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

// counted counts what reaches a store.
type counted struct {
	inbound.Store
	inserts atomic.Int64
	fail    atomic.Bool
}

func (c *counted) Insert(ctx context.Context, all ...*inbound.Arrival) error {
	c.inserts.Add(1)
	if c.fail.Load() {
		return fmt.Errorf("no room")
	}
	return c.Store.Insert(ctx, all...)
}

func onSQLite(t *testing.T) (*counted, func(*inbound.Options)) {
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c := &counted{Store: s.Inbox()}
	return c, func(o *inbound.Options) { o.Store = c }
}

// TestDuplicateStorm sends one event thousands of times over 64 connections: it is
// stored and delivered once, and the store hardly hears of the others.
func TestDuplicateStorm(t *testing.T) {
	const senders, each = 64, 100
	a := newApp(t, nil)
	c, on := onSQLite(t)
	b := serve(t, mustLoad(t, "webhook \"h\" {\npath = \"/h\"\n"+byToken+"\nevent {\nid = body.id\n}\ndeliver { to = \""+a.URL+"\" }\n}\n", "KEY=a key of some length"), on)
	b.store = c
	b.run()
	body := `{"id":"evt_1"}`
	request := fmt.Appendf(nil, "POST /h HTTP/1.1\r\nHost: x\r\nX-Token: a key of some length\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	var wg sync.WaitGroup
	start := time.Now()
	for range senders {
		wg.Go(func() { hammer(t, strings.TrimPrefix(b.url, "http://"), request, each) })
	}
	wg.Wait()
	t.Logf("%.0f answers/s, %d of %d came to the store", senders*each/time.Since(start).Seconds(), c.inserts.Load(), senders*each)
	a.nth(t, 1)
	eventually(t, "applied", func() bool { return b.stored()[0].Status == inbound.Applied })
	if n := len(b.stored()); n != 1 || len(a.deliveries()) != 1 {
		t.Errorf("%d events, %d deliveries, want one of each", n, len(a.deliveries()))
	}
	if n := c.inserts.Load(); n > senders*each/4 {
		t.Errorf("%d of %d came to the store", n, senders*each)
	}
}

// hammer sends a request n times over one connection; each has to be answered 200.
func hammer(t *testing.T, addr string, request []byte, n int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range n {
		if _, err := conn.Write(request); err != nil {
			t.Error(err)
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v, %v", resp, err)
			return
		}
		resp.Body.Close()
	}
}

// TestC40Poisoning: what is not verified, and what is not stored, burns no id; and
// other bytes, and another account, are other events.
func TestC40Poisoning(t *testing.T) {
	c, on := onSQLite(t)
	b := serve(t, webhook(t, byToken, "event {\nid = body.id\naccount = body.account\n}"), on)
	signed := http.Header{"X-Token": {"a key of some length"}, "Content-Type": {"application/json"}}
	n := 0
	post := func(body string, h http.Header, status int, result string) {
		t.Helper()
		n++
		if r := b.post("/h", body, h); r.status != status || b.last(n).Result != result {
			t.Errorf("%s: %d, %s, want %d, %s", body, r.status, b.last(n).Result, status, result)
		}
	}
	event := `{"id":"evt_1"}`
	post(event, http.Header{"X-Token": {"another key of that length"}}, 401, "bad_signature")
	post(event, jsonBody, 401, "unsigned")
	c.fail.Store(true)
	post(event, signed, 503, "unavailable")
	c.fail.Store(false)
	post(event, signed, 200, "accepted")
	post(event, signed, 200, "duplicate")
	c.fail.Store(true) // it is known without the store
	post(event, signed, 200, "duplicate")
	post(event, jsonBody, 401, "unsigned")
	c.fail.Store(false)
	post(`{"id":"evt_1","n":2}`, signed, 200, "conflict")
	post(`{"id":"evt_1","account":"a"}`, signed, 200, "accepted")
	post(event, signed, 200, "duplicate")
}

// TestStormAsksAgain: what is known without the store is asked again ten seconds later,
// however often it came meanwhile: another process may have deleted it.
func TestStormAsksAgain(t *testing.T) {
	set := webhook(t, unsigned, "event {\nid = body.id\n}")
	synctest.Test(t, func(t *testing.T) {
		c := &counted{Store: store.NewMemory().Inbox()}
		in := inbound.New(inbound.Options{Store: c})
		in.Swap(set)
		for i, tt := range []struct {
			after time.Duration
			asked int64
		}{{0, 1}, {0, 2}, {0, 2}, {6 * time.Second, 2}, {5 * time.Second, 3}, {6 * time.Second, 3}} {
			time.Sleep(tt.after)
			r, w := httptest.NewRequest(http.MethodPost, "/h", strings.NewReader(`{"id":"1"}`)), httptest.NewRecorder()
			if in.ServeHTTP(w, r); w.Code != http.StatusOK || c.inserts.Load() != tt.asked {
				t.Errorf("%d: %d, the store was asked %d times, want %d", i, w.Code, c.inserts.Load(), tt.asked)
			}
		}
	})
}

// TestRule14: where the id is not signed, only the same id on the same bytes is a
// repeat. Under another id, they are another event; other bytes under the same id
// are kept and reported.
func TestRule14(t *testing.T) {
	b := serve(t, webhook(t, "verify \"github\" {\nsecrets = [env(\"KEY\")]\n}", "event { id = header[\"X-GitHub-Delivery\"] }"))
	for i, tt := range []struct{ id, body, want string }{
		{"d1", `{"a":1}`, "accepted"},
		{"d1", `{"a":1}`, "duplicate"},
		{"d1", `{"a":2}`, "conflict"},
		{"d1", `{"a":2}`, "duplicate"},
		{"d2", `{"a":1}`, "accepted"},
	} {
		b.post("/h", tt.body, http.Header{"X-Github-Delivery": {tt.id}, "X-Hub-Signature-256": {"sha256=" + sign("a key of some length", tt.body)}})
		if got := b.last(i + 1).Result; got != tt.want {
			t.Errorf("%d: %s, want %s", i, got, tt.want)
		}
	}
}

// TestHorizon: an id is known as long as the policy says, and where no date is
// signed longer than events are kept.
func TestHorizon(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		more   string
		retain time.Duration
		want   time.Duration
	}{
		"undated":       {"", 90 * day, 180 * day},
		"usual":         {"", day, 30 * day},
		"as written":    {"horizon = \"100d\"", 30 * day, 100 * day},
		"kept for ever": {"", 0, 30 * day},
	} {
		b := serve(t, webhook(t, unsigned, tt.more), func(o *inbound.Options) { o.Retain = tt.retain })
		b.post("/h", "{}", jsonBody)
		b.last(1)
		if e := b.stored()[0]; e.Horizon.Sub(e.Received) != tt.want {
			t.Errorf("%s: %v, want %v", name, e.Horizon.Sub(e.Received), tt.want)
		}
	}
}

// TestHorizonOfWhatIsListed: the id of what a list brought is known as long, so that a
// late push of it is a duplicate though it was deleted.
func TestHorizonOfWhatIsListed(t *testing.T) {
	set := webhook(t, unsigned, "event {\nid = body.id\n}\nhorizon = \"100d\"")
	in := inbound.New(inbound.Options{Store: store.NewMemory().Inbox()})
	in.Swap(set)
	e := in.Arrival(set.Webhooks()[0], &inbound.Listed{Body: []byte(`{"id":"1"}`)}).Event
	if got := e.Horizon.Sub(e.Received); got != 100*24*time.Hour {
		t.Errorf("%v", got)
	}
}

// sign is the hexadecimal HMAC of a body.
func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}
