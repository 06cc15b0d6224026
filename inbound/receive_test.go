package inbound_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

const plainHook = `
webhook "hook" {
  path     = "/hook"
  max_body = "1KiB"
  headers  = ["X-Kind"]
  verify "none" {}
  event {
    id      = body.id
    type    = header["X-Kind"]
    account = body.account
    time    = body.created
    key     = body.data.object.id
  }
  deliver { to = "http://127.0.0.1:1/" }
}
`

// TestAnswers: statuses and results of SURFACE, each over the wire.
func TestAnswers(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook))
	big := strings.Repeat("x", 2000)
	for i, tt := range []struct {
		name, method, path string
		body               io.Reader
		status             int
		result             string
	}{
		{"stored", "POST", "/hook", strings.NewReader(`{"id":"1"}`), 200, "accepted"},
		{"a duplicate", "POST", "/hook", strings.NewReader(`{"id":"1"}`), 200, "duplicate"},
		{"another body", "POST", "/hook", strings.NewReader(`{"id":"1" }`), 200, "conflict"},
		{"a query does not matter", "POST", "/hook?x=1", strings.NewReader(`{"id":"2"}`), 200, "accepted"},
		{"no such path", "POST", "/hook/", strings.NewReader("{}"), 404, ""},
		{"GET", "GET", "/hook", nil, 405, ""},
		{"HEAD", "HEAD", "/hook", nil, 405, ""},
		{"PUT", "PUT", "/hook", strings.NewReader("{}"), 405, ""},
		{"too large", "POST", "/hook", strings.NewReader(big), 413, "too_large"},
		{"C33 too large and chunked", "POST", "/hook", struct{ io.Reader }{strings.NewReader(big)}, 413, "too_large"},
		{"empty", "POST", "/hook", strings.NewReader(""), 200, "accepted"},
	} {
		got := b.send(tt.method, tt.path, tt.body, nil)
		r := b.last(i + 1)
		if got.status != tt.status || r.Result != tt.result || r.Status != tt.status {
			t.Errorf("%s: %d %s, want %d %s", tt.name, got.status, r.Result, tt.status, tt.result)
		}
		if got.header.Get("Postern-Id") != r.ID || r.ID == "" || tt.status == 200 && got.body != "" {
			t.Errorf("%s: %v %q", tt.name, got.header, got.body)
		}
		if tt.status == 405 && got.header.Get("Allow") != "POST" {
			t.Errorf("%s: no Allow", tt.name)
		}
	}
	if len(b.troubles) != 1 || !strings.Contains(b.troubles[0], "another body") {
		t.Errorf("the conflict raised %q", b.troubles)
	}
}

func TestEventFields(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook))
	h := set("X-Kind", "thing.made", "Content-Type", "application/json", "Authorization", "Bearer x", "Cookie", "a=b", "X-Other", "1", "X-Hub-Signature", "s")
	b.post("/hook", `{"id":9007199254740993,"account":"acct","created":1700000000.5,"data":{"object":{"id":"cus_1"}}}`, h)
	e := b.stored()[0]
	if e.EventID != "9007199254740993" || e.Type != "thing.made" || e.Account != "acct" || e.Key != "cus_1" || e.Verified || e.Weak ||
		!e.Occurred.Equal(time.Unix(1700000000, 5e8)) || e.Status != inbound.Received {
		t.Errorf("stored as %+v", e)
	}
	full, err := b.Body(context.Background(), e.ID)
	if err != nil || fmt.Sprint(full.Header) != "map[Content-Type:[application/json] X-Kind:[thing.made]]" {
		t.Errorf("kept %v, %v", full.Header, err)
	}
	if r := b.last(1); r.Event != e.ID || r.ID != e.ID || r.EventID != e.EventID || r.Account != "acct" {
		t.Errorf("reception %+v", r)
	}
}

