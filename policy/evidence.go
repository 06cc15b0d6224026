package policy

import "net/http"

// Reach is how far an attempt got, as far as that is known here.
type Reach uint8

// The steps of an attempt, in order.
const (
	ReachedNothing Reach = iota // no connection
	ReachedHost                 // a connection, but no TLS on it
	ReachedReady                // a connection that can be written to
	ReachedPart                 // bytes of the request were written
	ReachedAll                  // all of the request was
	ReachedAnswer               // a part of an answer came, not all of its headers
	ReachedHead                 // the headers of an answer came
	ReachedEnd                  // the answer came to its end
)

// Reached says how far the attempt got.
func (a *Attempt) Reached() Reach {
	switch {
	case a.Whole:
		return ReachedEnd
	case a.Answered:
		return ReachedHead
	case a.Begun:
		return ReachedAnswer
	case a.Complete && a.Written > 0:
		return ReachedAll
	case a.Written > 0:
		return ReachedPart
	case a.Connected:
		return ReachedReady
	case a.Dialled:
		return ReachedHost
	}
	return ReachedNothing
}

// Known says in a few words what is known about an attempt without an answer,
// for the log; "" if there was an answer.
func (a *Attempt) Known() string {
	switch {
	case a.Answered:
		return ""
	case a.Refused:
		return "refused unprocessed"
	}
	return [...]string{"not connected", "no TLS", "nothing sent", "partly sent", "all sent", "answer begun"}[a.Reached()]
}

// Executed says whether the provider may have acted on the call so far: on
// this attempt or, with another answer or none, on an earlier one.
func (a *Attempt) Executed() Executed {
	if own := a.Alone(); own != No || !a.Earlier {
		return own
	}
	return Maybe
}

// Alone says whether the provider may have acted on this attempt.
func (a *Attempt) Alone() Executed {
	switch {
	case a.Answered:
		return told(a.Status, a.Outcome)
	case !a.Connected, a.Written == 0, a.Refused:
		return No
	}
	return Maybe
}

// told is what an answer says of it. A redirect and a server error say nothing:
// they may come from something in front of the provider, or from its end.
func told(status int, o Outcome) Executed {
	if o == "" {
		o = OfStatus(status)
	}
	switch {
	case Harmless(status, o):
		return No
	case status >= 200 && status < 300 && o == OK:
		return Yes
	}
	return Maybe
}

// Harmless reports whether an answer says that nothing was done. A 408 does
// not: some providers answer so when their own back end was late. A 421 does
// (RFC 9110 §15.5.20), and so does a 425 (RFC 8470 §5.2).
func Harmless(status int, o Outcome) bool {
	switch o {
	case RateLimited, QuotaExhausted:
		return status != 0
	case ServerError, Timeout, Unreachable:
		return false
	}
	return status >= 400 && status < 500
}

// Effective reports whether a redirect follows an effect. The others ask for the
// same request at another place, or say that there was nothing to do.
func Effective(status int) bool {
	switch status {
	case http.StatusNotModified, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return false
	}
	return true
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

// Repeatable reports whether the call has one effect however often it is made:
// by its method, by its key, or because a stage sees to it.
func (x *Exchange) Repeatable() bool {
	return x.Keyed() || Idempotent(x.Request.Method) || x.Converges
}

// Doubtful reports whether nobody can tell if the call had its effect, and
// another one might have a second: its effect is unknown, and nothing makes a
// repeat safe. It is about all attempts so far.
func (x *Exchange) Doubtful() bool {
	return !x.Repeatable() && x.Unknown()
}

// Unknown reports whether nobody can tell if the call had its effect: the
// provider may have acted, no answer says what it did, and no look at it has
// shown it. It is about all attempts so far, and about an earlier call with the
// same key that nobody knows more of.
func (x *Exchange) Unknown() bool {
	switch {
	case x.Done:
		return false
	case x.Now.Executed() == No:
		return x.Unsure
	case !x.Now.Answered, x.Response == nil:
		return true
	}
	switch x.Outcome {
	case ServerError, Timeout, Unreachable:
		return true
	case Redirect:
		return x.Now.Earlier
	}
	return x.Now.Earlier && Harmless(x.Response.StatusCode, x.Outcome) // the answer is about this attempt alone
}

// Unretried says why a failed call was not sent again, although its class asks
// for that (header Postern-Unretried). It is "" where nothing asked.
type Unretried string

// The reasons.
const (
	UnretriedAttempts Unretried = "attempts" // none is left
	UnretriedUnsafe   Unretried = "unsafe"   // it might have had a second effect
	UnretriedSaved    Unretried = "saved"    // the provider keeps this answer for the key
	UnretriedBody     Unretried = "body"     // there is no copy of it to send
	UnretriedWait     Unretried = "wait"     // the provider asks for a longer one than the call may take
	UnretriedBudget   Unretried = "budget"   // the provider gets no more retries for now
	UnretriedRefused  Unretried = "refused"  // by a stage: a breaker, a limit, a credential
)
