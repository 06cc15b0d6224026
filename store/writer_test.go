package store

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEveryChangeIsMade: no change is left waiting, no two are made at once, and those
// that come while the store closes are made or refused.
func TestEveryChangeIsMade(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const senders, each = 32, 40
	var within, made, refused atomic.Int64
	change := func() error {
		return s.do(context.Background(), 0, func(t *tx) error {
			if within.Add(1) != 1 {
				return errors.New("two at once")
			}
			defer within.Add(-1)
			made.Add(1)
			return t.exec("INSERT INTO probe (id, at) VALUES (1, 0) ON CONFLICT (id) DO NOTHING")
		})
	}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				if err := change(); err != nil {
					t.Error(err)
				}
				if n%8 == i%8 { // so that the last of those that wait is often alone
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	if n := made.Load(); n != senders*each {
		t.Errorf("%d changes were made, want %d", n, senders*each)
	}
	for range senders {
		wg.Go(func() {
			for {
				if err := change(); errors.Is(err, errClosed) {
					refused.Add(1)
					return
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := refused.Load(); n != senders {
		t.Errorf("%d were refused, want %d", n, senders)
	}
}

// TestNobodyWaitsForAHangingDisk: who has to answer by some time does, also if the disk
// hangs over his own change and nobody else is there to write it.
func TestNobodyWaitsForAHangingDisk(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "postern.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hangs, back := make(chan struct{}), make(chan struct{})
	defer close(back)
	ask := func(whose string, change func(*tx) error) {
		answered := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			answered <- s.do(ctx, 0, change)
		}()
		select {
		case err := <-answered:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while the disk hangs over %s: %v", whose, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("nobody is answered while the disk hangs over %s", whose)
		}
	}
	ask("its own change", func(*tx) error { close(hangs); <-back; return nil })
	<-hangs
	ask("that of another", func(*tx) error { return nil })
}
