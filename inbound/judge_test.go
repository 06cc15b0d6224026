package inbound

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/queue"
)

func half() float64 { return 0.5 }

func retry(attempts int) *Retry {
	r := &Retry{Attempts: attempts, Backoff: &Backoff{}}
	r.Backoff.Default()
	r.Backoff.Jitter = backoff.None
	return r
}

// TestMeanings is the table of SURFACE, and what the two lists change.
func TestMeanings(t *testing.T) {
	var plain Deliver
	plain.Default()
	lists := Deliver{Applied: []int{409, 302}, Failed: []int{404, 204}}
	for status, want := range map[int][2]State{
		200: {Applied, Applied}, 202: {Applied, Applied}, 204: {Applied, Failed}, 299: {Applied, Applied},
		302: {Retrying, Applied}, 304: {Retrying, Retrying},
		400: {Failed, Retrying}, 410: {Failed, Retrying}, 413: {Failed, Retrying}, 415: {Failed, Retrying}, 422: {Failed, Retrying},
		401: {Retrying, Retrying}, 404: {Retrying, Failed}, 408: {Retrying, Retrying}, 409: {Retrying, Applied}, 429: {Retrying, Retrying},
		500: {Retrying, Retrying}, 503: {Retrying, Retrying},
	} {
		if got := plain.means(status); got != want[0] {
			t.Errorf("%d means %s, want %s", status, got, want[0])
		}
		if got := lists.means(status); got != want[1] {
			t.Errorf("%d means %s with lists, want %s", status, got, want[1])
		}
	}
}

func TestF29Judgement(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	answer := func(status int, after ...string) outcome {
		return outcome{status: status, header: http.Header{"Retry-After": after}, called: true, sent: true}
	}
	none := outcome{err: errors.New("EOF"), called: true, sent: true}
	late := outcome{err: errors.New("the application did not answer within 10s"), called: true, sent: true, late: true}
	unreached := outcome{err: errors.New("connection refused"), called: true}
	probe := func(o outcome, revived bool) outcome { o.probe, o.revived = true, revived; return o }
	for _, tt := range []struct {
		name    string
		attempt int
		o       outcome
		to      State
		wait    time.Duration
		count   int
		reason  string
		report  queue.Report
		harmful bool
	}{
		{"applied", 1, answer(200), Applied, 0, 1, "200 OK", queue.Report{Health: queue.Well}, false},
		{"failed", 1, answer(422), Failed, 0, 1, "422 Unprocessable Entity", queue.Report{Health: queue.Well}, false},
		{"failed by the list", 1, answer(501), Failed, 0, 1, "501 Not Implemented", queue.Report{Health: queue.Well}, false},
		{"first failure", 1, answer(500), Retrying, time.Second, 1, "500 Internal Server Error", queue.Report{Health: queue.Trouble}, false},
		{"third failure", 3, answer(409), Retrying, 4 * time.Second, 3, "409 Conflict", queue.Report{Health: queue.Well}, false},
		{"no answer", 2, none, Retrying, 2 * time.Second, 2, "no answer: EOF", queue.Report{Health: queue.Trouble}, true},
		{"the last", 5, answer(503), Failed, 0, 5, "given up after 5 attempts: 503 Service Unavailable", queue.Report{Health: queue.Trouble}, false},
		{"not reached", 5, unreached, Retrying, 16 * time.Second, 4, "not reached: connection refused", queue.Report{Health: queue.Down}, false},
		{"not even made", 5, outcome{err: errors.New("sign")}, Failed, 0, 5, "given up after 5 attempts: not sent: sign", queue.Report{}, false},
		{"Retry-After in seconds", 1, answer(503, "90"), Retrying, 90 * time.Second, 1, "503 Service Unavailable", queue.Report{Health: queue.Trouble, Pause: 90 * time.Second}, false},
		{"Retry-After as a date", 1, answer(429, "Mon, 23 Nov 2026 12:10:00 GMT"), Retrying, 10 * time.Minute, 1, "429 Too Many Requests", queue.Report{Health: queue.Busy, Pause: 10 * time.Minute}, false},
		{"Retry-After beyond max", 1, answer(503, "999999999"), Retrying, time.Hour, 1, "503 Service Unavailable", queue.Report{Health: queue.Trouble, Pause: time.Hour}, false},
		{"Retry-After of nothing", 2, answer(503, "0"), Retrying, 2 * time.Second, 2, "503 Service Unavailable", queue.Report{Health: queue.Trouble}, false},
		{"Retry-After of one event", 1, answer(409, "90"), Retrying, 90 * time.Second, 1, "409 Conflict", queue.Report{Health: queue.Well}, false},
		{"interrupted at the last attempt", 5, outcome{interrupted: true, called: true, sent: true, err: errors.New("x")}, Retrying, 0, 4, "interrupted by shutdown", queue.Report{}, false},
		{"a probe that is answered", 5, probe(answer(409), false), Failed, 0, 5, "given up after 5 attempts: 409 Conflict", queue.Report{Health: queue.Well}, false},
		{"a probe that finds it down", 5, probe(answer(500), true), Retrying, 16 * time.Second, 4, "still down: 500 Internal Server Error", queue.Report{Health: queue.Trouble}, false},
		{"a probe that is left waiting", 5, probe(late, true), Retrying, 16 * time.Second, 4, "still down: no answer: the application did not answer within 10s", queue.Report{Health: queue.Trouble}, false},
		{"a probe into a broken relay", 5, probe(none, false), Retrying, 16 * time.Second, 4, "still down: no answer: EOF", queue.Report{Health: queue.Trouble}, false},
		{"a probe that it dies of, just back", 2, probe(none, true), Retrying, 2 * time.Second, 2, "no answer: EOF", queue.Report{Health: queue.Trouble}, true},
	} {
		d := Deliver{Failed: []int{422, 501}}
		m := judge(&Delivery{Attempt: tt.attempt}, tt.o, &d, retry(5), now, half)
		if m.To != tt.to || m.Wait != tt.wait || m.Attempt != tt.count || m.Reason != tt.reason || m.To == Retrying && !m.Due.Equal(now.Add(tt.wait)) {
			t.Errorf("%s: %+v", tt.name, m)
		}
		if r := tt.o.report(&d, now, time.Hour); r != tt.report || tt.o.harmful() != tt.harmful {
			t.Errorf("%s: %+v, harmful %v", tt.name, r, tt.o.harmful())
		}
	}
}

