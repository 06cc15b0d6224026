package queue

import (
	"context"
	"time"
)

// Retain has forget delete what is older than keep, until ctx ends: each minute
// up to n at a time, so that nobody waits long behind a deletion, and at once
// again while there is more. keep of 0 is for ever. Trouble is told of an error.
func Retain(ctx context.Context, keep time.Duration, n int, forget func(ctx context.Context, before time.Time, n int) (int, error), trouble func(error)) {
	if keep <= 0 {
		return
	}
	Tidy(ctx, n, func(ctx context.Context, n int) (int, error) { return forget(ctx, time.Now().Add(-keep), n) }, trouble)
}

// Tidy has some removed, until ctx ends: each minute up to n, and at once again
// while there is more. Trouble is told of an error.
func Tidy(ctx context.Context, n int, some func(ctx context.Context, n int) (int, error), trouble func(error)) {
	pause := time.Minute
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		gone, err := some(ctx, n)
		if err != nil && ctx.Err() == nil {
			trouble(err)
		}
		if pause = time.Minute; gone == n {
			pause = 50 * time.Millisecond
		}
	}
}
