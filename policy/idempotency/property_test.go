package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

// errCrash is the end of a process in the middle of a call.
var errCrash = errors.New("the process dies")

// steps are the places at which a process can die.
var steps = []string{"", "before sent is stored", "after sent is stored", "before it is executed", "after it is executed", "before the answer is stored", "after the answer is stored", "in the middle of the answer"}

// fate is what becomes of one call at the provider.
type fate struct {
	crash    string // one of steps
	status   int    // 0 is no answer
	executed bool   // whatever the status says
}

// mortal is a store of processes that die.
type mortal struct{ idempotency.Store }

type fateKey struct{}

func (s mortal) Begin(ctx context.Context, c *idempotency.Claim) (idempotency.Standing, error) {
	f := ctx.Value(fateKey{}).(*fate)
	if f.crash == "before sent is stored" {
		panic(errCrash)
	}
	got, err := s.Store.Begin(ctx, c)
	if f.crash == "after sent is stored" {
		panic(errCrash)
	}
	return got, err
}

func (s mortal) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	f := ctx.Value(fateKey{}).(*fate)
	if f.crash == "before the answer is stored" {
		panic(errCrash)
	}
	err := s.Store.End(ctx, l, e)
	if f.crash == "after the answer is stored" {
		panic(errCrash)
	}
	return err
}

// world is two tenants, a provider, and all that anybody has seen.
type world struct {
	mu       sync.Mutex
	knows    bool                // the provider knows keys
	executed map[string][]string // tenant and key -> answers of the executions
	whole    map[string]string   // tenant and key -> the answer that was given whole
	gates    []chan struct{}     // calls at the provider
	faults   []string
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// provider executes calls, each when its gate is opened.
func (w *world) provider(r *http.Request) (*http.Response, error) {
	x := policy.From(r.Context())
	f := r.Context().Value(fateKey{}).(*fate)
	name := x.Account + " " + r.Header.Get("Idempotency-Key")
	gate := make(chan struct{})
	w.mu.Lock()
	w.gates = append(w.gates, gate)
	w.mu.Unlock()
	x.Now.Connected, x.Now.Written, x.Now.Complete = true, 10, true
	<-gate
	if f.crash == "before it is executed" {
		panic(errCrash)
	}
	w.mu.Lock()
	if w.whole[name] != "" {
		w.faults = append(w.faults, name+" was sent after its answer was given")
	}
	done := w.executed[name]
	text := ""
	if w.knows && len(done) > 0 {
		text = done[0]
	} else if f.executed {
		text = fmt.Sprintf("%s, execution %d: \x00\xff of %s", name, len(done)+1, x.Account)
		w.executed[name] = append(done, text)
	}
	w.mu.Unlock()
	switch {
	case f.crash == "after it is executed":
		panic(errCrash)
	case f.status == 0:
		return nil, &policy.Denial{Code: policy.CodeUnreachable, Executed: policy.Maybe, Detail: "the connection broke"}
	}
	x.Now.Answered = true
	if f.status >= 400 && !(w.knows && text != "") {
		return answer(f.status, "an error of "+x.Account), nil
	}
	return answer(200, text, "X-Tenant", x.Account), nil
}

// make is one call of a tenant.
func (w *world) make(h *house, c call, f *fate) {
	defer func() {
		if p := recover(); p != nil && p != errCrash {
			panic(p)
		}
	}()
	name := c.account + " " + c.header[1]
	c.ctx = context.WithValue(context.Background(), fateKey{}, f)
	x, resp, err := h.do(c)
	var d *policy.Denial
	if errors.As(err, &d) {
		switch d.Code {
		case policy.IdempotencyInFlight, policy.IdempotencyMismatch, policy.CodeUnreachable:
		default:
			w.fault("%s: %v", name, err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.executed[name]); d.Executed == policy.Yes && n == 0 || (d.Executed == "" || d.Executed == policy.No) && n > 0 && d.Code != policy.IdempotencyMismatch {
			w.faults = append(w.faults, fmt.Sprintf("%s: executed %q, and it was %d times: %v", name, d.Executed, n, err))
		}
		return
	}
	if err != nil {
		w.fault("%s: %v", name, err)
		return
	}
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	if f.crash == "in the middle of the answer" {
		_, _ = io.CopyN(io.Discard, body, 3)
		panic(errCrash)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		w.fault("%s: %v", name, err)
	}
	other := map[string]string{"A": "B", "B": "A"}[c.account]
	if strings.Contains(string(text), " of "+other) || strings.HasPrefix(string(text), other+" ") || resp.Header.Get("X-Tenant") == other {
		w.fault("a byte of %s in an answer to %s: %q", other, c.account, text)
	}
	if resp.StatusCode != 200 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch first := w.whole[name]; {
	case !strings.HasPrefix(string(text), name+","):
		w.faults = append(w.faults, fmt.Sprintf("%s got %q", name, text))
	case first == "":
		w.whole[name] = string(text)
	case first != string(text):
		w.faults = append(w.faults, fmt.Sprintf("%s got %q, and before that %q (from %s)", name, text, first, x.Source))
	}
}

// move is one of a random history: a call, the end of one that is at the provider,
// or a while.
type move struct {
	kind   int // 0 to 2 a call, 3 and 4 an end, 5 a while
	call   call
	fate   fate
	chosen int
}

func moves(t *rapid.T) []move {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
		m := move{kind: rapid.IntRange(0, 5).Draw(t, "kind"), chosen: rapid.IntRange(0, 100).Draw(t, "gate")}
		m.fate.crash = rapid.SampledFrom(append(steps, "", "", "", "")).Draw(t, "crash")
		m.fate.status = rapid.SampledFrom([]int{200, 200, 200, 400, 500, 0}).Draw(t, "status")
		m.fate.executed = m.fate.status == 200 || m.fate.status != 400 && rapid.Bool().Draw(t, "executed")
		m.call = keyed(rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key"))
		m.call.account = rapid.SampledFrom([]string{"A", "B"}).Draw(t, "tenant")
		if rapid.IntRange(0, 9).Draw(t, "payload") == 0 {
			m.call.body = "another"
		}
		return m
	}), 1, 40).Draw(t, "moves")
}

