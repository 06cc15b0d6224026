package block

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// vault stands for the programs of a secret manager.
type vault struct {
	mu    sync.Mutex
	value map[string]string // by program; none: it fails
	takes time.Duration
	runs  map[string]int
	at    []time.Time
	told  []Change
}

// newVault returns secrets whose commands are answered by a vault.
func newVault(t *testing.T, value map[string]string) (*vault, *Secrets) {
	t.Helper()
	v := &vault{value: value, runs: map[string]int{}}
	s := NewSecrets(nil)
	s.commands.exec = v.run
	s.Observe(func(c Change) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.told = append(v.told, c)
	})
	t.Cleanup(s.Close)
	return v, s
}

func (v *vault) run(ctx context.Context, c command, _ []string) (string, error) {
	v.mu.Lock()
	v.runs[c.program()]++
	v.at = append(v.at, time.Now())
	takes := v.takes
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return "", &commandError{why: c.program() + " did not end within " + c.timeout.String()}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if got := v.value[c.program()]; got != "" {
		return got, nil
	}
	return "", &commandError{why: c.program() + " ended with exit status 2"}
}

func (v *vault) put(program, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value[program] = value
}

func (v *vault) times(program string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.runs[program]
}

// seen is when programs were run, and what was told.
func (v *vault) seen() (at []time.Time, told []Change) {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.at), slices.Clone(v.told)
}

// slow makes programs take their time.
func (v *vault) slow(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.takes = d
}

// load decodes what stands in a block as a start or a reload does, and makes it
// the configuration in force.
func load(t *testing.T, s *Secrets, exprs ...string) (secrets []Secret, diags hcl.Diagnostics) {
	t.Helper()
	var into sample
	ctx := NewContext("test", s)
	if diags := Decode(parse(t, "token = ["+strings.Join(exprs, ",\n")+"]"), ctx, &into); diags.HasErrors() {
		t.Fatal(diags)
	}
	diags = ctx.Resolve(t.Context())
	s.Use(ctx)
	return into.Token, diags
}

// refreshing runs Refresh for the rest of a test.
func refreshing(t *testing.T, s *Secrets) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Refresh(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
}

// TestCommandsAtStart: they are run at the same time, each once for all its uses,
// and not longer than their timeout; what has not answered is missing until it
// does, and calls wait for none of them.
func TestCommandsAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{})
		var exprs []string
		for n := range 20 {
			v.put(fmt.Sprintf("p%d", n), fmt.Sprintf("value-%d", n))
			exprs = append(exprs, fmt.Sprintf(`command("p%d x")`, n), fmt.Sprintf(`"Bearer ${command("p%d x")}"`, n))
		}
		v.slow(3 * time.Second)
		start := time.Now()
		secrets, diags := load(t, s, exprs...)
		if took := time.Since(start); took != 9*time.Second || len(diags) != 0 {
			t.Errorf("20 commands of 3 s, 8 at once, took %v: %v", took, diags)
		}
		is(t, secrets[4], "value-2")
		is(t, secrets[5], "Bearer value-2")
		for n := range 20 {
			if program := fmt.Sprintf("p%d", n); v.times(program) != 1 {
				t.Errorf("%s was run %d times", program, v.times(program))
			}
		}
		v.slow(time.Hour)
		exprs = nil
		for n := range 30 {
			exprs = append(exprs, fmt.Sprintf(`command("q%d", { timeout = "5s" })`, n))
		}
		refreshing(t, s)
		start = time.Now()
		secrets, diags = load(t, s, exprs...)
		if took := time.Since(start); took > 6*time.Second || len(diags) != 30 || diags.HasErrors() {
			t.Errorf("30 commands that hang took %v: %d diagnostics", took, len(diags))
		}
		start = time.Now()
		for _, sec := range secrets {
			if v, err := sec.Reveal(); err == nil || v != "" || !errors.Is(err, ErrCommand) {
				t.Errorf("%q, %v", v, err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a call waited for %v", took)
		}
	})
}

// TestCommandRefresh: a value is asked for again before its lifetime ends, and a
// new one is used without a reload.
func TestCommandRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789"})
		refreshing(t, s)
		secrets, _ := load(t, s, `"Bearer ${command("vault x", { lifetime = "10m" })}"`)
		is(t, secrets[0], "Bearer one-key-0123456789")
		for n := range 50 {
			value := fmt.Sprintf("key-%d-0123456789", n)
			v.put("vault", value)
			time.Sleep(8*time.Minute + time.Second)
			is(t, secrets[0], "Bearer "+value)
		}
		at, told := v.seen()
		for i := range at[1:] {
			if gap := at[i+1].Sub(at[i]); gap < 7*time.Minute || gap > 8*time.Minute {
				t.Errorf("run after %v, for a lifetime of 10m", gap)
			}
		}
		if len(told) > 0 {
			t.Errorf("told %+v", told)
		}
		values := 0
		s.Watch(func(string) { values++ }, func(string) {})
		if lasting := len(s.known.lasting); lasting != 2 || values < 100 {
			t.Errorf("%d values are known for good, %d in all", lasting, values)
		}
	})
}

