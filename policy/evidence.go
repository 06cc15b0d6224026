package policy

import "net/http"

// Harmless reports whether an answer says that nothing was done. A 408 does
// not: some providers answer so when their own back end was late.
func Harmless(status int, o Outcome) bool {
	switch o {
	case RateLimited, QuotaExhausted:
		return status != 0
	case ServerError, Timeout, Unreachable:
		return false
	}
	return status >= 400 && status < 500
}

// Idempotent reports whether a method has the effect of one call however often it
// is made (RFC 9110 §9.2.2).
func Idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Keyed reports whether the call bears a key by which the provider knows a
// repeat.
func (x *Exchange) Keyed() bool { return x.Key.Value != "" && !x.Key.Local }

// Doubtful reports whether nobody can tell if the call had its effect, and
// another one might have a second: the provider may have acted, no answer says
// what it did, and neither the method nor a key makes a repeat safe. It is about
// all attempts so far.
func (x *Exchange) Doubtful() bool {
	if Idempotent(x.Request.Method) || x.Keyed() || x.Now.Executed() == No {
		return false
	}
	if !x.Now.Answered || x.Response == nil {
		return true
	}
	switch x.Outcome {
	case ServerError, Timeout, Unreachable:
		return true
	}
	return x.Now.Earlier && Harmless(x.Response.StatusCode, x.Outcome) // the answer is about this attempt alone
}
