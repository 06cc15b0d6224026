//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const unsignedPolicy = `
provider "money" {
  hosts    = ["api.mollie.com"]
  upstream = %[1]q
  credential "bearer" { token = file("key") }
}
provider "sport" {
  hosts    = ["www.strava.com"]
  upstream = %[1]q
  credential "bearer" { token = file("key") }
}
webhook "mollie" {
  catalog  = "mollie"
  path     = "/mollie"
  provider = "money"
  verify "mollie" {}
  latest {
    get      = "/v2/payments/${event.key}"
    debounce = "1100ms"                        # longer than the catalogue's repeat: the next of the same bytes is new
  }
  deliver { to = %[2]q }
}
webhook "strava" {
  catalog  = "strava"
  path     = "/strava"
  provider = "sport"
  verify "strava" {
    handshake "subscription" { token = [file("guard")] }
  }
  latest {
    get      = "/api/v3/activities/${event.key}"
    debounce = "0s"
  }
  deliver { to = %[2]q }
}
`

// TestUnsignedIsConfirmed: events of Mollie and Strava, which nobody signs, are delivered
// with the state that their provider tells, also the next one of the same bytes; what
// the provider does not have is not delivered, unless it had it before, or has it a
// moment later.
func TestUnsignedIsConfirmed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	late := 0
	things := map[string]string{"/v2/payments/tr_1": `{"id":"tr_1","status":"open"}`, "/api/v3/activities/7": `{"id":7,"name":"Run"}`}
	change := func(at, to string) { mu.Lock(); things[at] = to; mu.Unlock() }
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		state, ok := things[r.URL.Path]
		switch {
		case r.Header.Get("Authorization") != "Bearer key-of-the-provider":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v2/payments/tr_late":
			if late++; late == 1 { // the one who tells is ahead of the one who is asked
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, `{"id":"tr_late"}`)
		case r.URL.Path == "/v2/payments/nonsense":
			w.WriteHeader(http.StatusBadRequest)
		case !ok || state == "":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"status":404}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, state)
		}
	}))
	defer provider.Close()
	got := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		before, _, _ := strings.Cut(string(body), `, "as_of"`)
		got <- r.Header.Get("Postern-Verified") + " " + before
	}))
	defer app.Close()

	dir := t.TempDir()
	put(t, filepath.Join(dir, "key"), "key-of-the-provider")
	put(t, filepath.Join(dir, "guard"), "a-token-of-some-length")
	put(t, filepath.Join(dir, "postern.hcl"), "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n"+fmt.Sprintf(unsignedPolicy, provider.URL, app.URL))
	l := begin(t, dir, exact, nil, nil)
	post := func(path, kind, body string) {
		t.Helper()
		resp, err := http.Post("http://"+l.inbound+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", body, resp.StatusCode)
		}
	}
	mollie := func(id string) { post("/mollie", "application/x-www-form-urlencoded", "id="+id) }
	strava := func(id int, aspect string, at int) {
		post("/strava", "application/json", stravaEvent(id, aspect, at))
	}
	wait := func(want string) {
		t.Helper()
		select {
		case is := <-got:
			if is != want {
				t.Errorf("delivered %s, want %s", is, want)
			}
		case <-time.After(20 * time.Second):
			resp, _ := http.Get("http://" + l.admins + "/api/v1/inbox/events")
			b, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s was not delivered: %s", want, b)
		}
	}
	mollie("tr_made_up")
	mollie("nonsense")
	mollie("tr_1")
	wait(`latest {"event": "id=tr_1", "latest": {"id":"tr_1","status":"open"}`)
	change("/v2/payments/tr_1", `{"id":"tr_1","status":"paid"}`)
	mollie("tr_1")
	wait(`latest {"event": "id=tr_1", "latest": {"id":"tr_1","status":"paid"}`)

	strava(8, "create", 1)
	strava(7, "create", 1)
	wait(`latest {"event": ` + stravaEvent(7, "create", 1) + `, "latest": {"id":7,"name":"Run"}`)
	change("/api/v3/activities/7", "")
	strava(7, "delete", 2)
	wait(`latest {"event": ` + stravaEvent(7, "delete", 2) + `, "latest": null`)

	mollie("tr_late")
	wait(`latest {"event": "id=tr_late", "latest": {"id":"tr_late"}`)

	ignored := func() (n int) {
		resp, err := http.Get("http://" + l.admins + "/api/v1/inbox/events?status=ignored&error=" + url.QueryEscape("unconfirmed: the provider"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var page struct{ Events []json.RawMessage }
		if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		return len(page.Events)
	}
	eventually(t, "the three that are made up are ignored", func() bool { return ignored() == 3 })
	if len(got) != 0 {
		t.Errorf("%s was delivered, too", <-got)
	}
}

func stravaEvent(id int, aspect string, at int) string {
	return fmt.Sprintf(`{"aspect_type":%q,"event_time":%d,"object_id":%d,"object_type":"activity","owner_id":3,"subscription_id":9,"updates":{}}`, aspect, 1700000000+at, id)
}
