package inbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/store"
)

// modelled is an application with a few workers and a queue before them. After an
// outage it is cold: it has two workers for a minute.
type modelled struct {
	mu      sync.Mutex
	down    bool
	conns   chan net.Conn
	workers chan struct{}
	took    []time.Duration // from the arrival of each request to its answer
	order   []string        // ids of events, as they were applied
	at      []time.Time     // of each answer
	most    int
	inside  int
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

func (m *modelled) Accept() (net.Conn, error) {
	c, ok := <-m.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (m *modelled) Close() error   { return nil }
func (m *modelled) Addr() net.Addr { return &net.TCPAddr{} }

func (m *modelled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	_, _ = io.Copy(io.Discard, r.Body)
	m.mu.Lock()
	m.inside++
	m.most = max(m.most, m.inside)
	m.mu.Unlock()
	m.workers <- struct{}{}
	time.Sleep(50 * time.Millisecond)
	<-m.workers
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside--
	if m.down {
		panic(http.ErrAbortHandler)
	}
	m.took, m.at = append(m.took, time.Since(start)), append(m.at, time.Now())
	m.order = append(m.order, r.Header.Get("Postern-Provider-Event-Id"))
}

// p99 is that of the requests since the first n.
func (m *modelled) p99(n int) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	took := slices.Sorted(slices.Values(m.took[n:]))
	return took[len(took)*99/100]
}

func (m *modelled) served() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.took)
}

// TestF28SixHours: an application is down for six hours, and events keep coming.
// Senders notice nothing, nothing is given up, and when it is back it is not run
// over: few calls first, and never so many that they wait long for each other.
func TestF28SixHours(t *testing.T) {
	backlog := 1500
	if os.Getenv("POSTERN_SOAK") != "" {
		backlog = 20_000
	}
	hook := func(name string) string {
		return fmt.Sprintf("webhook %q {\n path = \"/%[1]s\"\n verify \"none\" {}\n event { id = body.id }\n deliver {\n to = \"http://app.test/\"\n concurrency = 32\n }\n retry { attempts = 3 }\n}\n", name)
	}
	set := mustLoad(t, hook("large")+hook("small"))
	synctest.Test(t, func(t *testing.T) {
		app := &modelled{conns: make(chan net.Conn, 100), workers: make(chan struct{}, 8)}
		srv := &http.Server{Handler: app, ErrorLog: log.New(io.Discard, "", 0)}
		served := make(chan struct{})
		go func() { defer close(served); _ = srv.Serve(app) }()
		in := inbound.New(inbound.Options{Store: store.NewMemory().Inbox(), Dial: app.dial})
		in.Swap(set)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); in.Run(ctx) }()
		sent := 0
		post := func(hook string) {
			w, start := httptest.NewRecorder(), time.Now()
			in.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+hook, strings.NewReader(fmt.Sprintf(`{"id":"%s-%d"}`, hook, sent))))
			if sent++; w.Code != http.StatusOK || time.Since(start) > 0 {
				t.Fatalf("event %d: %d after %v", sent, w.Code, time.Since(start))
			}
		}
		for i := range 300 { // an ordinary minute
			post(map[bool]string{true: "small", false: "large"}[i%5 == 4])
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(time.Second)
		usual, before := app.p99(0), app.served()
		app.mu.Lock()
		app.down = true
		app.mu.Unlock()
		start := time.Now()
		for i := range backlog {
			post(map[bool]string{true: "small", false: "large"}[i%20 == 19])
			time.Sleep(6 * time.Hour / time.Duration(backlog))
		}
		if got := app.served() - before; got != 0 {
			t.Fatalf("%d events were applied by an application that is down", got)
		}
		app.mu.Lock()
		app.down, app.most = false, 0
		app.mu.Unlock()
		for range 6 { // it is cold
			app.workers <- struct{}{}
		}
		back := time.Now()
		time.Sleep(time.Minute)
		for range 6 {
			<-app.workers
		}
		for app.served()-before < backlog && time.Since(back) < time.Duration(backlog)*time.Second {
			time.Sleep(time.Second)
		}
		took := time.Since(back)
		time.Sleep(time.Minute)
		failed, _ := in.Count(t.Context(), inbound.Filter{State: inbound.Failed})
		applied, _ := in.Count(t.Context(), inbound.Filter{State: inbound.Applied})
		p99 := app.p99(before)
		app.mu.Lock()
		early := 0 // in the second that follows the first answer
		for _, at := range app.at[before:] {
			if at.Sub(app.at[before]) < time.Second {
				early++
			}
		}
		last := slices.Index(app.order, fmt.Sprintf("small-%d", 300+backlog-1))
		t.Logf("down for %v with a backlog of %d: applied %d, failed %d; %d in the first second, all after %v, at most %d at once; p99 %v, usually %v; the small webhook was done after %d of %d",
			back.Sub(start), backlog, applied.N, failed.N, early, took, app.most, p99, usual, last-before, backlog)
		if failed.N != 0 || applied.N != backlog+300 {
			t.Error("the outage lost events")
		}
		if p99 > 2*usual || app.most > 32 || early > 45 {
			t.Error("the application was run over")
		}
		if last-before > backlog*3/4 {
			t.Error("the small webhook waited for the large one")
		}
		app.mu.Unlock()
		cancel()
		<-done
		close(app.conns)
		_ = srv.Close()
		<-served
	})
}
