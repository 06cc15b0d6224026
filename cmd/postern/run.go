package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/telemetry"
)

// What is under way may take so long to end: calls, tunnels and webhooks first,
// then deliveries. Kubernetes kills after 30 s.
const (
	graceCalls      = 17 * time.Second
	graceDeliveries = 8 * time.Second
)

func runCommand(o *options) *cobra.Command {
	var level slog.Level
	var format string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the gate: the proxy, the inbox and the admin listener",
		Long:  "Run the gate: the proxy, the inbox and the admin listener.\n\nSIGHUP or a changed file reloads the configuration: whole, or not at all. SIGTERM drains; a second one ends at once.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(200) // calls leave garbage, and little stays: half the collections for some MiB
			}
			if err := harden(); err != nil {
				return &exitError{exitFailure, err}
			}
			log := telemetry.Options{Output: cmd.ErrOrStderr(), Level: level}
			if err := log.Format.UnmarshalText([]byte(format)); err != nil {
				return &exitError{exitUsage, fmt.Errorf("--log-format: %w", err)}
			}
			g, err := openGate(cmd.Context(), o.config, log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			g.announce(cmd.OutOrStdout())
			if err := g.serve(cmd.Context()); err != nil {
				return &exitError{exitFailure, err}
			}
			return nil
		},
	}
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	cmd.Flags().StringVar(&format, "log-format", "auto", "json, text or auto: text on a terminal")
	return cmd
}

// serve runs everything until ctx ends, then drains.
func (g *gate) serve(ctx context.Context) error {
	failed := make(chan error, 3)
	go func() { failed <- g.proxy.Serve() }()
	go func() { failed <- g.serveWebhooks() }()
	go func() { failed <- g.admin.serve() }()
	deliveries, stopDeliveries := context.WithCancel(context.WithoutCancel(ctx))
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		var wg sync.WaitGroup
		wg.Go(func() { g.roster.Run(deliveries) })
		wg.Go(func() { g.maintain(deliveries) })
		wg.Go(func() { g.inbox.Run(deliveries) })
		wg.Wait()
	}()
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); g.watch(watching) }()
	g.tel.Reload(nil)
	if w := g.authority.Warning(); w != "" {
		g.tel.Transition(slog.LevelWarn, w)
	}
	if promise, sure := g.db.Promise(); !sure {
		g.tel.Transition(slog.LevelWarn, "store "+g.db.Where()+": "+promise)
	}
	g.ready.Store(true)

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	g.ready.Store(false)
	g.admin.Drain()
	stopWatching()
	<-watched
	return errors.Join(cause, g.drain(stopDeliveries, delivered))
}

// drain ends everything in the order in which nothing is cut: what comes in
// first, the store last.
func (g *gate) drain(stopDeliveries context.CancelFunc, delivered <-chan struct{}) error {
	g.tel.Transition(slog.LevelInfo, "draining")
	ctx, cancel := context.WithTimeout(context.Background(), graceCalls)
	defer cancel()
	out := make(chan error, 1)
	go func() { out <- g.proxy.Shutdown(ctx) }()
	err := g.receiver.Shutdown(ctx)
	stopDeliveries()
	<-delivered
	err = errors.Join(err, <-out)
	g.transport.Close()
	last, end := context.WithTimeout(context.Background(), time.Second)
	defer end()
	err = errors.Join(err, g.admin.shutdown(last), g.closeShared(), g.db.Close())
	g.tel.Transition(slog.LevelInfo, "stopped")
	g.tel.Close()
	return err
}

// watch reloads on SIGHUP and when a file of the configuration, or one that
// holds a secret, changes.
func (g *gate) watch(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	w, err := config.NewWatcher(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		g.tel.Trouble("files are not watched; reload by SIGHUP", err)
	} else {
		defer w.Close()
		g.follow(w)
		go w.Run(ctx)
		g.watching.Store(true)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		case <-changed:
		}
		_ = g.reload() // said where it happens
		if w != nil {
			g.follow(w)
		}
	}
}

// follow watches what the configuration in force was made of.
func (g *gate) follow(w *config.Watcher) {
	l := g.now.Load()
	w.Watch(slices.Concat(l.Sources, g.secrets.Files())...)
	w.Folder(l.Folder)
}
