package outbox

import (
	"slices"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// State is where a call is in its life.
type State string

// The states.
const (
	Accepted   State = "accepted"   // on disk, due to be sent
	Sending    State = "sending"    // leased: it is being sent
	Retrying   State = "retrying"   // not done yet, due again later
	Done       State = "done"       // the provider has answered it, and it had its effect
	Failed     State = "failed"     // given up; a person may replay it
	Unknown    State = "unknown"    // nobody knows whether it had its effect; a person or a command resolves it
	Superseded State = "superseded" // a later call of the application's did the same
	Discarded  State = "discarded"  // never to be sent
)

// States lists all states in the order of a life.
var States = [...]State{Accepted, Sending, Retrying, Done, Failed, Unknown, Superseded, Discarded}

// moves is the whole state machine. docs/outbox.md draws it, and a test compares
// the two. Sending to itself is the claim of a call whose lease ran out.
var moves = map[State][]State{
	Accepted:   {Sending, Superseded, Discarded},
	Sending:    {Sending, Done, Retrying, Failed, Unknown, Accepted},
	Retrying:   {Sending, Superseded, Discarded},
	Done:       {},
	Failed:     {Accepted, Superseded, Discarded},
	Unknown:    {Accepted, Done, Failed, Superseded, Discarded},
	Superseded: {Accepted},
	Discarded:  {Accepted},
}

// Legal reports whether the state machine has a move from one state to another.
func Legal(from, to State) bool { return slices.Contains(moves[from], to) }

// Open reports whether a call in this state will be sent without anybody's doing.
func (s State) Open() bool { return s == Accepted || s == Sending || s == Retrying }

// Waits reports whether a call in this state waits for a person.
func (s State) Waits() bool { return s == Failed || s == Unknown }

// Kind is how a call came here.
type Kind string

// The kinds.
const (
	Async      Kind = "async"      // the application handed it over
	DeadLetter Kind = "deadletter" // it was made at once, and has failed
	Callback   Kind = "callback"   // what came of an async call, on its way to the application
)

// Call is one call as it is kept. What is in Request and Result is sealed.
type Call struct {
	ID       string // a UUIDv7, unique; the correlation id of the exchange that brought it
	Kind     Kind
	Of       string // the call that a callback is about
	Provider string
	Client   string // "" if none is declared
	Account  string
	Endpoint string // label
	Method   string
	Target   string // whom the work is for, see [queue.Item]

	// Lane is what calls are in order with: they are sent one after the other, in
	// the order in which they were accepted. "" is no order.
	Lane string
	// Once is a digest of the key, in its scope: another async call that has it is
	// the same call. nil for none.
	Once []byte
	// Key is a digest of the key, and Print one of what was asked for, each in its
	// scope: by these a later call is known to be the same. nil for none.
	Key, Print []byte

	State   State
	Outcome policy.Outcome // of the last sending
	Status  int            // the provider's, 0 for none
	Reason  string         // of the last move
	Attempt int            // sendings from the outbox that count
	Wait    time.Duration  // before this attempt

	Created time.Time
	Changed time.Time // of the last move
	Due     time.Time // the next attempt, or the end of the lease; otherwise the last move
	Expires time.Time // after it there is no other attempt; zero is never
	// Doubt is when a sending began that may have had an effect, the first of
	// those of which no answer tells; zero for none.
	Doubt time.Time
	// Forced says that a person wants it sent whatever the doubt.
	Forced bool

	Request []byte // sealed [Request]
	Result  []byte // sealed [Result]; nil if there is none yet
}

// Move ends the attempt of a claimed call.
type Move struct {
	To      State
	Due     time.Time // when the next attempt is due, if To is open
	Attempt int       // attempts made so far that count
	Wait    time.Duration
	Outcome policy.Outcome
	Status  int
	Took    time.Duration
	Reason  string // a short sentence, fit for logs
	Doubt   time.Time
	Result  []byte // sealed; nil leaves the one before
	// Then is stored in the same transaction; nil for nothing.
	Then *Call
}

// Transition is one line of the audit trail.
type Transition struct {
	ID       string // of the call
	Kind     Kind
	Provider string
	Account  string
	At       time.Time
	From, To State // From is "" where the call came to be
	Attempt  int
	Outcome  policy.Outcome
	Status   int
	Took     time.Duration
	Reason   string
	By       string // who asked for it, "" for Postern itself
	Replica  string // the process that made the move
}
