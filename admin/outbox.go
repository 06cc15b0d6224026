package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/policy"
)

// callParams select calls of the outbox.
var callParams = []param{
	{"provider", "Name of a provider."},
	{"account", "Account of the call."},
	{"client", "Client of the call."},
	{"kind", "How it came here: async, deadletter or callback."},
	{"of", "Callbacks about the call of this id."},
	{"status", "State of the call."},
	{"outcome", "Outcome class of the last sending."},
	{"since", "Created at or after this time (RFC 3339)."},
	{"until", "Created before this time (RFC 3339)."},
	{"error", "Part of the reason of the last move."},
	{"limit", "How many calls a page holds, 1 to 1000; 50 if not given."},
	{"cursor", "The next of the page before."},
}

func outboxRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	act := func(name string, does func(*CallAct) (outbox.Doing, error), summary string) route {
		return route{
			method: post, path: api + "/outbox/" + name, id: "outbox_" + name, summary: summary, body: CallAct{}, answer: CallActed{},
			serve: answering(func(s *Server, r *http.Request) (any, error) { return s.actOnCalls(does, r) }),
		}
	}
	is := func(d outbox.Doing) func(*CallAct) (outbox.Doing, error) {
		return func(*CallAct) (outbox.Doing, error) { return d, nil }
	}
	return []route{
		{method: get, path: api + "/outbox/calls", id: "outbox_list", summary: "Calls that are kept, the newest first, a page at a time.", query: callParams, answer: CallPage{}, serve: answering((*Server).calls)},
		{method: get, path: api + "/outbox/calls/{id}", id: "outbox_show", summary: "One call, what is kept of it, what came of it, and its audit trail.", answer: Call{}, serve: answering((*Server).call)},
		act("replay", is(outbox.Replay), "Send again what has failed, by the policy in force: one page of the calls that match. What may have a second effect is sent only if it is forced."),
		act("discard", is(outbox.Discard), "Never send what is not done: one page of the calls that match."),
		act("resolve", func(a *CallAct) (outbox.Doing, error) {
			switch {
			case a.Executed == nil:
				return "", refuse(http.StatusBadRequest, `Say "executed": true or "executed": false.`, "executed is missing: whether they had their effect")
			case *a.Executed:
				return outbox.Executed, nil
			}
			return outbox.NotExecuted, nil
		}, "Say of unknown calls whether they had their effect: one page of the calls that match."),
	}
}

// CallPage is one page of calls.
type CallPage struct {
	Calls []Call `json:"calls"`
	Next  string `json:"next,omitempty"` // the cursor of the next page, "" on the last
}

// Call is one call that the outbox keeps. What is kept of it bears no credential.
type Call struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // async, deadletter, callback
	Of       string    `json:"of,omitempty"`
	Provider string    `json:"provider"`
	Client   string    `json:"client,omitempty"`
	Account  string    `json:"account,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Method   string    `json:"method"`
	Status   string    `json:"status"`
	Outcome  string    `json:"outcome,omitempty"`
	Answer   int       `json:"answer,omitempty"` // the provider's last status
	Reason   string    `json:"reason,omitempty"` // of the last move
	Attempts int       `json:"attempts"`         // sendings from the outbox
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	Due      time.Time `json:"due,omitzero"`     // the next sending, or the end of the lease; absent while it waits for another, or is not to be sent
	Expires  time.Time `json:"expires,omitzero"` // after it there is no other sending
	Doubt    time.Time `json:"doubt,omitzero"`   // since when it may have had an effect that nobody knows of

	Request  CallRequest `json:"request,omitzero"` // of one call, as the following
	Result   CallResult  `json:"result,omitzero"`
	Risk     string      `json:"risk,omitempty"`     // why a replay may have a second effect
	Unopened string      `json:"unopened,omitempty"` // why what is kept cannot be shown
	Trail    []CallMove  `json:"trail,omitempty"`    // oldest first
}

// CallRequest is what was asked for.
type CallRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Size   int         `json:"size"` // of the body, in bytes
	Key    string      `json:"idempotency_key,omitempty"`
}

// CallResult is what came of the last sending, and how that is known.
type CallResult struct {
	At        time.Time   `json:"at"`
	Status    int         `json:"status,omitempty"`
	Header    http.Header `json:"header,omitempty"`
	Body      string      `json:"body,omitempty"`
	Encoding  string      `json:"encoding,omitempty"`  // base64, if the body is no text
	Truncated bool        `json:"truncated,omitempty"` // the body is not whole, or went to the application
	Source    string      `json:"source,omitempty"`
	Code      string      `json:"code,omitempty"` // of a refusal or failure by Postern
	Detail    string      `json:"detail,omitempty"`
	Executed  string      `json:"executed"`
	Attempts  int         `json:"attempts"` // within this sending
	Evidence  Evidence    `json:"evidence"` // of the last of them
	RequestID string      `json:"provider_request_id,omitempty"`
	ErrorCode string      `json:"provider_code,omitempty"`
	Message   string      `json:"provider_message,omitempty"`
	Hint      string      `json:"hint,omitempty"`
}

// Evidence is how far an attempt got.
type Evidence struct {
	Connected bool `json:"connected"`
	Written   int  `json:"written"` // bytes of the request
	Complete  bool `json:"complete"`
	Refused   bool `json:"refused"` // unprocessed, as the provider says
	Answered  bool `json:"answered"`
}

// CallMove is one line of the audit trail of a call.
type CallMove struct {
	At       time.Time `json:"at"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	Attempt  int       `json:"attempt,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`
	Status   int       `json:"status,omitempty"`
	Duration float64   `json:"duration_seconds,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty"`
	Replica  string    `json:"replica,omitempty"`
}

