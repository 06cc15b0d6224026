package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// A Granted describes a credential whose value is a token that Postern is given
// by the provider.
type Granted struct {
	Name       string // of the kind
	Summary    string
	Server     *Server
	Source     *connection.Source
	PerAccount bool // each account has a token of its own; otherwise all share one

	// Stub reports whether an SDK asks for a token by itself with r, and the name
	// that the token has in the answer, "" for access_token. It is nil where none
	// does.
	Stub func(r *http.Request, account string) (token string, ok bool)
	// Own makes the value for a call that is not for an account's token, such as
	// one that an App makes as itself; ok is false for all others. It may be nil.
	Own func(r *http.Request) (value string, ok bool, err error)
}

// Granted compiles such a credential for one scope.
func (l *Live) Granted(g Granted) policy.Stage {
	t := &granted{Granted: g, live: l, clock: l.Clock(g.Source.Provider)}
	return policy.Stage{
		Summary: g.Summary, Holds: g.Source, Places: g.Server.BaseURL != nil, Answer: t.before,
		ReadsAnswer: true, // to mask what is in it
		Slots:       []policy.Slot{{In: policy.InHeader, Name: http.CanonicalHeaderKey(g.Server.Header)}},
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) { return t.send(r, next) })
		},
	}
}

// granted is the stage.
type granted struct {
	Granted
	live  *Live
	clock *Clock
}

// account is the one that a call's token is kept under.
func (t *granted) account(x *policy.Exchange) string {
	if t.PerAccount {
		return x.Account
	}
	return ""
}

// prepared is what is made of a token once.
type prepared struct {
	header []string
	echo   *echo
	print  string   // its fingerprint
	base   *url.URL // nil if the account has no host of its own
}

func (t *granted) prepare(tok *connection.Token) *prepared {
	if p, ok := tok.Memo.Load().(*prepared); ok {
		return p
	}
	p := &prepared{header: []string{t.worded(tok.Value)}, echo: newEcho(tok.Value), print: block.Fingerprint(tok.Value)}
	if tok.BaseURL != "" {
		p.base, _ = url.Parse(tok.BaseURL) // was made by us
	}
	tok.Memo.Store(p)
	return p
}

func (t *granted) worded(value string) string {
	if t.Server.Scheme == "" {
		return value
	}
	return t.Server.Scheme + " " + value
}

// send puts the token into one attempt, and reads what the provider thinks of it.
func (t *granted) send(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	x := policy.From(r.Context())
	if err := inClear(r, x); err != nil {
		return nil, err
	}
	if t.Own != nil {
		if value, ok, err := t.Own(r); err != nil {
			return nil, unavailable(err)
		} else if ok {
			return t.sendOwn(r, x, next, value)
		}
	}
	tok, err := t.token(r.Context(), x)
	if err != nil {
		return nil, err
	}
	p := t.prepare(tok)
	if err := t.place(r, p.base); err != nil {
		return nil, err
	}
	policy.PutHeader(r.Header, t.Server.Header, p.header)
	x.Carries(p.print)
	m := t.live.masking(x, p.echo)
	resp, err := t.timed(next, m.listen(r), x)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized || x.Outcome == policy.Auth {
		if t.live.Keeper.Refused(t.Source, tok) {
			x.Fresh = true
			x.Note("credential", "refused", "the provider refused the token; a new one is asked for")
		}
	} else {
		t.live.Keeper.Accepted(t.Source, tok)
	}
	m.take(resp)
	return resp, nil
}

// sendOwn sends a call that bears another value than the account's token.
func (t *granted) sendOwn(r *http.Request, x *policy.Exchange, next http.RoundTripper, value string) (*http.Response, error) {
	m := t.live.masking(x, newEcho(value))
	policy.SetHeader(r.Header, t.Server.Header, t.worded(value))
	resp, err := t.timed(next, m.listen(r), x)
	if err != nil {
		return nil, err
	}
	m.take(resp)
	return resp, nil
}

