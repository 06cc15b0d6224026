package inbound

import (
	"context"
	"sync"
	"time"

	"github.com/postern-proxy/postern/queue"
)

// pruneBatch is small, so that ingest never waits long behind a deletion.
const pruneBatch = 200

// prune removes what is not to be kept any more, until ctx ends.
func (in *Inbox) prune(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() {
		queue.Retain(ctx, in.opt.Retain, pruneBatch, in.opt.Store.Prune, func(err error) { in.opt.Observer.trouble("deleting old events", err) })
	})
	removing := func(err error) { in.opt.Observer.trouble("removing old bodies", err) }
	all.Go(func() { queue.Retain(ctx, in.opt.RetainBodies, pruneBatch, in.emptyOld, removing) })
	if in.opt.RetainSize > 0 {
		var over int64
		all.Go(func() {
			queue.Tidy(ctx, pruneBatch, func(ctx context.Context, n int) (int, error) { return in.emptyOver(ctx, &over, n) }, removing)
		})
	}
	all.Wait()
}

func (in *Inbox) emptyOld(ctx context.Context, before time.Time, n int) (int, error) {
	emptied, _, err := in.opt.Store.Empty(ctx, before, 0, n)
	return emptied, err
}

// emptyOver removes some bodies of finished events if there are too many bytes of
// them. over is how many are still too many: adding them up takes long, and is done
// once for all that is removed.
func (in *Inbox) emptyOver(ctx context.Context, over *int64, n int) (int, error) {
	if *over <= 0 {
		held, err := in.opt.Store.Finished(ctx)
		if err != nil {
			return 0, err
		}
		if *over = held - in.opt.RetainSize; *over <= 0 {
			return 0, nil
		}
	}
	emptied, freed, err := in.opt.Store.Empty(ctx, time.Now(), *over, n)
	if *over -= freed; emptied < n {
		*over = 0
	}
	return emptied, err
}
