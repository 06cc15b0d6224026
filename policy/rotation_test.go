package policy_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// answering is a provider that answers each request by the key in it.
func answering(answer func(key string, n int) (status int, header http.Header, body string)) (policy.RoundTripper, *[]string) {
	seen := new([]string)
	return func(r *http.Request) (*http.Response, error) {
		key, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "-key-")
		*seen = append(*seen, key)
		status, h, body := answer(key, len(*seen))
		if h == nil {
			h = http.Header{}
		}
		x := policy.From(r.Context())
		x.Now.Connected, x.Now.Written, x.Now.Answered = true, 1, true
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}, seen
}

// TestP27OnlyWhatIsAboutTheKey: a key is given up on no answer but those that
// the policy says are about it.
func TestP27OnlyWhatIsAboutTheKey(t *testing.T) {
	for _, status := range []int{200, 201, 204, 302, 400, 401, 402, 403, 404, 408, 409, 410, 412, 422, 425, 429, 500, 502, 503, 504} {
		for on, rotates := range map[string]bool{
			"":                                     status == 401,
			`rotate_on = ["auth"]`:                 status == 401,
			`rotate_on = ["rate_limited"]`:         status == 429,
			`rotate_on = ["auth", "rate_limited"]`: status == 401 || status == 429,
			`rotate_on = []`:                       false,
		} {
			base, seen := answering(func(string, int) (int, http.Header, string) { return status, nil, "" })
			h := compile(t, base, oneTry+"credential \"bearer\" {\ntoken = [env(\"NEW\"), env(\"OLD\")]\n"+on+"\n}")
			for range 2 {
				_, resp, err := h.do(call{method: "POST", path: "/x"})
				finish(t, resp, err)
			}
			if got := slices.Contains(*seen, "old"); got != rotates {
				t.Fatalf("%d with %q: tried %v", status, on, *seen)
			}
		}
	}
}

// TestP27EachKeyOnce: a call tries no key twice and goes on to two others at
// most, however many there are; after that a limit is waited for as it always is.
func TestP27EachKeyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for status, want := range map[int]string{401: "new old third", 429: "new old third pass/word+0123456"} {
			base, seen := answering(func(string, int) (int, http.Header, string) {
				return status, http.Header{"Retry-After": {"7"}}, ""
			})
			h := compile(t, base, `retry { attempts = 4 }
credential "bearer" {
token = [env("NEW"), env("OLD"), env("THIRD"), env("PASSWORD")]
rotate_on = ["auth", "rate_limited"]
}`)
			start := time.Now()
			_, resp, err := h.do(call{method: "GET", path: "/x"})
			finish(t, resp, err)
			if got := strings.Join(*seen, " "); got != want {
				t.Errorf("%d: tried %s", status, got)
			}
			if waited := time.Since(start); status == 429 && waited != 7*time.Second {
				t.Errorf("waited %v", waited)
			}
		}
	})
}

// TestP27NotBackToARefusedKey: when others have moved on to a key that this call
// has had, it does not have it again.
func TestP27NotBackToARefusedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *house
		refuse, nested := "new", false
		var seen *[]string
		var base policy.RoundTripper
		base, seen = answering(func(key string, _ int) (int, http.Header, string) {
			if key == "old" && !nested {
				nested = true
				before := *seen
				for _, r := range []string{"none", "old"} { // the old key is good for one, and then for none
					refuse = r
					_, resp, err := h.do(call{method: "GET", path: "/other"})
					finish(t, resp, err)
				}
				*seen = before
			}
			if key == refuse {
				return 401, nil, ""
			}
			return 200, nil, ""
		})
		h = compile(t, base, oneTry+`credential "bearer" { token = [env("NEW"), env("OLD")] }`)
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if got := strings.Join(*seen, " "); got != "new old" || resp.StatusCode != 401 {
			t.Errorf("sent %s, answered %d", got, resp.StatusCode)
		}
	})
}

