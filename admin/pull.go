package admin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
)

// What a worker gets if it does not ask for something else, and the most that it
// may ask for.
const (
	pullMax, pullMost       = 10, 100
	pullWait                = time.Minute
	pullLease, longestLease = time.Minute, 12 * time.Hour
)

// ClaimedEvents are events that a worker has until their deadlines.
type ClaimedEvents struct {
	Events []ClaimedEvent `json:"events"` // none: nothing came while it waited
}

// ClaimedEvent is one of them, as it would have been posted.
type ClaimedEvent struct {
	Lease    string      `json:"lease"`    // names it to ack, nack and extend
	Deadline time.Time   `json:"deadline"` // afterwards others may have it
	Header   http.Header `json:"header"`
	Body     string      `json:"body"` // in Base64: the bytes are exact
}

// Ack says that the application has applied an event.
type Ack struct {
	Lease string `json:"lease"`
}

// Nack says that it has not.
type Nack struct {
	Lease  string `json:"lease"`
	Reason string `json:"reason,omitempty"` // for the audit trail
	Delay  string `json:"delay,omitempty"`  // until the next attempt, such as 5m; else as the policy says
	Fail   bool   `json:"fail,omitempty"`   // no further attempt
}

// Extend asks for more time.
type Extend struct {
	Lease string `json:"lease"`
	By    string `json:"by"` // from now, such as 2m
}

// Settled is where the delivery stands now.
type Settled struct {
	Status   string    `json:"status"`
	Deadline time.Time `json:"deadline,omitzero"` // of an extended lease
}

var pullParams = []param{
	{"webhook", "Name of a webhook, once."},
	{"target", "Label of a deliver block of it that has pull = true; not given, the block without a label."},
	{"max", fmt.Sprintf("How many events, 1 to %d; %d if not given.", pullMost, pullMax)},
	{"wait", "How long to wait for the first, up to 1m, such as 30s; not given, it is not waited."},
	{"lease", "How long the worker has them, from 1s to 12h; 1m if not given. It can be extended."},
}

func pullRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	const summary = "Claim events for a worker of the application, and wait for them."
	return []route{
		{method: post, path: api + "/inbox/claim", id: "inbox_claim", summary: summary, query: pullParams, answer: ClaimedEvents{}, serve: (*Server).claim},
		{method: get, path: api + "/inbox/claim", id: "inbox_claim_get", summary: summary, query: pullParams, answer: ClaimedEvents{}, serve: (*Server).claim},
		{method: post, path: api + "/inbox/ack", id: "inbox_ack", summary: "Say that a claimed event was applied; 409 if it was settled, or another has it since its lease ended.", body: Ack{}, answer: Settled{}, serve: answering((*Server).ack)},
		{method: post, path: api + "/inbox/nack", id: "inbox_nack", summary: "Say that a claimed event was not applied; 409 if it was settled, or another has it since its lease ended.", body: Nack{}, answer: Settled{}, serve: answering((*Server).nack)},
		{method: post, path: api + "/inbox/extend", id: "inbox_extend", summary: "Keep a claimed event for longer; 409 if it was settled, or another has it since its lease ended.", body: Extend{}, answer: Settled{}, serve: answering((*Server).extend)},
	}
}

// claim gives events to a worker. It changes something, so that a page of another
// origin may not ask for it by GET either.
func (s *Server) claim(w http.ResponseWriter, r *http.Request) {
	asked := *r
	asked.Method = http.MethodPost
	if s.cross.Check(&asked) != nil {
		s.fail(w, r, refuse(http.StatusForbidden, "", "a page of another origin may not change anything here"))
		return
	}
	p, err := pull(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // that of the request: it is read
	events, err := s.opt.Inbox.Claim(r.Context(), p)
	if r.Context().Err() != nil {
		return // nobody waits any more
	}
	if err != nil {
		s.fail(w, r, pullProblem(err))
		return
	}
	out := ClaimedEvents{Events: []ClaimedEvent{}}
	for _, e := range events {
		out.Events = append(out.Events, ClaimedEvent{e.Lease, e.Deadline.UTC(), e.Header, base64.StdEncoding.EncodeToString(e.Body)})
	}
	write(w, http.StatusOK, "application/json", out)
}

// pull reads what a worker asks for.
func pull(q url.Values) (p inbound.Pull, err error) {
	for name, values := range q {
		if !slices.ContainsFunc(pullParams, func(p param) bool { return p.name == name }) {
			return p, refuse(http.StatusBadRequest, "", "there is no parameter %q", name)
		}
		if len(values) > 1 {
			return p, refuse(http.StatusBadRequest, "", "%s is given more than once", name)
		}
	}
	p = inbound.Pull{Webhook: q.Get("webhook"), Target: q.Get("target"), Max: pullMax, Lease: pullLease}
	if text := q.Get("max"); text != "" {
		if p.Max, err = strconv.Atoi(text); err != nil || p.Max < 1 || p.Max > pullMost {
			return p, refuse(http.StatusBadRequest, "", "max is not a number from 1 to %d", pullMost)
		}
	}
	if p.Wait, err = span("wait", q.Get("wait"), 0, 0, pullWait); err != nil {
		return p, err
	}
	p.Lease, err = span("lease", q.Get("lease"), pullLease, time.Second, longestLease)
	return p, err
}

// span reads a duration; not given, it is otherwise.
func span(name, text string, otherwise, least, most time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	var d block.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil || d.Duration < least || d.Duration > most {
		return 0, refuse(http.StatusBadRequest, "Write it as 30s.", "%s is not a duration from %v to %v", name, least, most)
	}
	return d.Duration, nil
}

func (s *Server) ack(r *http.Request) (any, error) {
	var ask Ack
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	if err := s.opt.Inbox.Ack(r.Context(), ask.Lease); err != nil {
		return nil, pullProblem(err)
	}
	return Settled{Status: string(inbound.Applied)}, nil
}

func (s *Server) nack(r *http.Request) (any, error) {
	var ask Nack
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	delay, err := span("delay", ask.Delay, 0, 0, 30*24*time.Hour)
	if err != nil {
		return nil, err
	}
	state, err := s.opt.Inbox.Nack(r.Context(), ask.Lease, inbound.Nack{Reason: ask.Reason, Fail: ask.Fail, Delay: delay})
	if err != nil {
		return nil, pullProblem(err)
	}
	return Settled{Status: string(state)}, nil
}

func (s *Server) extend(r *http.Request) (any, error) {
	var ask Extend
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	by, err := span("by", ask.By, pullLease, time.Second, longestLease)
	if err != nil {
		return nil, err
	}
	until, err := s.opt.Inbox.Extend(r.Context(), ask.Lease, by)
	if err != nil {
		return nil, pullProblem(err)
	}
	return Settled{Status: string(inbound.Processing), Deadline: until.UTC()}, nil
}

// pullProblem words what went wrong for a worker.
func pullProblem(err error) error {
	switch {
	case errors.Is(err, inbound.ErrNoTarget):
		return refuse(http.StatusNotFound, "Name the webhook, and as target the label of its deliver block.", "%v", err)
	case errors.Is(err, inbound.ErrLease):
		return refuse(http.StatusBadRequest, "Give back lease as the claim gave it.", "%v", err)
	case errors.Is(err, queue.ErrStale):
		return refuse(http.StatusConflict, "Drop what you did with it, or dedupe by Postern-Event-Id: another worker may have it.", "the lease has ended, or what it is for has been settled")
	}
	return fmt.Errorf("serve a worker: %w", err)
}
