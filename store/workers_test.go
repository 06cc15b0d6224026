package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/store/storetest"
)

// workerEnv makes the test binary a worker: a process that delivers from a
// database and is there to be killed and stopped. It says what it does, a line
// each, and when.
const workerEnv = "POSTERN_TEST_WORKER"

// orders are what a worker is told.
type orders struct {
	Name        string
	URL         string // of the database
	App         string // where to deliver
	Lease       time.Duration
	Concurrency int
	Ask         bool   // wait for a line of input between claim and call
	Lead        string // a name of work that one does for all
}

const workerPoll = 200 * time.Millisecond

type worker struct {
	orders
	box   inbound.Store
	input *bufio.Reader
	said  sync.Mutex
}

// work is the whole life of a worker.
func work(text string) {
	w := &worker{input: bufio.NewReader(os.Stdin)}
	if err := json.Unmarshal([]byte(text), &w.orders); err != nil {
		w.fail(err)
	}
	d := &queue.Dispatcher[inbound.Delivery]{
		Targets: func() map[string]queue.Target { return map[string]queue.Target{"hook": {Concurrency: w.Concurrency}} }, Attempt: w.attempt,
		Trouble: func(doing string, err error) { w.say("trouble %s: %v", doing, err) },
		Lease:   w.Lease, Poll: workerPoll, Grace: time.Second,
	}
	ctx := context.Background()
	db, err := store.Open(ctx, w.URL, store.Options{Replica: w.Name, Wake: d.Wake, Trouble: d.Trouble})
	if err != nil {
		w.fail(err)
	}
	w.box = db.Inbox()
	d.Source = w.box
	w.say("open")
	if w.Lead != "" {
		go replica.Singleton{Leases: db.Leases(), Name: w.Lead, Holder: w.Name, Lease: w.Lease, Trouble: d.Trouble}.Run(ctx, func(ctx context.Context) {
			w.say("leads")
			<-ctx.Done()
			w.say("led")
		})
	}
	d.Run(ctx)
}

func (w *worker) fail(err error) {
	w.say("error %v", err)
	os.Exit(1)
}

func (w *worker) say(format string, args ...any) {
	w.said.Lock()
	defer w.said.Unlock()
	fmt.Printf("%d "+format+"\n", append([]any{time.Now().UnixNano()}, args...)...)
}

// attempt calls the application as an inbox does. Unlike one it then tries to
// make its move although it knows that its lease is over: the fence has to hold.
func (w *worker) attempt(ctx context.Context, it queue.Item[inbound.Delivery]) queue.Report {
	e := &it.Work.Event
	if w.Ask {
		w.say("claimed %s %d", e.ID, it.Lease.Token)
		_, _ = w.input.ReadString('\n')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.App, strings.NewReader(string(e.Body)))
	if err != nil {
		w.fail(err)
	}
	req.Header.Set("Event", e.ID)
	req.Header.Set("Worker", w.Name)
	move := inbound.Move{To: inbound.Applied, Attempt: it.Work.Attempt}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		move.Status = resp.StatusCode
	}
	if move.Status != http.StatusOK {
		move.To, move.Due = inbound.Retrying, time.Now().Add(20*time.Millisecond)
	}
	if errors.Is(context.Cause(ctx), queue.ErrStale) {
		w.say("lost %s %d", e.ID, it.Lease.Token)
	}
	for {
		err = w.box.Finish(context.WithoutCancel(ctx), it.Lease, move)
		switch {
		case err == nil:
			w.say("%s %s %d", move.To, e.ID, it.Lease.Token)
			return queue.Report{Health: queue.Well}
		case errors.Is(err, queue.ErrStale):
			w.say("stale %s %d", e.ID, it.Lease.Token)
			return queue.Report{Health: queue.Well}
		}
		w.say("trouble finishing: %v", err)
		time.Sleep(50 * time.Millisecond)
	}
}

// A crew is workers on one database, and the application that they deliver to.
type crew struct {
	*testing.T
	db    store.Database // of the test itself
	order orders
	mu    sync.Mutex
	lives []*life
}

// life is one process.
type life struct {
	name   string
	cmd    *exec.Cmd
	input  io.WriteCloser
	mu     sync.Mutex
	lines  []line
	news   chan struct{} // closed and replaced with each line
	ended  chan struct{}
	killed time.Time
}

type line struct {
	at   time.Time
	text string
}