// TestP27RateLimited: where the policy says so, a limit of one key is answered
// by the next one at once, also by a rule of the policy's own; when all are at
// their limit they rest as long as the provider says, and no longer.
func TestP27RateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := map[string]bool{"new": true}
		base, seen := answering(func(key string, _ int) (int, http.Header, string) {
			if limited[key] {
				return 200, http.Header{"Content-Type": {"application/json"}, "Retry-After": {"5"}}, `{"ok":false,"error":"ratelimited"}`
			}
			return 200, nil, ""
		})
		h := compile(t, base, oneTry+`cooldown { mode = "observe" }
outcome "rate_limited" { when = response.body.error == "ratelimited" }
credential "bearer" {
token = [env("NEW"), env("OLD")]
rotate_on = ["rate_limited"]
}`)
		try := func(want string, outcome policy.Outcome) {
			t.Helper()
			*seen = nil
			x, resp, err := h.do(call{method: "POST", path: "/x", body: "a=1"})
			finish(t, resp, err)
			if got := strings.Join(*seen, " "); got != want || x.Outcome != outcome {
				t.Errorf("tried %s: %s; want %s", got, x.Outcome, want)
			}
		}
		start := time.Now()
		try("new old", policy.OK)
		try("old", policy.OK)
		limited["old"] = true
		try("old new", policy.RateLimited)
		try("new", policy.RateLimited) // both rest
		if time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
		time.Sleep(6 * time.Second)
		limited["old"] = false
		try("new old", policy.OK)
	})
}

// TestP40PinnedToItsKey: a call that is under way stays on its key, although
// another call has moved on, until that key is refused for it too.
func TestP40PinnedToItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *house
		revoked, begun := false, false
		var base policy.RoundTripper
		base, seen := answering(func(key string, _ int) (int, http.Header, string) {
			switch {
			case !begun: // while this call waits for its second attempt, another one is refused
				begun = true
				defer func() {
					revoked = true
					x, resp, err := h.do(call{method: "GET", path: "/other"})
					finish(t, resp, err)
					if x.Attempts != 2 {
						t.Errorf("the other call: %d attempts", x.Attempts)
					}
					revoked = false
				}()
				return 503, nil, ""
			case revoked && key == "new":
				return 401, nil, ""
			}
			return 200, nil, ""
		})
		h = compile(t, base, `credential "bearer" { token = [env("NEW"), env("OLD")] }`)
		x, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if got := strings.Join(*seen, " "); got != "new new old new" || resp.StatusCode != 200 {
			t.Errorf("sent %s, answered %d", got, resp.StatusCode)
		}
		if want := block.Fingerprint("new-key-0123456789"); x.Keys != want {
			t.Errorf("the journal has key %q, want %s", x.Keys, want)
		}
		*seen = nil
		x, resp, err = h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		if got := strings.Join(*seen, " "); got != "old" || x.Keys != block.Fingerprint("old-key-9876543210") {
			t.Errorf("afterwards %s, key %s", got, x.Keys)
		}
	})
}

// TestP40RefusedFileIsReadAgain: when a key is refused, and the file that it came
// from has another one by now, the call is sent again with that one, before the
// configuration is loaded anew. A key that did not change is refused once.
func TestP40RefusedFileIsReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(name+".new", []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	good := "one"
	base, seen := answering(func(key string, _ int) (int, http.Header, string) {
		if key != good {
			return 401, nil, ""
		}
		return 200, nil, ""
	})
	for kind, src := range map[string]string{
		"bearer": fmt.Sprintf("token = file(%q)", name),
		"header": fmt.Sprintf("name = \"Authorization\"\nvalue = [file(%q)]", name),
	} {
		write("one-key-0123456789")
		good = "one"
		h := compile(t, base, fmt.Sprintf("%scredential %q {\n%s\n}", oneTry, kind, src))
		one := func(want string, status int) {
			t.Helper()
			*seen = nil
			time.Sleep(50 * time.Millisecond) // the file is not read for every refusal
			x, resp, err := h.do(call{method: "POST", path: "/x", body: "a=1"})
			finish(t, resp, err)
			if got := strings.Join(*seen, " "); got != want || resp.StatusCode != status {
				t.Errorf("%s: sent %s, answered %d (%v)", kind, got, resp.StatusCode, x.Notes)
			}
		}
		one("one", 200)
		good = "two"
		one("one", 401)
		write("two-key-0123456789")
		one("one two", 200)
		one("two", 200)
		for _, state := range h.set.Provider("p").Plans()[0].Stages {
			if state.Keys == nil {
				continue
			}
			list := state.Keys()
			if len(list) != 2 || list[0].State != policy.KeyInUse || list[0].Fingerprint != block.Fingerprint("two-key-0123456789") || list[0].Ref != "[secret file:"+name+"]" ||
				list[1].State != policy.KeyReplaced || list[1].Fingerprint != block.Fingerprint("one-key-0123456789") || list[1].LastUsed.IsZero() || list[1].LastUsed.After(list[0].LastUsed) {
				t.Errorf("%s: %+v", kind, list)
			}
			if strings.Contains(fmt.Sprintf("%+v", list), "-key-") {
				t.Error("a value is shown")
			}
		}
	}
}

