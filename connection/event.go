package connection

import (
	"context"
	"fmt"
	"slices"
)

// historyLimit is how many moves are looked through for an event.
const historyLimit = 1000

// EndedBy records that an event says that the provider has ended the grants of an
// account: an uninstall, a deauthorisation. An event ends a grant once: one that
// comes again does not end what was granted in between. An account that is not
// known has nothing to be ended. account "" is the provider's only one; where
// there are several, none is ended. It returns how many connections it ended.
func (k *Keeper) EndedBy(ctx context.Context, provider, account, reason, event string) (ended int, err error) {
	rows, err := k.opt.Store.List(ctx, Filter{Provider: provider, Account: account, Limit: manyAccounts})
	if err != nil {
		return 0, fmt.Errorf("look for what %s ends: %w", event, err)
	}
	rows = slices.DeleteFunc(rows, func(r Row) bool { return r.State == Pending || r.State == Revoked && r.RevokeDue.IsZero() })
	if account == "" && len(rows) > 1 {
		return 0, nil
	}
	for _, r := range rows {
		history, err := k.opt.Store.History(ctx, r.Key, historyLimit)
		if err != nil {
			return ended, fmt.Errorf("look for what %s has ended: %w", event, err)
		}
		if slices.ContainsFunc(history, func(m Move) bool { return m.By == event }) {
			continue
		}
		if _, err := k.Ended(ctx, r.Key, reason, event); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}
