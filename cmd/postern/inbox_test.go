package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/postern-proxy/postern/admin"
)

func TestDeliveryInALine(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for want, d := range map[string]admin.Delivery{
		"hook: applied after 1 attempt: 200 OK":                                                     {Status: "applied", Attempt: 1, Due: at, Reason: "200 OK"},
		"hook: received":                                                                            {Status: "received", Due: at},
		"hook: received, behind others of its lane":                                                 {Status: "received"},
		"hook: retrying after 2 attempts, again at 2026-11-29T12:00:00Z: 503":                       {Status: "retrying", Attempt: 2, Due: at, Reason: "503"},
		"hook: retrying after 3 attempts, stepped aside in its lane, again at 2026-11-29T12:00:00Z": {Status: "retrying", Attempt: 3, Due: at, Stand: "aside"},
		"hook: failed after 4 attempts, holding its lane: 422":                                      {Status: "failed", Attempt: 4, Due: at, Stand: "holding", Reason: "422"},
	} {
		d.Target = "hook"
		if got := delivered(&d); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestListOfEventsShowsStand(t *testing.T) {
	var out bytes.Buffer
	event := admin.Event{ID: "e1", Webhook: "hook", EventID: "x", Status: "failed", Deliveries: []admin.Delivery{{Status: "failed", Stand: "holding", Attempt: 3}, {Status: "applied"}}}
	if err := printEvents(&out, "table", []admin.Event{event}); err != nil || !strings.Contains(out.String(), "-     failed, holding  3         x\n") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestTailOfABatch(t *testing.T) {
	var out bytes.Buffer
	if err := printNotice(&out, "table", &admin.Notice{Event: admin.Event{ID: "e1", Webhook: "hook", EventID: "batch sha256:1", Status: "ignored", Items: 2}}); err != nil || !strings.HasSuffix(out.String(), "  e1  hook  -  brought 2 events, and is none itself\n") {
		t.Errorf("%v %q", err, &out)
	}
}

// TestHostileTextOnATerminal: text of others neither begins a line nor moves the
// cursor, whichever command shows it.
func TestHostileTextOnATerminal(t *testing.T) {
	evil := "a\x1b[2J\r\n\u202eQ\tc\u0085\x00"
	event := admin.Event{
		ID: "e1", EventID: evil, Webhook: "hook", Type: evil, Account: evil, Key: evil, Status: "failed", Misfit: evil,
		Deliveries: []admin.Delivery{{Target: "hook", Status: "failed", Reason: evil}},
		Trail:      []admin.Move{{Target: evil, To: "failed", Reason: evil, By: evil, Detail: evil}},
	}
	now := time.Now()
	for name, show := range map[string]func(*bytes.Buffer) error{
		"list": func(w *bytes.Buffer) error { return printEvents(w, "table", []admin.Event{event}) },
		"show": func(w *bytes.Buffer) error { return printEvent(w, &event) },
		"tail": func(w *bytes.Buffer) error {
			return printNotice(w, "table", &admin.Notice{Event: event, Move: &event.Trail[0]})
		},
		"groups": func(w *bytes.Buffer) error {
			return printGroups(w, "table", []admin.Group{{Misfit: "m", Type: evil, Reason: evil}})
		},
		"subscriptions": func(w *bytes.Buffer) error {
			return printTable(w, make([]column, 7), [][]string{subscriptionRow(w, admin.Subscription{Webhook: "hook", Account: evil, Status: "unclear", Checked: now, Reason: evil})})
		},
		"reconcile": func(w *bytes.Buffer) error {
			return writeReconciled(w, "table", []admin.ReconcileStanding{{Webhook: "hook", Account: evil, Last: &admin.ReconcileReport{}}})
		},
		"connections": func(w *bytes.Buffer) error {
			return printConnections(w, "table", []admin.Connection{{Provider: "acme", Account: evil, Failure: evil}})
		},
		"connection": func(w *bytes.Buffer) error {
			return printConnection(w, "table", &admin.Connection{Account: evil, Granted: []string{evil}, Failure: evil, History: []admin.ConnectionMove{{Reason: evil, By: evil}}})
		},
		"status": func(w *bytes.Buffer) error {
			_, err := fmt.Fprintln(w, strings.Join(oversights(&admin.Oversight{Subscriptions: []admin.Subscription{{Account: evil, Status: "missing", Reason: evil}}}), "\n"))
			return err
		},
	} {
		var out bytes.Buffer
		if err := show(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i := strings.IndexFunc(out.String(), func(c rune) bool { return c != '\n' && unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }); i >= 0 || strings.Contains(out.String(), "\nQ") || !strings.Contains(out.String(), "a\uFFFD[2J") {
			t.Errorf("%s, at %d: %q", name, i, out.String())
		}
	}
}
