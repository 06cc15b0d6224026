package inbound_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// gone is a store that can be claimed from once and then does not answer.
type gone struct {
	inbound.Store
	claimed  atomic.Bool
	finishes atomic.Int32
	last     atomic.Int64 // when the last try to finish ended
}

func (g *gone) Claim(ctx context.Context, want map[string]int, lease time.Duration) ([]queue.Item[inbound.Delivery], time.Time, error) {
	if g.claimed.Swap(true) {
		return nil, time.Time{}, errors.New("no answer")
	}
	return g.Store.Claim(ctx, want, lease)
}

func (g *gone) Renew(ctx context.Context, _ []queue.Lease, _ time.Duration) ([]queue.Lease, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (g *gone) Finish(ctx context.Context, _ queue.Lease, _ inbound.Move) error {
	g.finishes.Add(1)
	<-ctx.Done()
	g.last.Store(time.Now().UnixNano())
	return ctx.Err()
}

// TestF33RecordingEndsWithTheLease: what cannot be recorded is tried until the
// lease is over, and not longer: then somebody else decides.
func TestF33RecordingEndsWithTheLease(t *testing.T) {
	set := mustLoad(t, hookTo("http://app.test/", ""))
	synctest.Test(t, func(t *testing.T) {
		g := &gone{Store: store.NewMemory().Inbox()}
		var calls atomic.Int32
		in := inbound.New(inbound.Options{Store: g, Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			calls.Add(1)
			go func() {
				defer server.Close()
				buf := make([]byte, 4096)
				for n := 0; !strings.HasSuffix(string(buf[:n]), `{"id":"1"}`); {
					k, err := server.Read(buf[n:])
					if n += k; err != nil {
						return
					}
				}
				fmt.Fprint(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
			return client, nil
		}})
		in.Swap(set)
		e := &inbound.Event{ID: "1", Webhook: "hook", EventID: "1", Received: time.Now(), Body: []byte(`{"id":"1"}`), Size: 10}
		if _, _, err := storetest.Insert(t.Context(), g, e, "hook"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); in.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		cancel()
		<-done
		if ended := time.Unix(0, g.last.Load()).Sub(start); ended != 27*time.Second || g.finishes.Load() != 3 || calls.Load() != 1 {
			t.Errorf("called %d times, %d tries to record, the last ended after %v; want one, three and 27s", calls.Load(), g.finishes.Load(), ended)
		}
	})
}
