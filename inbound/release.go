package inbound

import (
	"context"
	"errors"
	"slices"
)

// Released is what came of one page of a release.
type Released struct {
	Acted
	Misfits int // events that still do not fit the schema in force, and stay where they are
}

// Release delivers what is held back, of one page of the events that match f, the
// oldest first so that a lane keeps its order. Unless force is set, what is in
// quarantine or a conflict and did not fit its schema has to fit the one that is in
// force now; one body is read at a time. Go on with f.Cursor = Released.Next.
func (in *Inbox) Release(ctx context.Context, f Filter, by string, force bool) (out Released, err error) {
	f.Oldest = true
	page, err := in.opt.Store.List(ctx, f)
	if err != nil {
		return out, err
	}
	var ids []string
	for i := range page.Events {
		fits, err := true, error(nil)
		if !force {
			fits, err = in.fits(ctx, &page.Events[i])
		}
		if err != nil {
			return out, err
		}
		if fits {
			ids = append(ids, page.Events[i].ID)
		} else {
			out.Misfits++
		}
	}
	if len(ids) > 0 {
		named := f
		named.IDs, named.Cursor, named.Limit = ids, "", len(ids)
		if out.Acted, err = in.Act(ctx, ActRelease, named, by); err != nil {
			return out, err
		}
	}
	out.Events, out.Next = len(page.Events), page.Next
	return out, nil
}

// fits reports whether an event fits the schema in force, if it is held back and did
// not fit one.
func (in *Inbox) fits(ctx context.Context, r *Record) (bool, error) {
	held := slices.ContainsFunc(r.Deliveries, func(d DeliveryStatus) bool { return d.State == Quarantined || d.State == Conflict })
	hook := in.set.Load().byName[r.Webhook]
	if !held || r.Misfit == "" || hook == nil {
		return true, nil
	}
	e, err := in.opt.Store.Body(ctx, r.ID)
	if errors.Is(err, ErrNotFound) { // deleted meanwhile: there is nothing to release
		return true, nil
	} else if err != nil {
		return false, err
	}
	m, s := hook.misfit(e)
	return m == nil || s.Mode == Observe, nil
}

// Groups returns the groups of events that match f and are in quarantine because
// they do not fit their schema, the largest first.
func (in *Inbox) Groups(ctx context.Context, f Filter) ([]Group, error) {
	return in.opt.Store.Groups(ctx, f)
}
