package oversight_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// feed is a webhook that says only which accounts have something new, and a list that
// goes on from a position by POST, as Dropbox has it.
const feed = `webhook "hook" {
  path     = "/hook"
  provider = "acme"
  verify "none" {}
  event {
    split   = body.accounts
    account = item
    repeat  = "1s"
  }
  deliver { to = "http://127.0.0.1:1/" }
  reconcile {
    every    = "1h"
    accounts = ACCOUNTS
    wake     = true
    method   = "POST"
    list     = cursor == null ? "/latest" : "/continue"
    json     = { cursor = try(coalesce(response.body.cursor, cursor), null) }
    events   = response.body.entries
    next     = response.body.has_more == true ? "/continue" : null
    cursor   = response.body.cursor
    expired  = response.status == 409 && startswith(response.body.error, "reset")
    pages    = 4
    event {
      id      = item.id
      type    = "change"
      account = account
      time    = item.at
    }
  }
}
`

// log is the provider's list of what has happened, by account. A position is how many
// an account had, and says from which making of the list it is.
type log struct {
	mu      sync.Mutex
	entries map[string][]string
	making  int
	size    int                    // of a page
	fail    func(path string) bool // answers 503
	hold    chan struct{}          // answers wait for it
}

func (l *log) add(account string, id string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = map[string][]string{}
	}
	l.entries[account] = append(l.entries[account], fmt.Sprintf(`{"id":%q, "at":%q}`, id, at.UTC().Format(time.RFC3339Nano)))
}

func (l *log) answer(account string, r *http.Request, body string) (int, string) {
	status, text := l.look(account, r, body)
	l.mu.Lock()
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return status, text
}

func (l *log) look(account string, r *http.Request, body string) (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil && l.fail(r.URL.Path) {
		return 503, "{}"
	}
	all := l.entries[account]
	if r.URL.Path == "/latest" {
		if body != "{}" {
			return 400, `{"error":"` + body + `"}`
		}
		return 200, fmt.Sprintf(`{"cursor":"%d-%d"}`, l.making, len(all))
	}
	var q struct{ Cursor string }
	making, from := 0, 0
	if err := json.Unmarshal([]byte(body), &q); err != nil {
		return 400, "{}"
	}
	if _, err := fmt.Sscanf(q.Cursor, "%d-%d", &making, &from); err != nil {
		return 400, "{}"
	}
	if making != l.making {
		return 409, `{"error":"reset/.."}`
	}
	to := min(from+l.size, len(all))
	return 200, fmt.Sprintf(`{"entries":[%s],"cursor":"%d-%d","has_more":%v}`, strings.Join(all[from:to], ","), l.making, to, to < len(all))
}

// opened is a place over a log. accounts are those that are connected.
func (l *log) opened(t *testing.T, accounts ...string) *place {
	l.size = 2
	src := strings.Replace(feed, "ACCOUNTS", fmt.Sprint(len(accounts) > 0), 1)
	p := closed(t, src, nil)
	p.accounts, p.byAccount = accounts, l.answer
	p.start() // all of it is in place before the first run, which is at once
	return p
}

func pings(accounts ...string) string {
	text, _ := json.Marshal(map[string][]string{"accounts": accounts})
	return string(text)
}

// changes are the ids of what was fetched, by account in the order of storing, and the
// states of the pings.
func (p *place) changes() (ids map[string][]string, states map[string]int) {
	p.t.Helper()
	ids, states = map[string][]string{}, map[string]int{}
	f := inbound.Filter{Limit: inbound.MaxPage}
	for {
		page, err := p.db.Inbox().List(p.t.Context(), f)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.Type == "change" {
				ids[e.Account] = append(ids[e.Account], e.EventID)
			} else {
				states[string(e.Status)]++
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	for _, list := range ids {
		slices.Reverse(list)
	}
	return ids, states
}
