package outbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/policy"
)

// View is what is shown of one call. No credential is in it: none was kept, and
// what an application sent that looks like one is blackened.
type View struct {
	ID       string         `json:"id"`
	Kind     Kind           `json:"kind"`
	Provider string         `json:"provider"`
	Account  string         `json:"account,omitempty"`
	Endpoint string         `json:"endpoint,omitempty"`
	Status   State          `json:"status"`
	Outcome  policy.Outcome `json:"outcome,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Attempts int            `json:"attempts"`
	Request  *ViewRequest   `json:"request,omitempty"`
	Answer   *ViewAnswer    `json:"answer,omitempty"`
	Risk     string         `json:"risk,omitempty"`     // why a replay may have a second effect
	Unopened string         `json:"unopened,omitempty"` // why what is kept cannot be shown
}

// ViewRequest is what was asked for.
type ViewRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Size   int         `json:"size"`
	Key    string      `json:"idempotency_key,omitempty"`
}

// ViewAnswer is what came of the last sending.
type ViewAnswer struct {
	At        time.Time           `json:"at"`
	Status    int                 `json:"status,omitempty"`
	Header    http.Header         `json:"header,omitempty"`
	Body      string              `json:"body,omitempty"`
	Encoding  string              `json:"encoding,omitempty"` // base64 where the body is no text
	Truncated bool                `json:"truncated,omitempty"`
	Source    policy.AnswerSource `json:"source,omitempty"`
	Code      policy.Code         `json:"code,omitempty"`
	Detail    string              `json:"detail,omitempty"`
	Executed  policy.Executed     `json:"executed"`
	Attempts  int                 `json:"attempts"`
	Trail     []policy.Try        `json:"-"`
	Evidence  Evidence            `json:"evidence"`

	RequestID string `json:"provider_request_id,omitempty"`
	Error     string `json:"provider_code,omitempty"`
	Message   string `json:"provider_message,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// shy are words in the name of a header or a parameter whose value is not shown.
var shy = []string{"authorization", "auth", "token", "apikey", "key", "secret", "password", "cookie", "session", "sessionid", "signature", "sig", "assertion", "jwt", "credential"}

// isShy reports whether a name says that it is one of a credential.
func isShy(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	return !slices.Contains(words, "idempotency") && slices.ContainsFunc(words, func(w string) bool { return slices.Contains(shy, w) })
}

const notShown = "[not shown]"

// shownURL is a URL without the values of such parameters.
func shownURL(raw string) string {
	before, query, found := strings.Cut(raw, "?")
	if !found {
		return raw
	}
	pairs := strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' })
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil && isShy(plain) {
			pairs[i] = name + "=" + notShown
		}
	}
	return before + "?" + strings.Join(pairs, "&")
}

// view opens what is sealed in a record, for people.
func (o *Outbox) view(r *Record) (*View, error) {
	v := &View{
		ID: r.ID, Kind: r.Kind, Provider: r.Provider, Account: r.Account, Endpoint: r.Endpoint, Status: r.State, Outcome: r.Outcome, Reason: r.Reason, Attempts: r.Attempt,
	}
	ring, err := o.opt.Ring()
	if err != nil {
		return nil, err
	}
	if len(r.Request) > 0 {
		kept := new(Request)
		if err := opened(ring, &r.Call, "request", r.Request, kept); err != nil {
			return nil, err
		}
		v.Request = &ViewRequest{Method: kept.Method, URL: shownURL(string(kept.URL)), Header: http.Header(kept.Header), Size: len(kept.Body), Key: kept.Key}
		for name := range kept.Header {
			if isShy(name) {
				kept.Header[name] = []string{notShown}
			}
		}
		if u, err := url.Parse(string(kept.URL)); err == nil {
			v.Risk = risk(&r.Call, kept.Told, o.planOf(r.Provider, r.Method, u.EscapedPath()), time.Now())
		}
	}
	if len(r.Result) == 0 {
		return v, nil
	}
	res := new(Result)
	if err := opened(ring, &r.Call, "result", r.Result, res); err != nil {
		return nil, err
	}
	v.Answer = &ViewAnswer{
		At: res.At, Status: res.Status, Header: http.Header(res.Header), Truncated: res.Truncated, Source: res.Source, Code: res.Code, Detail: res.Detail, Executed: res.Executed,
		Attempts: res.Attempts, Trail: res.Trail, Evidence: res.Evidence, RequestID: res.ProviderRequestID, Error: res.ProviderCode, Message: res.ProviderMessage, Hint: res.Hint,
	}
	if v.Answer.Body = string(res.Body); !utf8.Valid(res.Body) {
		v.Answer.Body, v.Answer.Encoding = base64.StdEncoding.EncodeToString(res.Body), "base64"
	}
	return v, nil
}

// List returns one page of calls, the newest first.
func (o *Outbox) List(ctx context.Context, f Filter) (Page, error) { return o.opt.Store.List(ctx, f) }

// Count returns how many calls match, whatever limit and cursor.
func (o *Outbox) Count(ctx context.Context, f Filter) (int, error) { return o.opt.Store.Count(ctx, f) }

// Stats counts calls by provider, kind and state.
func (o *Outbox) Stats(ctx context.Context) ([]Stat, error) { return o.opt.Store.Stats(ctx) }

