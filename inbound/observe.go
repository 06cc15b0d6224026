package inbound

import (
	"time"

	"github.com/postern-proxy/postern/queue"
)

// Reception is what became of one request.
type Reception struct {
	ID        string // correlation id
	Webhook   string // "" if the path names none
	Result    string // accepted duplicate conflict unsigned bad_signature stale too_large unavailable handshake empty; "" if none of them
	Status    int    // the answer
	Handshake string // the name of the one that was answered, if it has one
	Event     string // the stored event, or the one that this is a duplicate of
	EventID   string
	Type      string
	Account   string
	Items     int // how many events it brought, 0 for one that is its own
	Bytes     int
	Received  time.Time
	Took      time.Duration
	Proof     Proof
	Why       string // which step of the verification failed and why, for the operator only
	Err       error  // why it is unavailable, or what is wrong with the request
}

// Attempt is what became of one delivery attempt.
type Attempt struct {
	Event   string
	Webhook string
	Target  string
	EventID string
	Type    string
	Account string
	Attempt int
	Result  State // applied, retrying or failed
	Status  int   // 0 for no answer
	Took    time.Duration
	Reason  string
}

// Misfit is an event that does not fit its schema.
type Misfit struct {
	Event       string
	Webhook     string
	Type        string
	Fingerprint string
	Reason      string // where it does not fit, and in which way
	Held        bool   // it is in quarantine; false where misfits are only observed
}

// Pause is word of a target that is paused from now on, or no longer.
type Pause struct {
	Webhook, Target string
	queue.Condition
}

// Observer is told what happens. Every func may be nil, must not block, and is
// called by several goroutines at once.
type Observer struct {
	Received func(*Reception)
	Attempt  func(*Attempt)
	Moved    func(*Transition)
	Misfit   func(*Misfit)
	Held     func(webhook string) // of an event that is in quarantine from the beginning, and not by its schema
	OldKey   func(*OldKey)
	Paused   func(*Pause)
	// Trouble is told what failed in the background, or a conflict.
	Trouble func(doing string, err error)
}

func (o *Observer) received(r *Reception) {
	if o.Received != nil {
		o.Received(r)
	}
}

func (o *Observer) attempt(a *Attempt) {
	if o.Attempt != nil {
		o.Attempt(a)
	}
}

func (o *Observer) moved(t Transition) {
	if o.Moved != nil {
		o.Moved(&t)
	}
}

func (o *Observer) oldKey(k OldKey) {
	if o.OldKey != nil {
		o.OldKey(&k)
	}
}

func (o *Observer) misfit(m Misfit) {
	if o.Misfit != nil {
		o.Misfit(&m)
	}
}

func (o *Observer) held(webhook string) {
	if o.Held != nil {
		o.Held(webhook)
	}
}

func (o *Observer) paused(p *Pause) {
	if o.Paused != nil {
		o.Paused(p)
	}
}

func (o *Observer) trouble(doing string, err error) {
	if o.Trouble != nil {
		o.Trouble(doing, err)
	}
}
