package telemetry

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// blocked is a reader that has stopped, until it is let go.
type blocked struct {
	free chan struct{}
	mu   sync.Mutex
	got  bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.free
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got.Write(p)
}

// TestF45BlockedLog: a log whose reader has stopped holds nobody up; what does
// not fit is dropped and counted, and what fits is written whole and in order.
func TestF45BlockedLog(t *testing.T) {
	out := &blocked{free: make(chan struct{})}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
	s := newSink(out, dropped)
	line := strings.Repeat("x", 1000)
	const lines = 3 * sinkLimit / 1000
	for i := range lines {
		if _, err := fmt.Fprintf(s, "%06d %s\n", i, line); err != nil {
			t.Fatal(err)
		}
	}
	lost := int(testutil.ToFloat64(dropped))
	if lost == 0 {
		t.Error("nothing was dropped")
	}
	close(out.free)
	s.Close()
	fmt.Fprintln(s, "after the end")
	got := strings.Split(strings.TrimSpace(out.got.String()), "\n")
	if len(got) != lines-lost+1 || got[len(got)-1] != "after the end" {
		t.Errorf("%d lines were written, %d dropped of %d", len(got), lost, lines)
	}
	for i := 1; i < len(got)-1; i++ {
		if len(got[i]) != len(line)+7 || got[i] <= got[i-1] {
			t.Fatalf("line %d is cut or out of order: %.10s after %.10s", i, got[i], got[i-1])
		}
	}
}

// TestSinkClosesUnderWriters: lines that come while it closes are written, at
// once or with the last ones.
func TestSinkClosesUnderWriters(t *testing.T) {
	for range 40 {
		out := &blocked{free: make(chan struct{})}
		close(out.free)
		s := newSink(out, prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"}))
		var writers sync.WaitGroup
		start := make(chan struct{})
		for range 4 {
			writers.Go(func() { <-start; fmt.Fprintln(s, "a line") })
		}
		close(start)
		runtime.Gosched()
		s.Close()
		writers.Wait()
		if n := strings.Count(out.got.String(), "a line\n"); n != 4 {
			t.Fatalf("%d lines of 4", n)
		}
	}
}
