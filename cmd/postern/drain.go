package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// What is under way may take so long to end: calls, tunnels and webhooks first,
// then deliveries and renewals of tokens, then the store; 26 s together.
// Kubernetes kills after 30 s.
const (
	graceCalls      = 16 * time.Second
	graceDeliveries = 8 * time.Second
	graceRenewals   = 8 * time.Second
	graceStore      = time.Second
)

// drainDelay reads POSTERN_DRAIN_DELAY where the flag is not given.
func drainDelay(flag time.Duration, given bool) (time.Duration, error) {
	text := os.Getenv("POSTERN_DRAIN_DELAY")
	if given || text == "" {
		text = flag.String()
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--drain-delay (POSTERN_DRAIN_DELAY): %q is no duration such as 5s", text)
	}
	return d, nil
}

// insist ends the process at the second signal of those that drain it.
func insist(messages io.Writer) (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-done:
				return
			}
		}
		fmt.Fprintln(messages, "postern: ended at once by a second signal; what was acknowledged is in the store")
		os.Exit(exitFailure)
	}()
	return func() { signal.Stop(signals); close(done) }
}

// drain ends everything in the order in which nothing is cut: what comes in
// first, the store last.
func (g *gate) drain(stopDeliveries context.CancelFunc, delivered <-chan struct{}) error {
	g.tel.Transition(slog.LevelInfo, "draining")
	ctx, cancel := context.WithTimeout(context.Background(), graceCalls)
	defer cancel()
	out, customers := make(chan error, 1), make(chan error, 1)
	go func() { out <- g.proxy.Shutdown(ctx) }()
	go func() { customers <- g.endConnect(ctx) }()
	g.inbox.End()
	err := errors.Join(g.drainer.Shutdown(ctx, nil), <-customers)
	stopDeliveries()
	err = errors.Join(err, within(graceDeliveries+graceStore, "deliveries", func() error {
		renewed := make(chan error, 1)
		go func() { renewed <- g.endKeeper() }()
		<-delivered
		return <-renewed
	}), <-out)
	g.transport.Close()
	g.secrets.Close()
	last, end := context.WithTimeout(context.Background(), graceStore)
	defer end()
	err = errors.Join(err, within(graceStore, "the store", func() error {
		go func() { out <- g.admin.shutdown(last) }()
		return errors.Join(g.closeShared(), g.db.Close(), <-out)
	}))
	g.tel.Transition(slog.LevelInfo, "stopped")
	g.tel.Close()
	return err
}

// within waits for the end of something, but not for ever: a store that does
// not answer must not keep the process.
func within(d time.Duration, what string, end func() error) error {
	done := make(chan error, 1)
	go func() { done <- end() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return fmt.Errorf("%s did not end within %v", what, d)
	}
}
