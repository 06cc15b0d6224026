package inbound

import (
	"net/http"
	"slices"
	"time"

	"github.com/postern-proxy/postern/queue"
)

// State is where one delivery of an event is in its life.
type State string

// The states. An event with several targets has one delivery, and so one state,
// for each; see [Status] for the event as a whole.
const (
	Received    State = "received"    // on disk, acknowledged, due for delivery
	Processing  State = "processing"  // leased: the application is being called
	Applied     State = "applied"     // the application accepted it
	Retrying    State = "retrying"    // not accepted yet, due again later
	Failed      State = "failed"      // given up; a person may replay it
	Quarantined State = "quarantined" // does not fit; a person may release it
	Ignored     State = "ignored"     // kept, not delivered
	Conflict    State = "conflict"    // another body under a known id; a person may release it
)

// States lists all states in the order of a life.
var States = [...]State{Received, Processing, Retrying, Applied, Failed, Quarantined, Conflict, Ignored}

// moves is the whole state machine. docs/inbox.md draws it, and a test compares
// the two. Processing to itself is the claim of a delivery whose lease ran out.
var moves = map[State][]State{
	Received:    {Processing, Ignored},
	Processing:  {Processing, Applied, Retrying, Failed, Received, Ignored, Quarantined},
	Retrying:    {Processing, Ignored},
	Applied:     {Received},
	Failed:      {Received, Ignored},
	Quarantined: {Received, Ignored},
	Conflict:    {Received, Ignored},
	Ignored:     {Received},
}

// Legal reports whether the state machine has a move from one state to another.
func Legal(from, to State) bool { return slices.Contains(moves[from], to) }

// Open reports whether a delivery in this state will still be attempted without
// anybody's doing.
func (s State) Open() bool { return s == Received || s == Processing || s == Retrying }

// Status is the state of an event whose deliveries are in these states: that of
// the one furthest from its end.
func Status(deliveries []State) State {
	for _, s := range [...]State{Processing, Retrying, Received, Failed, Quarantined, Conflict, Applied} {
		if slices.Contains(deliveries, s) {
			return s
		}
	}
	return Ignored
}

// Event is one webhook as it was received.
type Event struct {
	ID       string // Postern's own, a UUIDv7; also the correlation id of the request
	Webhook  string
	Account  string
	EventID  string // the provider's; with Webhook and Account it is the dedupe key
	Variant  int    // 1, or more for another body under the same key
	Weak     bool   // EventID is a digest of the event: the provider gives none
	Verified bool   // false for the scheme none
	Proof    Proof  // how it was verified
	Parent   string // ID of the event that this one is an item of; "" if it came by itself
	Items    int    // of how many events this is the request that brought them; such a one is never delivered. 0 for an event
	Misfit   string // fingerprint of what does not fit its schema, "" if it fits or has none
	Type     string
	Key      string    // what ordering is about
	Lane     string    // deliveries to one target in the same lane are made strictly in order of arrival; "" is no order
	Rank     Rank      // where it stands among those of its key, if what is older is dropped
	Occurred time.Time // the provider's time, zero if it gave none
	Received time.Time
	Horizon  time.Time   // until then at least its key is known, whether it is still there or not
	Emptied  time.Time   // when its headers and its body were removed; zero while they are there
	Header   http.Header // content headers and those that the webhook keeps
	Body     []byte      // the very bytes that were verified
	SHA256   [32]byte    // of Body, less what differs between two sendings of it
	Size     int         // of Body in bytes; the rest of an Event travels without it
}

// Proof is the record of a verification. It holds nothing secret.
type Proof struct {
	Scheme  string    `json:"scheme,omitempty"`
	Key     string    `json:"key,omitempty"`    // fingerprint of the key that matched, see [Fingerprint]
	Signed  time.Time `json:"signed,omitzero"`  // when it was signed, by the signer's clock; zero if the scheme has no date
	Partial bool      `json:"partial,omitzero"` // the signature does not cover the whole body
	Late    bool      `json:"late,omitzero"`    // the key is an old one, whose overlap is not over
}

// Origin says why an event is delivered.
type Origin string

// The origins.
const (
	Push     Origin = "push"     // the provider sent it
	Backfill Origin = "backfill" // reconciliation found it
	Replay   Origin = "replay"   // a person asked for it again
)

// Delivery is one claimed delivery of an event to one target.
type Delivery struct {
	Event   Event
	Target  string
	From    State // the state it was claimed in
	Origin  Origin
	Attempt int           // counted from 1
	Wait    time.Duration // the wait before this attempt

	lease   queue.Lease
	reached *Reached // if it is applied
	shared  int64    // place up to which others of its lane share the state that is delivered; 0 for none
}

// Move ends the attempt of a claimed delivery.
type Move struct {
	To      State
	Due     time.Time     // when the next attempt is due, if To is open
	Attempt int           // attempts made so far that count
	Wait    time.Duration // until the next attempt
	Status  int           // the application's status, 0 for none
	Took    time.Duration
	Reason  string   // a short sentence, fit for logs
	Detail  string   // the beginning of the application's answer: for the trail only
	Stand   Standing // what its lane does meanwhile: Aside if To is open, Holding if it is failed
	Reached *Reached // what it does to the mark of its lane if To is applied; nil for nothing
}

// Transition is one line of the audit trail.
type Transition struct {
	Event    string // Event.ID
	Webhook  string
	Target   string
	Received time.Time // when the event was received
	At       time.Time
	From, To State
	Attempt  int
	Status   int
	Took     time.Duration
	Reason   string
	Detail   string
	By       string // who asked for it, "" for Postern itself
	Replica  string // the process that made the move
}