// timed sends r, and learns the provider's time from the answer.
func (t *granted) timed(next http.RoundTripper, r *http.Request, x *policy.Exchange) (*http.Response, error) {
	start := time.Now()
	resp, err := next.RoundTrip(r)
	if err == nil {
		now := time.Now()
		t.clock.measure(resp, start, now)
		t.clock.blame(x, resp.StatusCode, now)
	}
	return resp, err
}

// token is one that is valid now.
func (t *granted) token(ctx context.Context, x *policy.Exchange) (*connection.Token, error) {
	if t.live.Keeper == nil {
		return nil, unavailable(errors.New("there is no store of connections here"))
	}
	if t.PerAccount && x.Account == "" && !t.Source.Person {
		return nil, &policy.Denial{
			Code: policy.AccountUnknown, Stage: "credential", Detail: "each account of " + t.Source.Provider + " has a token of its own, and the call names none",
			Hint: "Name the account: Postern-Account, user+account in the proxy's credentials, or /p/" + t.Source.Provider + "@ACCOUNT/ in a base URL.",
		}
	}
	return t.live.await(ctx, x, t.Source, t.account(x))
}

// await is an account's token, for which a call waits as long as it may last. The
// clock of the attempt stands still meanwhile.
func (l *Live) await(ctx context.Context, x *policy.Exchange, s *connection.Source, account string) (*connection.Token, error) {
	tok, waited, err := l.Keeper.Token(ctx, x.Total, s, account)
	x.Stood(waited)
	if err != nil {
		return nil, denied(err, s, x.Account)
	}
	return tok, nil
}

// place makes r go to where the account's API is. A token does not go to the
// host of another account, although the provider has both; nor, if nobody knows
// where the account's is, to any that accounts have.
func (t *granted) place(r *http.Request, base *url.URL) error {
	anywhere := base == nil && t.Server.BaseURL == nil
	switch {
	case r.URL.Host != policy.Nowhere && (anywhere || base != nil && base.Host == r.URL.Host || t.named(r.URL)):
		return nil
	case base == nil:
		return &policy.Denial{
			Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the provider did not say where this account's API is",
			Hint: "Nothing was sent: a token goes where base_url finds the account's API in the provider's answer. See what that says, and have the account connected again.",
		}
	case r.URL.Host != policy.Nowhere:
		return &policy.Denial{
			Code: policy.HostMismatch, Stage: "credential", Detail: fmt.Sprintf("this account's API is at %s, and the call is for %s", base.Host, r.URL.Host),
			Hint: "Call the account's own host, or use a base URL, which finds it.",
		}
	}
	r.URL.Host, r.Host = base.Host, base.Host
	return nil
}

// named reports whether the policy names the very host, which all accounts have.
func (t *granted) named(u *url.URL) bool {
	return slices.ContainsFunc(t.Server.hosts, func(h policy.Host) bool { return h.Exact() && h.Covers(u.Hostname(), u.Port()) })
}

// inClear refuses to send a credential in clear text, unless the policy itself
// names where to.
func inClear(r *http.Request, x *policy.Exchange) error {
	if r.URL.Scheme == "https" || x.Plan.Upstream != nil {
		return nil
	}
	return &policy.Denial{
		Code: policy.NotAllowed, Stage: "credential", Detail: "the call would carry a credential in clear text",
		Hint: "Call https, or name the plain host as this provider's upstream.",
	}
}

// unavailable words why there is nothing to put into a call.
func unavailable(err error) error {
	if d := (*policy.Denial)(nil); errors.As(err, &d) {
		return err
	}
	do, why := block.Cure(err)
	return &policy.Denial{
		Code: policy.CredentialUnavailable, Stage: "credential", Detail: "the credential of this call is not available: " + err.Error(),
		Hint: "Where Postern runs, " + do + ": " + why + ".",
	}
}
