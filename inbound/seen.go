package inbound

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	maxSeen = 1 << 15          // events that are remembered
	seenFor = 10 * time.Second // after the store was last asked about one
)

// seen remembers events that have come again, so that a storm of one and the same
// does not reach the store. It can only say that an event is a duplicate, and only of
// what a store has said is committed, with these very bytes, within the last seconds:
// whether another process has stored, deleted or restored anything meanwhile is asked
// after that. An event that comes once, as most do, costs it nothing, and what is not
// verified never comes here.
type seen struct {
	events *lru.Cache[seenKey, seenEvent]
}

type seenKey struct{ webhook, account, eventID string }

type seenEvent struct {
	id    string
	sum   [32]byte
	until time.Time
}

func newSeen() *seen {
	c, _ := lru.New[seenKey, seenEvent](maxSeen) // fails for no size only
	return &seen{c}
}

func keyOf(e *Event) seenKey { return seenKey{e.Webhook, e.Account, e.EventID} }

// recognise fills in what became of all events of a request, if every one of them
// is a duplicate of one that is remembered; else it does nothing.
func (s *seen) recognise(all []*Arrival) bool {
	if len(all) == 0 || s.events.Len() == 0 {
		return false
	}
	now, found := time.Now(), make([]string, len(all))
	for i, a := range all {
		e, ok := s.events.Get(keyOf(a.Event))
		if !ok || e.sum != a.Event.SHA256 || now.After(e.until) {
			return false
		}
		found[i] = e.id
	}
	for i, a := range all {
		a.ID, a.What = found[i], Duplicate
	}
	return true
}

// remember keeps what a store has said is there already. Other bodies under the same
// key are always asked for.
func (s *seen) remember(all []*Arrival, known bool) {
	if known {
		return // a storm does not put off the next question
	}
	for _, a := range all {
		if a.What == Duplicate && a.ID != "" {
			s.events.Add(keyOf(a.Event), seenEvent{a.ID, a.Event.SHA256, time.Now().Add(seenFor)})
		}
	}
}
