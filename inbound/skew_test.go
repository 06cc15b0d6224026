package inbound_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

// TestFHostClockIsWrong: when every dated scheme sees the same skew it is the
// host's own clock that is named, once, also by requests that are refused as
// stale; one provider that is late says nothing.
func TestFHostClockIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var src strings.Builder
		for _, name := range []string{"a", "b", "c"} {
			fmt.Fprintf(&src, "webhook %[1]q {\npath = \"/%[1]s\"\nverify \"slack\" { secrets = [env(\"KEY\")] }\ndeliver { to = \"http://127.0.0.1:1\" }\n}\n", name)
		}
		var troubles []string
		in := inbound.New(inbound.Options{Store: store.NewMemory().Inbox(), Observer: inbound.Observer{
			Trouble: func(doing string, err error) { troubles = append(troubles, doing+": "+err.Error()) },
		}})
		in.Swap(mustLoad(t, src.String(), "KEY=0123456789"))
		n := 0
		post := func(name string, off time.Duration, status int) {
			t.Helper()
			n++
			body, ts := fmt.Sprintf(`{"n":%d}`, n), strconv.FormatInt(time.Now().Add(-off).Unix(), 10)
			r := httptest.NewRequest(http.MethodPost, "/"+name, bytes.NewReader([]byte(body)))
			r.Header.Set("X-Slack-Request-Timestamp", ts)
			r.Header.Set("X-Slack-Signature", "v0="+mac("0123456789", "v0:"+ts+":"+body))
			w := httptest.NewRecorder()
			in.ServeHTTP(w, r)
			if w.Code != status {
				t.Fatalf("%s, off by %v: %d", name, off, w.Code)
			}
		}
		many := func(name string, off time.Duration, status int) {
			for range 32 {
				post(name, off, status)
				time.Sleep(time.Second)
			}
		}
		quiet := func(when string) {
			t.Helper()
			if err := in.Clock(); err != nil || len(troubles) != 0 {
				t.Fatalf("%s: %v, %q", when, err, troubles)
			}
		}
		quiet("at start")
		many("a", 0, 200)
		many("b", time.Second, 200)
		many("c", 2*time.Minute, 200) // it comes late by itself
		quiet("one is late")
		for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
			for _, name := range []string{"a", "b", "c"} {
				many(name, off, 401)
			}
			way := map[bool]string{true: "ahead", false: "slow"}[off > 0]
			err := in.Clock()
			if err == nil || !strings.Contains(err.Error(), "clock is probably "+way+" by about 10m0s") || !strings.Contains(err.Error(), "a, b, c") {
				t.Fatalf("%v", err)
			}
			if len(troubles) != 1 {
				t.Fatalf("%d alarms: %q", len(troubles), troubles)
			}
			troubles = nil
			for _, name := range []string{"a", "b", "c"} { // the clock is set
				many(name, 0, 200)
			}
			quiet("the clock is right again")
		}
		time.Sleep(2 * time.Hour) // a single one is believed if it says so again and again
		many("a", 3*time.Minute, 200)
		if err := in.Clock(); err == nil || len(troubles) != 1 {
			t.Errorf("one alone: %v, %q", err, troubles)
		}
	})
}