// TestC43OddBodies: whatever the body, it is stored once, byte for byte, and an
// id is found for it.
func TestC43OddBodies(t *testing.T) {
	src := strings.Replace(plainHook, `"1KiB"`, `"9MiB"`, 1)
	b := serve(t, mustLoad(t, src))
	for name, body := range map[string]string{
		"no JSON": "hello", "no id": `{"a":1}`, "null id": `{"id":null}`, "an array": `[{"id":"1"}]`, "an id that is an object": `{"id":{"x":1}}`,
		"cut short": `{"id":"1"`, "deep": `{"id":"1","x":` + strings.Repeat("[", 200000) + strings.Repeat("]", 200000) + `}`,
		"deeper than a stack": strings.Repeat("[", 8<<20), "binary": "\x00\xff\xfe", "a long id": `{"id":"` + strings.Repeat("x", 5000) + `"}`,
		"control characters": `{"id":"a\r\nPostern-Id: x\u0000"}`, "other case": `{"ID":"evil","Id":"evil"}`,
	} {
		before := len(b.stored())
		if got := b.post("/hook", body, nil); got.status != 200 {
			t.Errorf("%s: %d", name, got.status)
		}
		if again := b.post("/hook", body, nil); again.status != 200 || len(b.stored()) != before+1 {
			t.Errorf("%s: %d, %d stored", name, again.status, len(b.stored())-before)
		}
		e, err := b.Body(context.Background(), b.stored()[0].ID)
		if err != nil || string(e.Body) != body || e.EventID == "" || len(e.EventID) > 512 {
			t.Errorf("%s: %d bytes, id %q, %v", name, len(e.Body), e.EventID, err)
		}
	}
}

func TestDuplicateHeadersHaveNoValue(t *testing.T) {
	b := serve(t, mustLoad(t, strings.Replace(plainHook, "id      = body.id", `id      = header["X-Delivery"]`, 1)))
	b.post("/hook", "{}", set("X-Delivery", "1", "X-Delivery", "2"))
	if e := b.stored()[0]; !e.Weak {
		t.Errorf("the id is %q, although two were sent", e.EventID)
	}
}

func TestForms(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook))
	b.post("/hook", "id=evt_f&account=acct", set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"))
	if e := b.stored()[0]; e.EventID != "evt_f" || e.Account != "acct" {
		t.Errorf("stored as %+v", e.Event)
	}
}