// TestCommandStaticStability: while a manager is down the last good value stays
// in use, however long, and it is asked again and again, but not often; when it is
// back the new value is used.
func TestCommandStaticStability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789"})
		refreshing(t, s)
		secrets, _ := load(t, s, `command("vault x", { lifetime = "10m" })`)
		is(t, secrets[0], "one-key-0123456789")
		v.put("vault", "")
		for range 3 * 24 {
			time.Sleep(time.Hour)
			is(t, secrets[0], "one-key-0123456789")
			if again, diags := load(t, s, `command("vault x", { lifetime = "10m" })`); len(diags) > 0 {
				t.Fatalf("a reload: %v", diags)
			} else {
				is(t, again[0], "one-key-0123456789")
			}
		}
		if n := v.times("vault"); n < 3*24*12 || n > 3*24*26 {
			t.Errorf("run %d times in three days", n)
		}
		if _, told := v.seen(); !told[0].Kept || told[0].Err == nil || !told[0].Till.IsZero() {
			t.Errorf("told %+v", told[0])
		}
		v.put("vault", "new-key-0123456789")
		time.Sleep(slowest + time.Second)
		is(t, secrets[0], "new-key-0123456789")
		if _, told := v.seen(); told[len(told)-1].Err != nil {
			t.Errorf("told at last %+v", told[len(told)-1])
		}
	})
}

// TestCommandDownAtStart: it starts, what needs the value fails closed, and that
// ends by itself; the pauses grow.
func TestCommandDownAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{})
		refreshing(t, s)
		secrets, diags := load(t, s, `command("vault x")`)
		if len(diags) != 1 || diags[0].Severity != hcl.DiagWarning || !strings.Contains(diags[0].Detail, "exit status 2") || !strings.Contains(diags[0].Detail, "needs no restart") {
			t.Fatalf("%s", all(diags))
		}
		if m, ok := diags[0].Extra.(Missing); !ok || !strings.Contains(m.Cure, "run vault by hand") {
			t.Errorf("%+v", diags[0].Extra)
		}
		if got, err := secrets[0].Reveal(); err == nil || got != "" {
			t.Errorf("%q, %v", got, err)
		}
		time.Sleep(time.Hour)
		var gaps []time.Duration
		at, _ := v.seen()
		for i := range at[1:] {
			gaps = append(gaps, at[i+1].Sub(at[i]))
		}
		if gaps[0] > time.Second || gaps[3] > 8*time.Second || !slices.ContainsFunc(gaps, func(d time.Duration) bool { return d > 2*time.Minute }) || slices.Max(gaps) > slowest || len(gaps) > 40 {
			t.Errorf("it was tried after %v", gaps)
		}
		v.put("vault", "one-key-0123456789")
		time.Sleep(slowest)
		is(t, secrets[0], "one-key-0123456789")
	})
}

// TestCommandReloads: loading the configuration again and again runs nothing
// again; a command that is new is run, one that is gone is not run any more.
func TestCommandReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789", "op": "two-key-0123456789"})
		refreshing(t, s)
		var old Secret
		for n := range 100 {
			secrets, _ := load(t, s, `command("vault x")`)
			is(t, secrets[0], "one-key-0123456789")
			if n == 0 {
				old = secrets[0]
			}
		}
		if n := v.times("vault"); n != 1 {
			t.Errorf("run %d times for 100 reloads", n)
		}
		secrets, _ := load(t, s, `command("op x")`)
		is(t, secrets[0], "two-key-0123456789")
		time.Sleep(24 * time.Hour)
		is(t, old, "one-key-0123456789") // a call that began with it
		if v.times("vault") != 1 || v.times("op") < 24*4 {
			t.Errorf("one that is gone was run %d times, the other one %d", v.times("vault"), v.times("op"))
		}
		if len(s.commands.known) != 1 {
			t.Errorf("%d commands are known", len(s.commands.known))
		}
		v.put("gcloud", "six-key-0123456789")
		load(t, s, `command("op x")`, `command("gcloud x")`)
		v.slow(5 * time.Second)
		for v.times("gcloud") < 2 {
			time.Sleep(time.Second)
		}
		load(t, s, `command("op x")`) // while the other one runs
		time.Sleep(24 * time.Hour)
		if n := v.times("gcloud"); n != 2 {
			t.Errorf("one that is gone was run %d times", n)
		}
	})
}

