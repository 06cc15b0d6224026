package policy

import (
	"net/http"
	"slices"
)

// Outcome is what became of a call or of one attempt: the closed set that
// policies, headers, logs, metrics and problems share.
type Outcome string

// The outcome classes.
const (
	OK             Outcome = "ok"
	Redirect       Outcome = "redirect"
	Validation     Outcome = "validation"
	Auth           Outcome = "auth"
	Forbidden      Outcome = "forbidden"
	NotFound       Outcome = "not_found"
	Conflict       Outcome = "conflict"
	RateLimited    Outcome = "rate_limited"
	QuotaExhausted Outcome = "quota_exhausted"
	ClientError    Outcome = "client_error"
	ServerError    Outcome = "server_error"
	Unreachable    Outcome = "unreachable"
	Timeout        Outcome = "timeout"
	Cancelled      Outcome = "cancelled"
	Denied         Outcome = "denied"
)

// Outcomes lists every class, in the order of the documentation.
func Outcomes() []Outcome {
	return []Outcome{
		OK, Redirect, Validation, Auth, Forbidden, NotFound, Conflict, RateLimited, QuotaExhausted,
		ClientError, ServerError, Unreachable, Timeout, Cancelled, Denied,
	}
}

// Valid reports whether o is one of the classes.
func (o Outcome) Valid() bool { return slices.Contains(Outcomes(), o) }

// OfStatus is the class of an answer by its status alone (RFC 9110 §15).
func OfStatus(status int) Outcome {
	switch {
	case status < 300:
		return OK
	case status < 400:
		return Redirect
	case status >= 500:
		return ServerError
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return Validation
	case http.StatusUnauthorized:
		return Auth
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusRequestTimeout:
		return Timeout
	}
	return ClientError
}

// AnswerSource says who made an answer (header Postern-Source).
type AnswerSource string

// The sources of an answer.
const (
	FromProvider AnswerSource = "provider"
	FromPostern  AnswerSource = "postern"
	Replayed     AnswerSource = "replay"     // by the provider to an earlier call with the same idempotency key
	Reconciled   AnswerSource = "reconciled" // made of what a look at the provider found
	Stale        AnswerSource = "stale"      // by the provider to an earlier call: it cannot be asked now
)

// Executed says whether the provider possibly acted on a call (header
// Postern-Executed).
type Executed string

// The three degrees of knowledge.
const (
	No    Executed = "no"
	Maybe Executed = "maybe"
	Yes   Executed = "yes"
)