// play makes the moves in virtual time.
func (w *world) play(t *testing.T, all []move) {
	r := ring(t)
	live := &idempotency.Live{Store: mortal{store.NewMemory().Answers()}, Ring: func() (*seal.Ring, error) { return r, nil }}
	src := strings.Replace(kept, "final  = [402]", "", 1)
	if !w.knows {
		src = strings.Replace(alone, `request.header["X-Order-Id"]`, `request.header["Idempotency-Key"]`, 1)
	}
	h := build(t, live, w.provider, src)
	var calls sync.WaitGroup
	release := func(i int) {
		w.mu.Lock()
		gate := w.gates[i]
		w.gates = slices.Delete(w.gates, i, i+1)
		w.mu.Unlock()
		close(gate)
		synctest.Wait()
	}
	for _, m := range all {
		switch {
		case m.kind < 3:
			calls.Go(func() { w.make(h, m.call, &m.fate) })
			synctest.Wait()
		case m.kind < 5 && len(w.gates) > 0:
			release(m.chosen % len(w.gates))
		case m.kind == 5:
			time.Sleep(31 * time.Second) // what died is known to be dead
		}
	}
	for len(w.gates) > 0 {
		release(0)
	}
	calls.Wait()
	time.Sleep(time.Minute) // for the timers of the dead
}

// TestC45TwoTenants: two tenants with the same keys and payloads, at a provider
// that knows keys and at one that does not; calls overlap in any order, fail in
// any way, and their processes die at any step. Nothing is executed twice, every
// repeat gets the bytes of the first answer, and nobody sees a byte of the other.
func TestC45TwoTenants(t *testing.T) {
	ran, died, executed, given := 0, map[string]int{}, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{knows: rapid.Bool().Draw(rt, "the provider knows keys"), executed: map[string][]string{}, whole: map[string]string{}}
		all := moves(rt)
		synctest.Test(t, func(t *testing.T) { w.play(t, all) })
		for _, m := range all {
			if m.kind < 3 {
				ran++
				died[m.fate.crash]++
			}
		}
		for name, answers := range w.executed {
			executed += len(answers)
			if len(answers) > 1 {
				rt.Errorf("%s was executed %d times", name, len(answers))
			}
		}
		given += len(w.whole)
		for _, f := range w.faults {
			rt.Error(f)
		}
	})
	if executed == 0 || given == 0 || len(died) != len(steps) {
		t.Errorf("%d executions, %d answers, died %v: the test cannot see", executed, given, slices.Sorted(maps.Keys(died)))
	}
	t.Logf("%d calls, %d executions, %d answers; died %v", ran, executed, given, died)
}

// TestCrashOnDisk: the process is gone between sent and answered, and its database
// is opened by the next one: what was sent is not free, and not in flight for ever.
func TestCrashOnDisk(t *testing.T) {
	path, r := filepath.Join(t.TempDir(), "postern.db"), ring(t)
	open := func() (*store.SQLite, *idempotency.Live) {
		s, err := store.OpenSQLite(t.Context(), path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s, &idempotency.Live{Store: s.Answers(), Ring: func() (*seal.Ring, error) { return r, nil }}
	}
	for name, c := range map[string]struct {
		src  string
		want string
	}{"the provider knows the key": {kept, "again"}, "nobody does": {alone, "maybe"}} {
		t.Run(name, func(t *testing.T) {
			u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					panic(errCrash)
				}
				return answer(200, "second"), nil
			}}
			s, live := open()
			func() {
				defer func() { _ = recover() }()
				_, _, _ = build(t, live, u.RoundTrip, c.src).do(keyed(name))
			}()
			_, _, err := build(t, live, u.RoundTrip, c.src).do(keyed(name))
			denied(t, err, policy.IdempotencyInFlight)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, live = open()
			defer s.Close()
			h := build(t, live, u.RoundTrip, c.src)
			x, resp, err := h.do(keyed(name))
			if c.want == "maybe" {
				if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Maybe || u.n != 1 {
					t.Errorf("%+v, sent %d times", d, u.n)
				}
				return
			}
			if got := read(t, resp, err); got != "second" || !x.Unsure {
				t.Errorf("%q, unsure %v", got, x.Unsure)
			}
			x, resp, err = h.do(keyed(name))
			if got := read(t, resp, err); got != "second" || x.Source != policy.Replayed || u.n != 2 {
				t.Errorf("%q from %q, sent %d times", got, x.Source, u.n)
			}
		})
	}
}