// TestCommandChosen: of a conditional that is decided only one side is run, and
// validating a policy runs nothing.
func TestCommandChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"live": "one-key-0123456789", "test": "two-key-0123456789"})
		tokenOf(t, s, `command("live x")`)
		time.Sleep(time.Hour)
		if at, _ := v.seen(); len(at) > 0 {
			t.Error("it was run without need")
		}
		secrets, _ := load(t, s, `environment == "prod" ? command("live x") : command("test x")`)
		is(t, secrets[0], "two-key-0123456789")
		if v.times("live") != 0 {
			t.Error("the one that was not chosen was run")
		}
	})
}

// TestCommandExpect: at the start a value that expect() refuses is a mistake; one
// that comes later leaves the last good one in use, and that is told once.
func TestCommandExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const expr = `expect(command("vault x"), "^sk_live_\\d+$")`
		v, s := newVault(t, map[string]string{"vault": "sk_test_canary"})
		refreshing(t, s)
		if _, diags := load(t, s, expr); !diags.HasErrors() || !strings.Contains(all(diags), "does not match") || strings.Contains(all(diags), "canary") {
			t.Errorf("%s", all(diags))
		}
		v.put("vault", "sk_live_1")
		time.Sleep(defaultLifetime)
		secrets, diags := load(t, s, expr)
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		is(t, secrets[0], "sk_live_1")
		v.put("vault", "sk_test_canary")
		for range 10 {
			time.Sleep(defaultLifetime)
			is(t, secrets[0], "sk_live_1")
		}
		if _, told := v.seen(); len(told) != 1 || !told[0].Kept || !strings.Contains(told[0].Err.Error(), "does not match") || strings.Contains(fmt.Sprint(told), "canary") {
			t.Errorf("told %+v", told)
		}
		v.put("vault", "sk_live_2")
		time.Sleep(defaultLifetime)
		is(t, secrets[0], "sk_live_2")
	})
}

// TestCommandRenew: a value that was refused is asked for again at once, once
// for all who had it, and not again for a while.
func TestCommandRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789"})
		secrets, _ := load(t, s, `command("vault x")`)
		is(t, secrets[0], "one-key-0123456789")
		v.put("vault", "new-key-0123456789")
		if secrets[0].Renew(t.Context(), "one-key-0123456789") || v.times("vault") != 1 {
			t.Error("one that has just been run is run again")
		}
		time.Sleep(coolDown)
		v.slow(2 * time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if !secrets[0].Renew(t.Context(), "one-key-0123456789") {
					t.Error("the new value is not found")
				}
			})
		}
		wg.Wait()
		if n, took := v.times("vault"), time.Since(start); n != 2 || took != 2*time.Second {
			t.Errorf("run %d times in %v", n, took)
		}
		is(t, secrets[0], "new-key-0123456789")
		if secrets[0].Renew(t.Context(), "new-key-0123456789") {
			t.Error("there is no newer value")
		}
		time.Sleep(coolDown)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if start := time.Now(); secrets[0].Renew(ctx, "new-key-0123456789") || time.Since(start) != time.Second {
			t.Errorf("a call waited for %v", time.Since(start))
		}
	})
}

// TestCommandAgain: somebody says that there are new values.
func TestCommandAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789"})
		refreshing(t, s)
		secrets, _ := load(t, s, `command("vault x")`)
		v.put("vault", "new-key-0123456789")
		s.Again()
		synctest.Wait()
		is(t, secrets[0], "one-key-0123456789") // it has just been run
		time.Sleep(leastWait + time.Second)
		for range 10 {
			s.Again()
			synctest.Wait()
		}
		is(t, secrets[0], "new-key-0123456789")
		if n := v.times("vault"); n != 2 {
			t.Errorf("run %d times", n)
		}
	})
}

// TestCommandClose: when Postern ends, programs that run are ended, and nothing
// is told.
func TestCommandClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, s := newVault(t, map[string]string{"vault": "one-key-0123456789"})
		v.slow(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c, _ := tokenOf(t, s, `command("vault x", { timeout = "1m" })`)
		start := time.Now()
		c.Resolve(ctx)
		s.Close()
		took := time.Since(start)
		if _, told := v.seen(); took != time.Second || len(told) > 0 {
			t.Errorf("it took %v, told %v", took, told)
		}
		s.Close()
		if _, sec := tokenOf(t, s, `command("op x")`); sec.Renew(t.Context(), "x") || v.times("op") > 0 {
			t.Error("it is run after the end")
		}
	})
}
