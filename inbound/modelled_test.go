package inbound_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// serving is how long a worker of a [modelled] application takes.
const serving = 50 * time.Millisecond

// modelled is an application in virtual time: eight workers and a queue before
// them, on connections that are pipes.
type modelled struct {
	mu      sync.Mutex
	down    bool
	conns   chan net.Conn
	workers chan struct{}
	answers []answered // in their order
	inside  int
	most    map[time.Time]int // that were inside at once, by second
}

// answered is a request that the application has answered.
type answered struct {
	id   string // of the event, as the provider has it
	at   time.Time
	took time.Duration // since it arrived
}

// kind is what stands before the number in the id of an event.
func (a answered) kind() string {
	kind, _, _ := strings.Cut(a.id, "-")
	return kind
}

func newModelled() *modelled {
	return &modelled{conns: make(chan net.Conn, 1000), workers: make(chan struct{}, 8), most: map[time.Time]int{}}
}

// serve answers until the test ends it.
func (m *modelled) serve() (end func()) {
	srv := &http.Server{Handler: m, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(m) }()
	return func() {
		close(m.conns)
		_ = srv.Close()
		<-served
	}
}

func (m *modelled) dial(context.Context, string, string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	m.conns <- server
	return client, nil
}

// Accept implements [net.Listener], as Close and Addr do.
func (m *modelled) Accept() (net.Conn, error) {
	c, ok := <-m.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (m *modelled) Close() error   { return nil }
func (m *modelled) Addr() net.Addr { return &net.TCPAddr{} }

func (m *modelled) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	start := time.Now()
	_, _ = io.Copy(io.Discard, r.Body)
	m.mu.Lock()
	m.inside++
	second := start.Truncate(time.Second)
	m.most[second] = max(m.most[second], m.inside)
	m.mu.Unlock()
	m.workers <- struct{}{}
	time.Sleep(serving)
	<-m.workers
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside--
	if m.down {
		panic(http.ErrAbortHandler)
	}
	m.answers = append(m.answers, answered{r.Header.Get("Postern-Provider-Event-Id"), time.Now(), time.Since(start)})
}

// set says whether it is down.
func (m *modelled) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// since are the answers but for the first n.
func (m *modelled) since(n int) []answered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.answers[n:])
}

func (m *modelled) served() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.answers)
}

// warm has all workers work after a minute; until then it is cold, and half of them do.
func (m *modelled) warm() {
	cold := cap(m.workers) / 2
	for range cold {
		m.workers <- struct{}{}
	}
	time.Sleep(time.Minute)
	for range cold {
		<-m.workers
	}
}

// p99 is the 99th percentile of how long these answers took.
func p99(t *testing.T, all []answered) time.Duration {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("nothing was answered")
	}
	took := make([]time.Duration, len(all))
	for i, a := range all {
		took[i] = a.took
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