// TestSlackChallenge: only after the signature, and it is no event.
func TestSlackChallenge(t *testing.T) {
	s := signers[2]
	b := serve(t, mustLoad(t, s.source(""), "SECRET="+s.secret, "NEXT=the key of next month"))
	const body = `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	if got := b.post("/hook", body, nil); got.status != 401 {
		t.Errorf("unsigned: %d", got.status)
	}
	got := b.post("/hook", body, s.sign(s.secret, now(), body))
	if got.status != 200 || got.body != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") || b.last(2).Result != "handshake" {
		t.Errorf("%d %q %v", got.status, got.body, b.last(2))
	}
	if n := len(b.stored()); n != 0 {
		t.Errorf("%d events stored", n)
	}
}

// TestC31TokenAndBasic: rotation, absence, repetition.
func TestC31TokenAndBasic(t *testing.T) {
	src := `
webhook "token" {
  path = "/token"
  verify "token" {
    header  = "X-Token"
    secrets = [env("NEW"), env("OLD")]
  }
  deliver { to = "http://127.0.0.1:1/" }
}
webhook "basic" {
  path = "/basic"
  verify "basic" {
    username = "sender"
    password = [env("NEW"), env("OLD")]
  }
  deliver { to = "http://127.0.0.1:1/" }
}
webhook "missing" {
  path = "/missing"
  verify "token" {
    header  = "X-Token"
    secrets = [env("NOWHERE"), env("OLD")]
  }
  deliver { to = "http://127.0.0.1:1/" }
}
`
	b := serve(t, mustLoad(t, src, "NEW=new secret token", "OLD=old secret token"))
	auth := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for i, tt := range []struct {
		path   string
		header http.Header
		status int
		result string
	}{
		{"/token", set("X-Token", "new secret token"), 200, "accepted"},
		{"/token", set("X-Token", "old secret token"), 200, "duplicate"},
		{"/token", set("X-Token", "old secret toke"), 401, "bad_signature"},
		{"/token", set("X-Token", ""), 401, "unsigned"},
		{"/token", nil, 401, "unsigned"},
		{"/token", set("X-Token", "new secret token", "X-Token", "wrong"), 401, "bad_signature"},
		{"/basic", set("Authorization", auth("sender:old secret token")), 200, "accepted"},
		{"/basic", set("Authorization", auth("Sender:old secret token")), 401, "bad_signature"},
		{"/basic", set("Authorization", auth("sender:")), 401, "bad_signature"},
		{"/basic", set("Authorization", "Bearer old secret token"), 401, "bad_signature"},
		{"/basic", set("Authorization", "Basic !"), 401, "bad_signature"},
		{"/basic", nil, 401, "unsigned"},
		{"/missing", set("X-Token", "old secret token"), 200, "accepted"},
		{"/missing", set("X-Token", "other secret token"), 503, "unavailable"},
	} {
		got := b.post(tt.path, "{}", tt.header)
		if r := b.last(i + 1); got.status != tt.status || r.Result != tt.result {
			t.Errorf("%s %v: %d %s, want %d %s", tt.path, tt.header, got.status, r.Result, tt.status, tt.result)
		}
	}
	err := b.Set().Ready()
	if err == nil || !strings.Contains(err.Error(), "[secret env:NOWHERE]") || strings.Contains(err.Error(), "token\": ") {
		t.Errorf("ready: %v", err)
	}
}

// broken is a store that cannot write.
type broken struct{ inbound.Store }

func (broken) Insert(context.Context, ...*inbound.Arrival) error {
	return errors.New("disk full")
}

// TestC42NothingStoredNo2xx also shows that the cause stays with us.
func TestC42NothingStoredNo2xx(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook), func(o *inbound.Options) { o.Store = broken{o.Store} })
	got := b.post("/hook", "{}", nil)
	if got.status != 503 || got.header.Get("Retry-After") != "5" || strings.Contains(got.body, "disk") {
		t.Errorf("%d %v %q", got.status, got.header, got.body)
	}
	if r := b.last(1); r.Result != "unavailable" || r.Err == nil || !strings.Contains(r.Err.Error(), "disk full") {
		t.Errorf("reception %+v", r)
	}
}

// stuck is a store that never comes back.
type stuck struct{ inbound.Store }

func (stuck) Insert(ctx context.Context, _ ...*inbound.Arrival) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestC42SlowStoreIsUnavailable(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook), func(o *inbound.Options) { o.Store, o.MaxInFlight = stuck{o.Store}, 1 })
	start, first := time.Now(), make(chan reply, 1)
	go func() { first <- b.post("/hook", "{}", nil) }()
	eventually(t, "the first is inside", func() bool { return b.post("/hook", "{}", nil).status == 503 })
	if got := <-first; got.status != 503 || time.Since(start) > 10*time.Second {
		t.Errorf("%d after %v", got.status, time.Since(start))
	}
	eventually(t, "one of them did not come to the store", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.ContainsFunc(b.receptions, func(r inbound.Reception) bool {
			return r.Err != nil && r.Err.Error() == "too many requests at once"
		})
	})
}

// A body that is slow in coming takes no place from those that are there.
func TestC76SlowBodiesKeepNobodyOut(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook), func(o *inbound.Options) { o.MaxInFlight = 1 })
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "POST /hook HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") { // it is being read
			t.Fatal(line, err)
		}
	}
	if got := b.post("/hook", "{}", nil); got.status != 200 {
		t.Errorf("beside slow bodies: %d %s", got.status, got.body)
	}
}

func TestF37BufferedBodiesAreBounded(t *testing.T) {
	b := serve(t, mustLoad(t, strings.Replace(plainHook, `"1KiB"`, `"1MiB"`, 1)), func(o *inbound.Options) { o.MaxBuffered = 64 << 10 })
	if got := b.post("/hook", strings.Repeat("x", 100<<10), nil); got.status != 503 {
		t.Errorf("too much for the budget: %d", got.status)
	}
	for range 5 { // what was taken is given back
		if got := b.post("/hook", strings.Repeat("x", 8<<10), nil); got.status != 200 {
			t.Errorf("within the budget: %d", got.status)
		}
	}
}

// TestC33TooLongIsNotRead: a body that says that it is too long is refused unread.
func TestC33TooLongIsNotRead(t *testing.T) {
	in := inbound.New(inbound.Options{Store: store.NewMemory().Inbox()})
	in.Swap(mustLoad(t, plainHook))
	body := &unread{}
	r, w := httptest.NewRequest(http.MethodPost, "/hook", body), httptest.NewRecorder()
	r.ContentLength = 1<<10 + 1
	if in.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge || body.asked {
		t.Errorf("%d, read: %v", w.Code, body.asked)
	}
}

// unread is a body that takes note of being asked for.
type unread struct{ asked bool }

func (u *unread) Read([]byte) (int, error) {
	u.asked = true
	return 0, io.EOF
}

func TestCutBodyIsNotStored(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook))
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\":\"1\"")
	c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	c.Close()
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) || len(b.stored()) != 0 {
		t.Errorf("%d stored, answer %q", len(b.stored()), answer)
	}
}

// TestC71SwapIsWhole: a request sees one policy, and a webhook that is gone is
// gone at once.
func TestC71SwapIsWhole(t *testing.T) {
	b := serve(t, mustLoad(t, plainHook))
	b.Swap(mustLoad(t, strings.ReplaceAll(plainHook, "/hook", "/moved")))
	if old, moved := b.post("/hook", "{}", nil), b.post("/moved", "{}", nil); old.status != 404 || moved.status != 200 {
		t.Errorf("%d and %d, want 404 and 200", old.status, moved.status)
	}
}
