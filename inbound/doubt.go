package inbound

import (
	"fmt"
	"sync"
)

// doubtsMany is how many unsigned events of a webhook in a row, of which its provider
// knows nothing, are told of.
const doubtsMany = 20

// doubts counts, by webhook, the events in a row of which the provider knew nothing.
// Somebody makes them up, or it is asked with the credentials of another account and
// every true event is ignored.
type doubts struct {
	mu    sync.Mutex
	inRow map[string]int
}

// confirmed takes note that the provider knew something of a webhook's.
func (d *doubts) confirmed(webhook string) {
	d.mu.Lock()
	delete(d.inRow, webhook)
	d.mu.Unlock()
}

// unconfirmed takes note that it did not, and returns word of it when that has gone on
// for long and nobody was told.
func (d *doubts) unconfirmed(webhook string) (word error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inRow == nil {
		d.inRow = map[string]int{}
	}
	if d.inRow[webhook]++; d.inRow[webhook] != doubtsMany {
		return nil
	}
	return fmt.Errorf("webhook %q: the provider knows nothing of what its last %d events tell, so they were ignored: somebody makes them up, or the provider is asked with the credentials of another account; if so, mend them and replay what is ignored as \"unconfirmed\"", webhook, doubtsMany)
}
