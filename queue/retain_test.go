package queue

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetain: what is too old goes soon, a few at a time, whatever failed before;
// what is kept for ever is not looked at.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, left, failures, told := time.Now(), 25, 2, 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Retain(ctx, time.Hour, 10, func(_ context.Context, before time.Time, n int) (int, error) {
				if age := time.Since(before); age != time.Hour || n != 10 {
					t.Errorf("%d older than %v were to go", n, age)
				}
				if failures > 0 {
					failures--
					return 0, errors.New("locked")
				}
				n = min(n, left)
				left -= n
				return n, nil
			}, func(error) { told++ })
		}()
		time.Sleep(3*time.Minute + time.Second)
		cancel()
		<-done
		if left != 0 || told != 2 {
			t.Errorf("%d are left after %v, %d failures were told", left, time.Since(start), told)
		}
		Retain(t.Context(), 0, 10, nil, nil)
	})
}
