package inbound

import (
	"context"
	"fmt"
	"strings"
)

// An event that does harm is isolated: it goes to quarantine, so that it neither
// blocks its lane for ever nor kills its reader again and again. A person who
// releases it lets it begin anew. How often it did is in the audit trail, which
// is read only when it may have done so once more.

// crashes is how often an attempt may end without a word beyond those that the
// application has, because the process that made it died.
const crashes = 3

// exhausted says what becomes of a delivery whose attempts ended without a result;
// nil if it may have another.
func (in *Inbox) exhausted(d *Delivery, t target) *Move {
	if d.From != Processing || d.Attempt <= t.retry().Attempts+crashes {
		return nil
	}
	return &Move{To: Quarantined, Attempt: d.Attempt, Reason: fmt.Sprintf("isolated: %d attempts ended without a result", d.Attempt-1)}
}

// isolate is the move instead of m, if the attempt without an answer that m is
// about was one too many.
func (in *Inbox) isolate(ctx context.Context, d *Delivery, t target, m Move) Move {
	if t.deliver.Poison == 0 {
		return m
	}
	before, err := in.harm(ctx, d, func(t *Transition) bool {
		return t.From == Processing && t.To == Retrying && t.Status == 0 && strings.HasPrefix(t.Reason, noAnswer)
	})
	if err != nil {
		in.opt.Observer.trouble("reading what an event did before", err)
		return m
	}
	if before+1 < t.deliver.Poison {
		return m
	}
	return Move{
		To: Quarantined, Attempt: d.Attempt, Took: m.Took,
		Reason: fmt.Sprintf("isolated: the application did not answer it %d times, the last time: %s", before+1, m.Reason),
	}
}

// harm counts the moves of a delivery, since it was opened, that are so.
func (in *Inbox) harm(ctx context.Context, d *Delivery, is func(*Transition) bool) (n int, err error) {
	if d.Attempt <= 1 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	rec, err := in.opt.Store.Show(ctx, d.Event.ID)
	if err != nil {
		return 0, err
	}
	for i := range rec.Trail {
		switch t := &rec.Trail[i]; {
		case t.Target != d.Target:
		case t.To == Received && t.From != Processing:
			n = 0
		case is(t):
			n++
		}
	}
	return n, nil
}
