package connection_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// mortal is the store as a process sees it that dies at a step: what it asks for
// from then on does not happen, and it never learns so.
type mortal struct {
	connection.Store
	mu    sync.Mutex
	steps int // until it dies; negative is never
	after bool
	died  chan struct{}
}

// step reports whether the process lives to do the next thing.
func (m *mortal) step() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.steps == 0 {
		return false
	}
	m.steps--
	return true
}

// wait is what a dead process does.
func (m *mortal) wait(ctx context.Context) error {
	select {
	case <-m.died:
	default:
		close(m.died)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m *mortal) Load(ctx context.Context, k connection.Key) (connection.Row, error) {
	if !m.step() {
		return connection.Row{}, m.wait(ctx)
	}
	return m.Store.Load(ctx, k)
}

func (m *mortal) Save(ctx context.Context, r connection.Row, mv connection.Move) (connection.Row, error) {
	last := !m.step()
	if last && !m.after {
		return connection.Row{}, m.wait(ctx)
	}
	saved, err := m.Store.Save(ctx, r, mv)
	if last {
		return connection.Row{}, m.wait(ctx)
	}
	return saved, err
}

// TestC61DiesAtEachStep has a process die before and after each thing that a
// renewal does to the store, and while the provider is asked. Whoever comes next
// has a token, or the grant is lost and somebody is told; nothing is asked for
// more than once more.
func TestC61DiesAtEachStep(t *testing.T) {
	kept, lost := 0, 0
	for steps := range 5 {
		for _, after := range []bool{false, true} {
			for _, asking := range []bool{false, true} {
				t.Run(fmt.Sprintf("step %d, done %v, asking %v", steps, after, asking), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, newServer(time.Hour))
						base := w.store
						w.connect(w.process("first", true), "a")
						time.Sleep(2 * time.Hour)
						w.deaths = true
						m := &mortal{Store: base, steps: steps, after: after, died: make(chan struct{})}
						w.store = m
						victim := w.process("victim", true)
						w.store = base
						w.server.takes = 100 * time.Millisecond
						go func() { _, _, _ = victim.Token(t.Context(), time.Time{}, w.source, "a") }()
						if asking { // dies while the answer is on its way
							time.Sleep(50 * time.Millisecond)
							m.mu.Lock()
							m.steps = 0
							m.mu.Unlock()
						}
						time.Sleep(time.Second)

						heir := w.process("heir", true)
						asked := w.server.requests()
						_, _, err := heir.Token(t.Context(), time.Time{}, w.source, "a")
						for range 20 { // never a loop
							time.Sleep(time.Minute)
							_, _, err = heir.Token(t.Context(), time.Time{}, w.source, "a")
						}
						switch {
						case err == nil:
							kept++
						case state(err) == connection.NeedsReconnect && w.log.has("ALARM shop/a"):
							lost++
						default:
							t.Errorf("neither a token nor an alarm: %v (%s)", err, w.row("a").State)
						}
						if n := w.server.requests() - asked; n > 1 {
							t.Errorf("the provider was asked %d times more", n)
						}
					})
				})
			}
		}
	}
	if kept == 0 || lost == 0 {
		t.Errorf("kept %d grants and lost %d: the test does not reach both", kept, lost)
	}
}