// TestP40RefusedCommandIsRunAgain: when the key of a secret manager is refused,
// and there is no other one, the manager is asked again before its value is too
// old, and the call is sent with what it says now.
func TestP40RefusedCommandIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "key")
		write := func(key string) {
			t.Helper()
			if err := os.WriteFile(name, []byte(key), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("one-key-0123456789")
		good := "one"
		base, seen := answering(func(key string, _ int) (int, http.Header, string) {
			if key != good {
				return 401, nil, ""
			}
			return 200, nil, ""
		})
		h := compile(t, base, fmt.Sprintf(`%scredential "bearer" { token = command("cat", %q, { lifetime = "1h" }) }`, oneTry, name))
		one := func(want string, status int) {
			t.Helper()
			*seen = nil
			_, resp, err := h.do(call{method: "POST", path: "/x", body: "a=1"})
			finish(t, resp, err)
			if got := strings.Join(*seen, " "); got != want || resp.StatusCode != status {
				t.Errorf("sent %s, answered %d", got, resp.StatusCode)
			}
		}
		one("one", 200)
		good = "two"
		one("one", 401) // it has just been asked
		time.Sleep(time.Minute)
		write("two-key-0123456789")
		one("one two", 200)
		one("two", 200)
	})
}

// TestKeyStates: of each key it is told whether it is in use, waits, or is not
// there; a route's own stand beside the provider's.
func TestKeyStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, _ := answering(func(key string, _ int) (int, http.Header, string) {
			if key == "new" {
				return 401, nil, ""
			}
			return 200, nil, ""
		})
		h := compile(t, base, `credential "bearer" { token = [env("NEW"), env("OLD"), env("MISSING")] }
credential "query" {
	name  = "key"
	value = env("ODD")
}
route "/r" {
	credential "basic" {
		username = env("USER_NAME")
		password = env("THIRD")
	}
}`)
		time.Sleep(time.Second)
		at := time.Now()
		_, resp, err := h.do(call{method: "GET", path: "/x"})
		finish(t, resp, err)
		var got []policy.KeyState
		for _, plan := range h.set.Provider("p").Plans() {
			for _, st := range plan.Stages {
				if st.Keys != nil {
					got = append(got, st.Keys()...)
				}
			}
		}
		print := block.Fingerprint
		want := []policy.KeyState{
			{Kind: "bearer", Ref: "[secret env:NEW]", Fingerprint: print("new-key-0123456789"), State: policy.KeyStandby, LastUsed: at},
			{Kind: "bearer", Ref: "[secret env:OLD]", Fingerprint: print("old-key-9876543210"), State: policy.KeyInUse, LastUsed: at},
			{Kind: "bearer", Ref: "[secret env:MISSING]", State: policy.KeyMissing},
			{Kind: "query", Ref: "[secret env:ODD]", Fingerprint: print("a b/c+d\"e&f-0123456789"), State: policy.KeyInUse, LastUsed: at},
			{Kind: "basic", Route: "/r", Ref: "[secret env:THIRD]", Fingerprint: print("third-key-55555555"), State: policy.KeyInUse},
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}