// Show returns one call, its audit trail, and what is kept of it; or [ErrNotFound].
// What is sealed and cannot be opened is left out, with the reason.
func (o *Outbox) Show(ctx context.Context, id string) (*Record, *View, error) {
	r, err := o.opt.Store.Show(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	v, err := o.view(r)
	if err != nil {
		v = &View{ID: r.ID, Kind: r.Kind, Provider: r.Provider, Status: r.State, Unopened: err.Error()}
	}
	return r, v, nil
}

// Doing is what a person may do to calls.
type Doing string

// What there is to do.
const (
	Replay      Doing = "replay"       // send again what has failed
	Discard     Doing = "discard"      // never send
	Executed    Doing = "executed"     // an unknown one had its effect
	NotExecuted Doing = "not_executed" // an unknown one had none
)

var actions = map[Doing]Action{
	Replay:      {From: []State{Failed}, To: Accepted},
	Discard:     {From: []State{Accepted, Retrying, Failed, Unknown}, To: Discarded},
	Executed:    {From: []State{Unknown}, To: Done},
	NotExecuted: {From: []State{Unknown}, To: Failed, Clear: true},
}

// forcible are the states from which only a replay that is forced starts.
var forcible = []State{Unknown, Superseded, Discarded}

// Known reports whether d is something to do.
func (d Doing) Known() bool { _, ok := actions[d]; return ok }

// Acted is what came of one page of something that was done.
type Acted struct {
	Moved   []Transition
	Skipped int      // calls in a state that it does not apply to
	Held    int      // calls that would be replayed, but for a risk: see Why
	Why     []string // for some of those
	Next    string   // the cursor of the next page, "" when done
}

// whys is how many reasons are told.
const whys = 5

// Act does d to one page of the calls that match f. by names who asked and stands
// in the audit trail. A replay that may have a second effect, and one of a call
// that was superseded or discarded, is made only if it is forced. Go on with
// f.Cursor = Acted.Next: what was interrupted can be resumed.
func (o *Outbox) Act(ctx context.Context, d Doing, f Filter, force bool, by string) (done Acted, err error) {
	if !d.Known() {
		return done, errors.New("unknown action: use replay, discard, executed or not_executed")
	}
	page, err := o.opt.Store.List(ctx, f)
	if err != nil {
		return done, err
	}
	for i := range page.Calls {
		if err := o.act(ctx, d, &page.Calls[i], force, by, &done); err != nil {
			return done, err // what was done stays done
		}
	}
	done.Next = page.Next
	if len(done.Moved) > 0 {
		o.dispatch.Wake()
	}
	return done, nil
}

func (o *Outbox) act(ctx context.Context, d Doing, c *Call, force bool, by string, done *Acted) error {
	a := actions[d]
	a.By, a.Reason = by, string(d)
	if d == Replay {
		if c.Kind == Callback && !force && slices.Contains(a.From, c.State) {
			force = true // to be told twice does no harm
		}
		if force {
			a.From, a.Force = append(slices.Clone(a.From), forcible...), true
		}
		why, plan, err := o.hold(ctx, c, force)
		if err != nil {
			return err
		}
		if why != "" {
			done.Held++
			if len(done.Why) < whys {
				done.Why = append(done.Why, c.ID+": "+why)
			}
			return nil
		}
		if a.Life = scheduleOf(plan).Lifetime.Duration; looks(plan) {
			a.From = append(slices.Clone(a.From), Unknown) // it is looked for first
		}
	}
	t, err := o.opt.Store.Act(ctx, c.ID, a)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && t == nil:
		done.Skipped++
		return nil
	case err != nil:
		return fmt.Errorf("%s of call %s: %w", d, c.ID, err)
	}
	if !t.To.Waits() && !t.To.Open() {
		o.index.remove(c.ID)
	}
	o.opt.Observer.moved(t)
	done.Moved = append(done.Moved, *t)
	return nil
}

// hold says why a call is not replayed, "" if it is, and by which plan it is sent
// then.
func (o *Outbox) hold(ctx context.Context, c *Call, force bool) (why string, plan *policy.Plan, err error) {
	rec, err := o.opt.Store.Show(ctx, c.ID)
	if errors.Is(err, ErrNotFound) {
		return "", nil, nil // found out again where it is moved
	}
	if err != nil {
		return "", nil, err
	}
	plan = o.planOf(c.Provider, c.Method, "/")
	if c.Kind != Callback {
		kept := new(Request)
		ring, err := o.opt.Ring()
		if err == nil {
			err = opened(ring, &rec.Call, "request", rec.Request, kept)
		}
		if err != nil {
			return "what is kept of it cannot be opened: " + err.Error(), nil, nil
		}
		if u, err := url.Parse(string(kept.URL)); err == nil {
			plan = o.planOf(c.Provider, c.Method, u.EscapedPath())
		}
		if !force && rec.State == Failed {
			rec.Forced = false
			why = risk(&rec.Call, kept.Told, plan, time.Now())
		}
		if !force && slices.Contains(forcible, rec.State) && !(rec.State == Unknown && looks(plan)) {
			why = map[State]string{
				Unknown:    "nobody knows whether it had its effect: resolve it",
				Superseded: "a later call of the application's did the same",
				Discarded:  "it was discarded",
			}[rec.State]
		}
		if plan == nil {
			why = "the policy has no provider " + c.Provider + " any more, so nothing would send it"
		}
	}
	return why, plan, nil
}