// TestJudgeIsLegal: whatever the application answers, the move is one that the
// state machine has.
func TestJudgeIsLegal(t *testing.T) {
	var d Deliver
	d.Default()
	for status := range 600 {
		for attempt := range 12 {
			m := judge(&Delivery{Attempt: attempt}, outcome{status: status, called: true, sent: true}, &d, retry(8), time.Now(), half)
			if !Legal(Processing, m.To) {
				t.Fatalf("status %d, attempt %d: processing to %s", status, attempt, m.To)
			}
		}
	}
}

// TestActionsAreLegal: an action is nothing but moves that the table has.
func TestActionsAreLegal(t *testing.T) {
	for a, row := range actions {
		for _, from := range row.from {
			if !Legal(from, row.to) {
				t.Errorf("%s: %s to %s", a, from, row.to)
			}
		}
	}
}

func TestStatusOfSeveralDeliveries(t *testing.T) {
	for _, tt := range []struct {
		in   []State
		want State
	}{
		{[]State{Applied, Applied}, Applied},
		{[]State{Applied, Retrying}, Retrying},
		{[]State{Failed, Applied}, Failed},
		{[]State{Received, Processing}, Processing},
		{[]State{Ignored, Applied}, Applied},
		{[]State{Ignored}, Ignored},
		{[]State{Conflict}, Conflict},
	} {
		if got := Status(tt.in); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestC21PrintableHeaders(t *testing.T) {
	for in, want := range map[string]string{"evt_1": "evt_1", "a\r\nX: y": "a%0D%0AX: y", "ä": "%C3%A4", "50%": "50%25", "\x00": "%00"} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
