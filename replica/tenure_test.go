package replica

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestF33LateTimer: in a process that was stopped past its lease, a call that
// begins is interrupted although the timer has not fired yet.
func TestF33LateTimer(t *testing.T) {
	work := newTenure(t.Context(), time.Now().Add(time.Hour))
	defer work.stop(nil)
	if work.Err() != nil {
		t.Fatal("ended before its time")
	}
	work.timer.Stop() // it will be late
	past := time.Now().Add(-time.Nanosecond)
	work.ends.Store(&past)
	call, cancel := context.WithTimeout(work, time.Hour)
	defer cancel()
	if call.Err() == nil || !errors.Is(context.Cause(call), ErrLost) {
		t.Errorf("not ended: %v, %v", call.Err(), context.Cause(call))
	}
	if work.extend(time.Now().Add(time.Hour)); work.Err() == nil {
		t.Error("went on after its end")
	}
}