// hire readies a database and an application for workers.
func hire(t *testing.T, url string, o orders, app http.HandlerFunc) *crew {
	t.Helper()
	db, err := store.Open(t.Context(), url, store.Options{Replica: "test"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(app)
	c := &crew{T: t, db: db, order: o}
	c.order.URL, c.order.App = url, srv.URL
	t.Cleanup(func() {
		for _, l := range c.lives {
			_ = l.cmd.Process.Kill()
			<-l.ended
		}
		srv.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, l := range c.lives {
				t.Logf("%s said at last:\n%s", l.name, l.tail(12))
			}
		}
	})
	return c
}

// start begins a worker and returns when its database is open.
func (c *crew) start(change ...func(*orders)) *life {
	c.Helper()
	o := c.order
	c.mu.Lock()
	o.Name = fmt.Sprintf("worker-%02d", len(c.lives))
	c.mu.Unlock()
	for _, f := range change {
		f(&o)
	}
	text, err := json.Marshal(o)
	if err != nil {
		c.Fatal(err)
	}
	l := &life{name: o.Name, cmd: exec.Command(os.Args[0], "-test.run=^$"), news: make(chan struct{}), ended: make(chan struct{})}
	l.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	l.cmd.Stderr = os.Stderr
	if l.input, err = l.cmd.StdinPipe(); err != nil {
		c.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.mu.Lock()
	c.lives = append(c.lives, l)
	c.mu.Unlock()
	go l.listen(out)
	l.await(c.T, "open")
	return l
}

func (l *life) listen(out io.Reader) {
	defer close(l.ended)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		at, text, _ := strings.Cut(lines.Text(), " ")
		var nano int64
		if _, err := fmt.Sscan(at, &nano); err != nil {
			continue // the last line may be cut
		}
		l.mu.Lock()
		l.lines = append(l.lines, line{time.Unix(0, nano), text})
		close(l.news)
		l.news = make(chan struct{})
		l.mu.Unlock()
	}
	_ = l.cmd.Wait()
}

// await returns the first line that begins so, said or yet to be said.
func (l *life) await(t *testing.T, begin string) line {
	t.Helper()
	give := time.After(30 * time.Second)
	for from := 0; ; {
		l.mu.Lock()
		lines, news := l.lines, l.news
		l.mu.Unlock()
		for ; from < len(lines); from++ {
			if strings.HasPrefix(lines[from].text, begin) {
				return lines[from]
			}
		}
		select {
		case <-news:
		case <-l.ended:
			t.Fatalf("%s ended and never said %q:\n%s", l.name, begin, l.tail(5))
		case <-give:
			t.Fatalf("%s does not say %q:\n%s", l.name, begin, l.tail(5))
		}
	}
}

// said returns the lines that begin so.
func (l *life) said(begin string) (found []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.lines {
		if strings.HasPrefix(s.text, begin) {
			found = append(found, s)
		}
	}
	return found
}

func (l *life) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, s := range l.lines[max(len(l.lines)-n, 0):] {
		fmt.Fprintf(&b, "  %s %s\n", s.at.Format("05.000"), s.text)
	}
	return b.String()
}

func (l *life) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := l.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill is kill -9, in the middle of whatever it does.
func (l *life) kill(t *testing.T) {
	t.Helper()
	l.killed = time.Now()
	l.signal(t, syscall.SIGKILL)
	<-l.ended
}

// insert stores an event. name is its id and the provider's.
func (c *crew) insert(name, lane, body string) {
	c.Helper()
	e := storetest.Event(name, name, body)
	e.Lane = lane
	if _, what, err := storetest.Insert(c.Context(), c.db.Inbox(), e, "hook"); err != nil || what != inbound.Stored {
		c.Errorf("insert %s: %v, %v", name, what, err)
	}
}

// settled waits until n events are applied.
func (c *crew) settled(n int, within time.Duration) {
	c.Helper()
	var got int
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		counted, err := c.db.Inbox().Count(c.Context(), inbound.Filter{State: inbound.Applied})
		if err != nil {
			c.Fatal(err)
		}
		if got = counted.N; got == n {
			return
		}
	}
	c.Errorf("%d of %d events are applied after %v", got, n, within)
}

// trail is what the store tells of one event.
func (c *crew) trail(id string) []inbound.Transition {
	c.Helper()
	r, err := c.db.Inbox().Show(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	return r.Trail
}
