package policy

import (
	"fmt"
	"net/http"
	"time"
)

// Code names a refusal or failure made here; codes are promises to programs.
type Code string

// The codes of problems (docs/errors.md says cause and cure of each).
const (
	NoProvider            Code = "no_provider"
	NotAllowed            Code = "not_allowed"
	ClientRequired        Code = "client_required"
	ClientRefused         Code = "client_refused"
	HostMismatch          Code = "host_mismatch"
	BadRequest            Code = "bad_request"
	AccountUnknown        Code = "account_unknown"
	NeedsConnection       Code = "needs_connection"
	CredentialUnavailable Code = "credential_unavailable"
	Limited               Code = "limited"
	BreakerOpen           Code = "breaker_open"
	IdempotencyRequired   Code = "idempotency_required"
	IdempotencyMismatch   Code = "idempotency_mismatch"
	IdempotencyInFlight   Code = "idempotency_in_flight"
	CodeUnreachable       Code = "unreachable"
	UpstreamTimeout       Code = "upstream_timeout"
	BodyTooLarge          Code = "body_too_large"
	ContractInput         Code = "contract_input"
	ContractOutput        Code = "contract_output"
	NotReady              Code = "not_ready"
	ShuttingDown          Code = "shutting_down"
)

// problem is what a code always means.
type problem struct {
	status    int
	outcome   Outcome
	title     string
	retryable bool // sending the same call again later can succeed
}

var problems = map[Code]problem{
	NoProvider:            {http.StatusForbidden, Denied, "No provider names this host", false},
	NotAllowed:            {http.StatusForbidden, Denied, "This call is outside what the policy allows", false},
	ClientRequired:        {http.StatusProxyAuthRequired, Denied, "Proxy credentials are required", false},
	ClientRefused:         {http.StatusProxyAuthRequired, Denied, "These proxy credentials are refused", false},
	HostMismatch:          {http.StatusMisdirectedRequest, Denied, "The request names more than one host", false},
	BadRequest:            {http.StatusBadRequest, Validation, "The request is malformed or ambiguous", false},
	AccountUnknown:        {http.StatusFailedDependency, Denied, "No connection of this account exists", false},
	NeedsConnection:       {http.StatusFailedDependency, Denied, "The account has to be connected first", false},
	CredentialUnavailable: {http.StatusServiceUnavailable, Unreachable, "No credential is available for this call", true},
	Limited:               {http.StatusTooManyRequests, RateLimited, "A rate limit of this policy is reached", true},
	BreakerOpen:           {http.StatusServiceUnavailable, Unreachable, "The provider has been failing and is being spared", true},
	IdempotencyRequired:   {http.StatusBadRequest, Validation, "This call needs an idempotency key", false},
	IdempotencyMismatch:   {http.StatusUnprocessableEntity, Conflict, "The idempotency key was used for another payload", false},
	IdempotencyInFlight:   {http.StatusConflict, Conflict, "A call with this idempotency key is still running", true},
	CodeUnreachable:       {http.StatusBadGateway, Unreachable, "The provider could not be reached, or the connection broke", true},
	UpstreamTimeout:       {http.StatusGatewayTimeout, Timeout, "The provider did not answer in time", true},
	BodyTooLarge:          {http.StatusRequestEntityTooLarge, Validation, "The request body is too large for what this policy does with it", false},
	ContractInput:         {http.StatusBadRequest, Validation, "The contract's input does not fit", false},
	ContractOutput:        {http.StatusBadGateway, ServerError, "The provider's answer does not fit the contract", false},
	NotReady:              {http.StatusServiceUnavailable, Unreachable, "Postern is not ready yet", true},
	ShuttingDown:          {http.StatusServiceUnavailable, Unreachable, "Postern is shutting down", true},
}

// Codes lists every code with its status, for documentation and tests.
func Codes() map[Code]int {
	out := make(map[Code]int, len(problems))
	for c, p := range problems {
		out[c] = p.status
	}
	return out
}

// Status is the HTTP status that goes with c; 500 if c is not a code.
func (c Code) Status() int {
	if p, ok := problems[c]; ok {
		return p.status
	}
	return http.StatusInternalServerError
}

// Outcome is the class that goes with c.
func (c Code) Outcome() Outcome {
	if p, ok := problems[c]; ok {
		return p.outcome
	}
	return Denied
}

// Title is the short sentence that goes with c.
func (c Code) Title() string { return problems[c].title }

// Retryable reports whether the same call can succeed later, unchanged.
func (c Code) Retryable() bool { return problems[c].retryable }

// A Denial is a refusal or failure made here. Stages and the transport return
// it as their error; package proxy turns it into a response, in one place.
type Denial struct {
	Code       Code
	Stage      string        // who said no, such as "limit"
	Detail     string        // what happened, for a person; never a secret
	Hint       string        // what to do next
	RetryAfter time.Duration // if positive, when to try again
	Executed   Executed      // empty means No
	Err        error         // the cause, for the log only
}

func (d *Denial) Error() string {
	s := fmt.Sprintf("%s: %s: %s", d.Stage, d.Code, d.Detail)
	if d.Err != nil {
		s += ": " + d.Err.Error()
	}
	return s
}

func (d *Denial) Unwrap() error { return d.Err }
