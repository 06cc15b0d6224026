package faults

import (
	"net/http"
	"time"
)

type kind int

const (
	pass kind = iota
	answer
	resetUnread
	resetRead
	resetHalf
	closeUnread
	closeRead
	refuse
	goAway
	hang
	resetPart
	resetHead
	closeHalf
	garbage
	resetStream
	goAwayAfter
)

var kindNames = map[kind]string{
	pass: "pass", answer: "answer", resetUnread: "reset unread", resetRead: "reset read", resetHalf: "reset mid-body",
	closeUnread: "close unread", closeRead: "close read", refuse: "refuse stream", goAway: "goaway", hang: "hang",
	resetPart: "reset mid-request", resetHead: "reset mid-head", closeHalf: "close mid-body", garbage: "garbage",
	resetStream: "reset stream", goAwayAfter: "goaway after it",
}

// Step says what becomes of one request. Steps are taken in the order in which requests arrive.
type Step struct {
	kind   kind
	delay  time.Duration
	status int
	header http.Header
	body   string
	acts   bool
}

// String names the step in records and test failures.
func (s Step) String() string {
	if s.acts {
		return kindNames[s.kind] + ", acting"
	}
	return kindNames[s.kind]
}

// Acting gives the request to the backend first, and throws its answer away: the provider has acted, whatever it says.
// It does nothing for steps that do not read the request, nor for those that answer from the backend anyway.
func (s Step) Acting() Step {
	s.acts = !s.unread() && s.kind != pass && s.kind != resetHalf && s.kind != closeHalf && s.kind != resetHead
	return s
}

// Pass gives the request to the backend.
func Pass() Step { return Step{kind: pass} }

// Answer answers status with body and the given header name, value pairs. The backend never sees the request.
func Answer(status int, body string, header ...string) Step {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return Step{kind: answer, status: status, header: h, body: body}
}

// ResetUnread sends a TCP reset once the first byte of the request is there, without reading the request.
// On a connection that was kept alive this is the stale keep-alive race.
func ResetUnread() Step { return Step{kind: resetUnread} }

// ResetRead reads the whole request, then sends a TCP reset: the provider may have acted.
func ResetRead() Step { return Step{kind: resetRead} }

// ResetHalf sends the head and half of the backend's answer, then a TCP reset.
func ResetHalf() Step { return Step{kind: resetHalf} }

// CloseUnread is ResetUnread with an orderly close.
func CloseUnread() Step { return Step{kind: closeUnread} }

// CloseRead is ResetRead with an orderly close: an EOF where the answer should be.
func CloseRead() Step { return Step{kind: closeRead} }

// RefuseStream answers RST_STREAM(REFUSED_STREAM), which promises that nothing was done (RFC 9113 §8.7).
// On HTTP/1.1 it is CloseUnread.
func RefuseStream() Step { return Step{kind: refuse} }

// GoAway sends GOAWAY with a last stream below this request's, which promises the same, and closes.
// On HTTP/1.1 it is CloseUnread.
func GoAway() Step { return Step{kind: goAway} }

// Hang reads the request and answers nothing until the peer gives up or the server closes.
func Hang() Step { return Step{kind: hang} }

// ResetPart sends a TCP reset once the first bytes of the request's body are there, or once the request is if it has none.
func ResetPart() Step { return Step{kind: resetPart} }

// ResetHead sends half of the head of the backend's answer, then a TCP reset.
func ResetHead() Step { return Step{kind: resetHead} }

// CloseHalf is ResetHalf with an orderly close: a truncated answer.
func CloseHalf() Step { return Step{kind: closeHalf} }

// Garbage reads the request and answers with what is no HTTP, then closes.
func Garbage() Step { return Step{kind: garbage} }

// ResetStream answers RST_STREAM(INTERNAL_ERROR), which promises nothing. On HTTP/1.1 it is ResetRead.
func ResetStream() Step { return Step{kind: resetStream} }

// GoAwayAfter sends GOAWAY with this request's stream as the last, and closes without an answer. On HTTP/1.1 it is CloseRead.
func GoAwayAfter() Step { return Step{kind: goAwayAfter} }

// After delays what the step does by d, counted from the moment the request is read.
func (s Step) After(d time.Duration) Step {
	s.delay = d
	return s
}

// unread reports whether the step acts before the request is read.
func (s Step) unread() bool {
	switch s.kind {
	case resetUnread, closeUnread, refuse, goAway:
		return true
	}
	return false
}
