package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// An Error is why there is no token, or why one was not revoked. At most one of
// Revoked, Temporary and Misconfigured holds; if none does, the server refused
// for a reason that is not known here, and asking again will not help.
type Error struct {
	Code        string        // of RFC 6749 §5.2, or the provider's own; "" if the server gave none
	Description string        // the server's words, cleaned and without our secrets; may be ""
	Status      int           // of the answer; 0 if there was none
	Executed    bool          // the server may have acted; false means that it surely has not
	RetryAfter  time.Duration // that the server asked for; 0 if it did not. At most a day
	Err         error         // what went wrong besides; may be nil

	at    string // what was being done
	setup bool   // we did not even send it
}

// setup is an error of ours: nothing was sent.
func setup(at string, err error) *Error { return &Error{Err: err, at: at, setup: true} }

// Error says what was being done and what came of it, without secrets.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(or(e.at, "the authorization server"))
	switch {
	case e.setup:
		b.WriteString(" was not tried")
	case e.Status != 0:
		fmt.Fprintf(&b, ": the authorization server answered %d", e.Status)
	case e.Code == "" && e.Executed:
		b.WriteString(": no answer from the authorization server, which may have acted")
	case e.Code == "":
		b.WriteString(": the authorization server was not reached")
	default:
		b.WriteString(" was refused")
	}
	for _, part := range []string{e.Code, e.Description} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Revoked reports whether the grant (the code, the refresh token, the assertion)
// is good for nothing any more: a person has to grant again. It is never asked
// with again.
func (e *Error) Revoked() bool { return e.class() == revoked }

// Temporary reports whether the same may work later: the server failed, was
// busy, or was not reached. Before it is sent again, see Ambiguous.
func (e *Error) Temporary() bool { return e.class() == temporary }

// Misconfigured reports whether the registration or the policy has to be
// changed: wrong credentials, scopes, URLs; also what was not sent for a reason
// of our own.
func (e *Error) Misconfigured() bool {
	c := e.class()
	return c == misconfigured || c == badClient
}

// ClientRefused reports whether the server does not take the client's
// credentials: another secret or key of the same client may do. It is a case of
// Misconfigured.
func (e *Error) ClientRefused() bool { return e.class() == badClient }

// Denied reports whether a person, or the server for them, said no to the
// authorization request.
func (e *Error) Denied() bool { return codes[e.Code] == denied }

// Ambiguous reports whether it is unknown if the grant was used up: the server
// may have acted, and did not say how that ended. A refresh token that rotates
// may be dead, and its successor lost.
func (e *Error) Ambiguous() bool {
	if !e.Executed || e.Code != "" {
		return false
	}
	return e.Status < 300 || e.Status >= 500
}

// class is what e means. A server that fails is believed in nothing else.
func (e *Error) class() class {
	switch {
	case e.setup:
		return misconfigured
	case e.Status >= 500, e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooEarly:
		return temporary
	}
	switch c := codes[e.Code]; {
	case c == doubtful && aboutRefresh(e.Description):
		return revoked
	case c == doubtful:
		return misconfigured
	case c != unknown:
		return c
	}
	switch e.Status {
	case 0:
		if e.Code == "" && !errors.Is(e.Err, context.Canceled) {
			return temporary
		}
	case http.StatusUnauthorized:
		return badClient // RFC 6749 §5.2
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return misconfigured
	}
	if e.Status >= 300 && e.Status < 400 {
		return misconfigured
	}
	return unknown
}

// aboutRefresh reports whether a description says that the refresh token is no
// good: "refresh_token is invalid" (Atlassian), "The provided authorization
// grant or refresh token is invalid, expired or revoked" (LinkedIn), "Invalid
// Token!" (Zoom).
func aboutRefresh(description string) bool {
	d := strings.ReplaceAll(strings.ToLower(description), "_", " ")
	if d == "invalid token!" {
		return true
	}
	bad := strings.Contains(d, "invalid") || strings.Contains(d, "expired") || strings.Contains(d, "revoked")
	return bad && strings.Contains(d, "refresh token")
}
