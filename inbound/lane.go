package inbound

import "time"

// Standing is the place of a delivery in its lane.
type Standing uint8

// The standings.
const (
	InLine  Standing = iota // it has its turn in the order of arrival
	Aside                   // it has stepped aside: others of its lane go on, and it is tried when it falls due between two of them
	Holding                 // it has failed, and its lane waits until a person decides
)

// Rank is where an event stands among those of its key: ranks that begin with the
// same letter are compared byte by byte. It ends in an exclamation mark if the
// thing is gone with the event, which makes it greater than any update of the same
// time or sequence, and less than what comes after: so a late update cannot revive
// what is gone. "" is no rank, see [TimeRank] and [SequenceRank].
type Rank string

// Over reports whether an event of rank o is older than one of rank r.
func (r Rank) Over(o Rank) bool { return r != "" && o != "" && r[0] == o[0] && r > o }

// Raised is the rank of a mark that was r when one of rank o has come.
func (r Rank) Raised(o Rank) Rank {
	if o == "" || r.Over(o) {
		return r
	}
	return o
}

// Gone reports whether the thing is gone with an event of this rank.
func (r Rank) Gone() bool { return r != "" && r[len(r)-1] == '!' }

// Mark is the high-water mark of a lane: it outlives the events by which it was
// raised, and the trail.
//
// Seen is raised in the transaction that stores an event for delivery, and what is
// stale is decided there, under the lock of that mark: so of two replicas that
// store events of one key at once, one sees what the other did; a mark never names
// an event that is not stored; and a sender's repeat, or a caller that did not learn
// the outcome, changes nothing. Applied is raised in the transaction that makes the
// delivery applied: before that the application may not have it, and after it no
// older one may be attempted.
type Mark struct {
	Seen, Applied           Rank
	SeenEvent, AppliedEvent string // Event.ID of those
	State                   string // what tells the latest state that was delivered from another, "" for none
}

// Reached is what a delivery that is applied does to the mark of its lane.
type Reached struct {
	Rank  Rank
	State string        // "" leaves that of the mark
	Keep  time.Duration // how long the mark is kept from now on, at least
}

// Lane is what there is to know about the lane of a claimed delivery. Places are in
// the order of arrival.
type Lane struct {
	Mark
	Place       int64 // of this delivery
	Newest      int64 // of the last one that is open
	NewestEvent string
}

// staleReason is why an event that is older than another is not delivered.
const staleReason = "stale: it is older than "

// StaleReason is why an event that is older than the one with this Event.ID is not
// delivered.
func StaleReason(newer string) string { return staleReason + newer }
