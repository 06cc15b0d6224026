package block

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// What commands give is kept beyond one loading of the configuration. Each is
// run once for all its uses, and again in the background before its lifetime
// ends; while it fails the last good value stays in use, however old. Nothing
// that a call needs ever waits for a program, but for a value that was refused.
const (
	atOnce    = 8               // programs that run at the same time
	slowest   = 5 * time.Minute // between two attempts while a command fails
	coolDown  = 15 * time.Second
	leastWait = 10 * time.Second // between two runs that somebody asks for
)

var (
	errNotRun  = &commandError{why: "it was not run yet"}
	errWaiting = &commandError{why: "it has not ended yet; it is waited for in the background"}
)

// commands are the sources that are commands.
type commands struct {
	exec  func(context.Context, command, []string) (string, error) // command.run, but in tests
	slots chan struct{}
	wake  chan struct{} // when the next run is due may have changed
	ctx   context.Context
	stop  context.CancelFunc
	runs  sync.WaitGroup

	mu       sync.Mutex
	known    map[command]*commandState
	withheld map[string]bool // variables of the environment that no command gets by default
}

func newCommands() *commands {
	c := &commands{
		exec:  func(ctx context.Context, c command, environ []string) (string, error) { return c.run(ctx, environ) },
		slots: make(chan struct{}, atOnce), wake: make(chan struct{}, 1),
		known: map[command]*commandState{}, withheld: map[string]bool{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// commandState is one command, and what it gave.
type commandState struct {
	command
	ref string // with the first place where it is written

	mu      sync.Mutex
	value   string // the last good one, "" if there is none
	got     time.Time
	err     error     // of the last run
	failed  int       // runs in a row
	began   time.Time // the last run; zero if there was none
	took    time.Duration
	due     time.Time // the next one
	running chan struct{}
	wanted  bool // by the configuration in force
}

// note makes a reference of a policy known before it is needed.
func (s *Secrets) note(r reference, at hcl.Range) {
	s.commands.mu.Lock()
	defer s.commands.mu.Unlock()
	delete(s.unasked, filepath.Base(r.name))
	switch {
	case r.kind == "env":
		s.commands.withheld[r.name] = true
	case r.kind == "command" && s.commands.known[r.command] == nil:
		s.commands.known[r.command] = &commandState{command: r.command, ref: fmt.Sprintf("%v at %s:%d", r, filepath.Base(at.Filename), at.Start.Line)}
	}
}

func (c *commands) holds(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.withheld[name]
}

func (c *commands) state(of command) *commandState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[of]
}

// answer is the last good value of a command.
func (s *Secrets) answer(c command) (string, error) {
	src := s.commands.state(c)
	if src == nil {
		return "", errNotRun
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	switch {
	case src.value != "":
		return src.value, nil
	case src.began.IsZero():
		return "", errNotRun
	case src.err == nil:
		return "", errWaiting
	}
	return "", src.err
}

// first runs the commands among references that never were, all of them at once,
// and waits until they have ended or are late, or ctx ends.
func (s *Secrets) first(ctx context.Context, refs []reference) {
	var ends []<-chan struct{}
	var most time.Duration
	for _, r := range refs {
		src := s.commands.state(r.command)
		if r.kind != "command" || s.stand || src == nil {
			continue
		}
		src.mu.Lock()
		fresh := src.began.IsZero()
		src.mu.Unlock()
		if fresh {
			ends, most = append(ends, s.start(src)), max(most, r.command.timeout)
		}
	}
	if len(ends) == 0 {
		return
	}
	late := time.NewTimer(most + leftover/4) // what is ended for being late says so
	defer late.Stop()
	for _, end := range ends {
		select {
		case <-end:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// start runs a command in the background, unless it runs already, and returns
// what is closed when that ends.
func (s *Secrets) start(src *commandState) <-chan struct{} {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.running != nil {
		return src.running
	}
	c, end := s.commands, make(chan struct{})
	if c.ctx.Err() != nil {
		close(end)
		return end
	}
	src.running, src.began = end, time.Now()
	c.runs.Go(func() {
		defer close(end)
		select {
		case <-c.ctx.Done():
			return
		case c.slots <- struct{}{}:
		}
		value, err := c.exec(c.ctx, src.command, s.environ(src.command))
		<-c.slots
		if c.ctx.Err() == nil { // else it was cut off
			s.ended(src, value, err)
		}
	})
	return end
}

// ended takes note of what a run gave.
func (s *Secrets) ended(src *commandState, value string, err error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	before, failed := src.value, src.failed
	src.running, src.err, src.took = nil, err, time.Since(src.began)
	if err != nil {
		src.failed++
		src.due = time.Now().Add(src.pause())
		s.tell(Change{Ref: src.ref, Err: inFull(err), Kept: before != ""})
	} else {
		src.value, src.got, src.failed = value, time.Now(), 0
		src.due = src.got.Add(src.fresh())
		s.known.remember(value)
		if failed > 0 {
			s.tell(Change{Ref: src.ref})
		}
	}
	if before != src.value || before == "" {
		if before != "" {
			s.known.pass(before)
		}
		s.gen.Add(1)
	}
	s.commands.woken()
}

// took is how long the last run of a command took.
func (s *Secrets) took(c command) time.Duration {
	src := s.commands.state(c)
	if src == nil {
		return 0
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.took
}

// inFull is the error of a command with what its program said, for the log.
func inFull(err error) error {
	var c *commandError
	if errors.As(err, &c) && c.said != "" {
		return fmt.Errorf("%w; it said: %s", err, c.said)
	}
	return err
}

// fresh is how long after it came a value is asked for again: well before its
// lifetime ends, and not by all processes at one moment.
func (c command) fresh() time.Duration {
	most := min(c.lifetime*8/10, c.lifetime-c.timeout)
	return most - rand.N(c.lifetime/10)
}

// pause is how long to wait after so many failures in a row.
func (src *commandState) pause() time.Duration {
	most := min(time.Second<<min(src.failed-1, 16), slowest, src.lifetime)
	return most - rand.N(most/2)
}

func (c *commands) woken() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Use makes c the configuration in force: the commands of no other one are run
// again from now on.
func (s *Secrets) Use(c *Context) {
	wanted := map[command]bool{}
	for _, sec := range c.secrets {
		for _, r := range sec.from {
			wanted[r.command] = r.kind == "command"
		}
	}
	s.commands.mu.Lock()
	defer s.commands.mu.Unlock()
	for of, src := range s.commands.known {
		src.mu.Lock()
		src.wanted = wanted[of]
		idle := src.running == nil
		src.mu.Unlock()
		if !wanted[of] && idle {
			delete(s.commands.known, of)
		}
	}
	s.commands.woken()
}

// Refresh runs the commands of the configuration in force again, each before its
// value is too old, until ctx ends.
func (s *Secrets) Refresh(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.startDue())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.commands.wake:
		}
	}
}

// startDue starts what is due, and returns how long there is nothing to do.
func (s *Secrets) startDue() (idle time.Duration) {
	idle = time.Hour
	for _, src := range s.commands.wanted() {
		src.mu.Lock()
		left := time.Until(src.due)
		busy := src.running != nil
		src.mu.Unlock()
		switch {
		case busy: // its end wakes us
		case left <= 0:
			s.start(src)
		default:
			idle = min(idle, left)
		}
	}
	return idle
}

func (c *commands) wanted() (list []*commandState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, src := range c.known {
		if src.mu.Lock(); src.wanted {
			list = append(list, src)
		}
		src.mu.Unlock()
	}
	return list
}

// Again lets every command be run anew in the background, because somebody says
// that there are new values; not those that have just been run.
func (s *Secrets) Again() {
	for _, src := range s.commands.wanted() {
		src.mu.Lock()
		if time.Since(src.began) > leastWait {
			src.due = time.Now()
		}
		src.mu.Unlock()
	}
	s.commands.woken()
}

// again runs a command because its value was refused, and reports whether there
// is another one. One that ran a moment ago has nothing newer.
func (s *Secrets) again(ctx context.Context, c command) bool {
	src := s.commands.state(c)
	if src == nil {
		return false
	}
	src.mu.Lock()
	before := src.value
	recent := src.running == nil && time.Since(src.began) < coolDown
	src.mu.Unlock()
	if recent {
		return false
	}
	select {
	case <-s.start(src):
	case <-ctx.Done():
		return false
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.value != before
}

// Close ends the programs that run, and waits for them. Nothing is run after it.
func (s *Secrets) Close() {
	s.commands.stop()
	s.commands.runs.Wait()
}