// CallFilter selects calls. Everything given has to match.
type CallFilter struct {
	IDs       []string  `json:"ids,omitempty"`
	Providers []string  `json:"providers,omitempty"`
	Account   string    `json:"account,omitempty"`
	Client    string    `json:"client,omitempty"`
	Kind      string    `json:"kind,omitempty"`
	Of        string    `json:"of,omitempty"`
	Status    string    `json:"status,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	Error     string    `json:"error,omitempty"`
}

// CallAct asks for something to be done to the calls that match: first to be
// counted (dry_run), then a page at a time.
type CallAct struct {
	Filter   CallFilter `json:"filter,omitzero"`
	All      bool       `json:"all,omitempty"` // an empty filter is meant
	DryRun   bool       `json:"dry_run,omitempty"`
	Limit    int        `json:"limit,omitempty"`
	Cursor   string     `json:"cursor,omitempty"`
	Force    bool       `json:"force,omitempty"`    // of a replay: also what may have a second effect, was superseded or discarded
	Executed *bool      `json:"executed,omitempty"` // of resolve, which needs it: whether they had their effect
}

// CallActed is what came of it.
type CallActed struct {
	Matched int      `json:"matched"` // calls, of a dry run; otherwise 0
	Moved   int      `json:"moved"`
	Skipped int      `json:"skipped"`       // in a state that it does not apply to
	Held    int      `json:"held"`          // not replayed because of a risk
	Why     []string `json:"why,omitempty"` // some of those, with the reason
	Next    string   `json:"next,omitempty"`
}

// calls answers one page of calls.
func (s *Server) calls(r *http.Request) (any, error) {
	q := r.URL.Query()
	for name, values := range q {
		if !slices.ContainsFunc(callParams, func(p param) bool { return p.name == name }) {
			return nil, refuse(http.StatusBadRequest, "", "there is no parameter %q", name)
		}
		if len(values) > 1 {
			return nil, refuse(http.StatusBadRequest, "", "%s is given more than once", name)
		}
	}
	f := CallFilter{Account: q.Get("account"), Client: q.Get("client"), Kind: q.Get("kind"), Of: q.Get("of"), Status: q.Get("status"), Outcome: q.Get("outcome"), Error: q.Get("error")}
	if p := q.Get("provider"); p != "" {
		f.Providers = []string{p}
	}
	for name, into := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if err := timeParam(q, name, into); err != nil {
			return nil, err
		}
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > outbox.MaxPage {
			return nil, refuse(http.StatusBadRequest, "", "limit is not a number from 1 to %d", outbox.MaxPage)
		}
	}
	filter, err := callFilter(&f, limit, q.Get("cursor"))
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Outbox.List(r.Context(), filter)
	if err != nil {
		return nil, badCall("list", err)
	}
	out := CallPage{Calls: []Call{}, Next: page.Next}
	for i := range page.Calls {
		out.Calls = append(out.Calls, callOf(&page.Calls[i]))
	}
	return out, nil
}

func timeParam(q url.Values, name string, into *time.Time) error {
	if q.Get(name) == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, q.Get(name))
	if err != nil {
		return refuse(http.StatusBadRequest, "Write it as 2026-01-31T15:04:05Z.", "%s is not a time", name)
	}
	*into = at
	return nil
}

// callFilter words f for the outbox.
func callFilter(f *CallFilter, limit int, cursor string) (outbox.Filter, error) {
	out := outbox.Filter{
		IDs: f.IDs, Providers: f.Providers, Account: f.Account, Client: f.Client, Kind: outbox.Kind(f.Kind), Of: f.Of, State: outbox.State(f.Status),
		Outcome: policy.Outcome(f.Outcome), Since: f.Since, Until: f.Until, Error: f.Error, Limit: limit, Cursor: cursor,
	}
	switch {
	case f.IDs != nil && len(f.IDs) == 0 || f.Providers != nil && len(f.Providers) == 0:
		return out, refuse(http.StatusBadRequest, "Leave the list out to mean any.", "a list of ids or providers is empty, so no call matches")
	case f.Status != "" && !slices.Contains(outbox.States[:], out.State):
		return out, refuse(http.StatusBadRequest, "", "status is none of %v", outbox.States)
	case f.Kind != "" && out.Kind != outbox.Async && out.Kind != outbox.DeadLetter && out.Kind != outbox.Callback:
		return out, refuse(http.StatusBadRequest, "", "kind is none of async, deadletter and callback")
	case f.Outcome != "" && !out.Outcome.Valid():
		return out, refuse(http.StatusBadRequest, "", "outcome is none of %v", policy.Outcomes())
	}
	return out, nil
}

// badCall words the failure of something that was to be done to a page.
func badCall(doing string, err error) error {
	if errors.Is(err, outbox.ErrCursor) {
		return refuse(http.StatusBadRequest, "Take it from next of the page before, or leave it out to begin.", "cursor is none that a page named")
	}
	return fmt.Errorf("%s the calls: %w", doing, err)
}

// call answers one call.
func (s *Server) call(r *http.Request) (any, error) {
	rec, view, err := s.opt.Outbox.Show(r.Context(), r.PathValue("id"))
	if errors.Is(err, outbox.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "postern outbox list shows the ids.", "there is no call of this id")
	}
	if err != nil {
		return nil, fmt.Errorf("read the call: %w", err)
	}
	c := callOf(&rec.Call)
	for _, t := range rec.Trail {
		c.Trail = append(c.Trail, CallMove{
			At: t.At, From: string(t.From), To: string(t.To), Attempt: t.Attempt, Outcome: string(t.Outcome), Status: t.Status,
			Duration: t.Took.Seconds(), Reason: t.Reason, By: t.By, Replica: t.Replica,
		})
	}
	c.Risk, c.Unopened = view.Risk, view.Unopened
	if q := view.Request; q != nil {
		c.Request = CallRequest{q.Method, q.URL, q.Header, q.Size, q.Key}
	}
	if a := view.Answer; a != nil {
		c.Result = CallResult{
			At: a.At, Status: a.Status, Header: a.Header, Body: a.Body, Encoding: a.Encoding, Truncated: a.Truncated, Source: string(a.Source), Code: string(a.Code), Detail: a.Detail,
			Executed: string(a.Executed), Attempts: a.Attempts, RequestID: a.RequestID, ErrorCode: a.Error, Message: a.Message, Hint: a.Hint,
			Evidence: Evidence{a.Evidence.Connected, int(a.Evidence.Written), a.Evidence.Complete, a.Evidence.Refused, a.Evidence.Answered},
		}
	}
	return c, nil
}

// callOf words what the outbox knows of a call.
func callOf(c *outbox.Call) Call {
	out := Call{
		ID: c.ID, Kind: string(c.Kind), Of: c.Of, Provider: c.Provider, Client: c.Client, Account: c.Account, Endpoint: c.Endpoint, Method: c.Method,
		Status: string(c.State), Outcome: string(c.Outcome), Answer: c.Status, Reason: c.Reason, Attempts: c.Attempt,
		Created: c.Created, Changed: c.Changed, Expires: c.Expires, Doubt: c.Doubt,
	}
	if c.State.Open() {
		out.Due = c.Due
	}
	return out
}

// actOnCalls does something to one page of the calls that match, or counts them
// all.
func (s *Server) actOnCalls(does func(*CallAct) (outbox.Doing, error), r *http.Request) (any, error) {
	var ask CallAct
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	d, err := does(&ask)
	if err != nil {
		return nil, err
	}
	if reflect.ValueOf(ask.Filter).IsZero() && !ask.All {
		return nil, refuse(http.StatusBadRequest, `Name some, or send "all": true.`, "a filter without a condition means every call")
	}
	if ask.Limit < 0 || ask.Limit > outbox.MaxPage {
		return nil, refuse(http.StatusBadRequest, "", "limit is not a number from 0 to %d", outbox.MaxPage)
	}
	f, err := callFilter(&ask.Filter, ask.Limit, ask.Cursor)
	if err != nil {
		return nil, err
	}
	if ask.DryRun {
		n, err := s.opt.Outbox.Count(r.Context(), f)
		if err != nil {
			return nil, fmt.Errorf("count the calls: %w", err)
		}
		return CallActed{Matched: n}, nil
	}
	done, err := s.opt.Outbox.Act(r.Context(), d, f, ask.Force, by(r))
	if err != nil {
		return nil, badCall(string(d), err)
	}
	return CallActed{Moved: len(done.Moved), Skipped: done.Skipped, Held: done.Held, Why: done.Why, Next: done.Next}, nil
}
