// Demo walks the main road in both directions, on this machine alone: an
// application that holds no key calls Stripe's own mock through Postern while
// the way there fails on purpose, and Stripe's webhooks reach the application
// once each although Postern is killed in between. It ends with an account of
// what happened. The exit code is 0 only if every count in it agrees.
//
// usage: cd e2e && go run ./demo -postern ../bin/postern
//
// Read it in this order:
//
//	main.go      the stage and its order
//	policy.go    examples/quickstart, made fit for it
//	gate.go      the postern process
//	client.go    which program makes the calls; app.go and app.mjs are those
//	outbound.go  the calls, and what goes wrong with them
//	sender.go    Stripe's side of webhooks
//	shop.go      the application's side of webhooks
//	inbound.go   the webhooks, and the kill
//	account.go   how it is told; tell_calls.go and tell_webhooks.go say what must be true
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/receiver"
	"github.com/postern-proxy/postern/e2e/stripemock"
)

// within bounds everything that happens once stripe-mock and the client are there.
const within = 3 * time.Minute

func main() {
	binary := flag.String("postern", "../bin/postern", "the binary to show")
	policy := flag.String("policy", "../examples/quickstart", "the folder of its policy")
	app := flag.Bool("app", false, "be the application instead: make the calls, print a line for each")
	flag.Parse()
	if *app {
		os.Exit(application())
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // should nobody read on, the demo still cleans up
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(show(ctx, *binary, *policy))
}

// show runs the demo, says how it ended, and returns the exit code.
func show(ctx context.Context, binary, policy string) int {
	a := newAccount(os.Stdout)
	dir, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	err = run(ctx, a, binary, policy, dir)
	interrupted := ctx.Err() != nil
	if err == nil && a.wrong == 0 || interrupted {
		os.RemoveAll(dir)
	}
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted")
	case err != nil:
		fmt.Fprintf(os.Stderr, "demo: %v\ndemo: the logs are in %s\n", err, dir)
	case a.wrong > 0:
		a.end()
		fmt.Fprintf(os.Stderr, "demo: the logs are in %s\n", dir)
	default:
		a.end()
		return 0
	}
	return 1
}

// stage is what stands while the demo runs.
type stage struct {
	account *account
	gate    *gate
	client  client
	stripe  *faults.Server // stripe-mock, and its bad days
	ledger  *faults.Server // a provider that knows no idempotency keys
	app     *shop
}

func run(ctx context.Context, a *account, binary, policy, dir string) error {
	if _, err := os.Stat("stripemock"); err != nil {
		return errors.New("run it in the folder e2e, as `make demo` does")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("there is no binary to show: %w; `make build` makes it", err)
	}
	a.step("stripe-mock", "Stripe's own mock; the first time it is built, which takes a while")
	mock, err := stripemock.Start()
	if err != nil {
		return err
	}
	defer mock.Close()
	c := chooseClient(ctx, a)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it takes longer than %s", within))
	defer cancel()
	a.begin()
	ca, err := faults.NewCA(dir)
	if err != nil {
		return err
	}
	backend, err := faults.Proxy(mock.URL)
	if err != nil {
		return err
	}
	stripe, err := faults.Listen(faults.Config{CA: ca, Hosts: []string{"api.stripe.com"}, Backend: backend})
	if err != nil {
		return err
	}
	defer stripe.Close()
	ledger, err := faults.Listen(faults.Config{CA: ca, Hosts: []string{ledgerHost}})
	if err != nil {
		return err
	}
	defer ledger.Close()
	app := newShop()
	if app.Receiver, err = receiver.Listen(app.answer); err != nil {
		return err
	}
	defer app.Close()
	g, err := newGate(dir, binary, ca.File)
	if err != nil {
		return err
	}
	if err := g.write(policy, stripe.URL(), ledger.URL(), app.URL); err != nil {
		return err
	}
	return (&stage{a, g, c, stripe, ledger, app}).play(ctx, policy)
}

// play is the order of events: both directions, then the account of both.
func (s *stage) play(ctx context.Context, policy string) error {
	tests, err := s.gate.command(ctx, "test", policy)
	if err != nil {
		return fmt.Errorf("the policy's own tests: %w", err)
	}
	s.account.step("policy", "%s, whose own tests say: %s", filepath.Clean(policy), lastLine(tests))
	if err := s.gate.start(ctx); err != nil {
		return err
	}
	defer s.gate.kill()
	s.account.step("postern", "pid %d, ready after %s", s.gate.pid(), short(s.gate.took))
	calls, err := s.calls(ctx)
	if err != nil {
		return err
	}
	hooks, err := s.webhooks(ctx)
	if err != nil {
		return err
	}
	code := s.gate.stop()
	s.tellCalls(calls)
	s.tellUnsafe(calls)
	s.tellWebhooks(hooks)
	return s.tellRest(code)
}

// tellRest is about what concerns both directions.
func (s *stage) tellRest(code int) error {
	log, err := os.ReadFile(s.gate.logFile)
	if err != nil {
		return err
	}
	a := s.account
	a.title("Postern itself")
	leaked := holding(string(log), s.gate.secrets())
	a.check("secrets in its log", len(leaked) == 0, "%s, in %d lines", noneOr(leaked), lines(log))
	a.check("ended by SIGTERM", code == 0, "exit code %d", code)
	return nil
}
