package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/telemetry"
)

func runCommand(o *options) *cobra.Command {
	var level slog.Level
	var format string
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the gate: the proxy, the inbox and the admin listener",
		Long:  "Run the gate: the proxy, the inbox and the admin listener.\n\nSIGHUP or a changed file reloads the configuration: whole, or not at all. SIGTERM drains: /readyz says so at once, for --drain-delay everything is served as before, then what is under way ends. A second one ends at once, with exit code 1.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(200) // calls leave garbage, and little stays: half the collections for some MiB
			}
			env, err := harden()
			if err != nil {
				return &exitError{exitFailure, err}
			}
			log := telemetry.Options{Output: cmd.ErrOrStderr(), Level: level}
			if err := log.Format.UnmarshalText([]byte(format)); err != nil {
				return &exitError{exitUsage, fmt.Errorf("--log-format: %w", err)}
			}
			delay, err = drainDelay(delay, cmd.Flags().Changed("drain-delay"))
			if err != nil {
				return &exitError{exitUsage, err}
			}
			defer insist(cmd.ErrOrStderr())()
			g, err := openGate(cmd.Context(), o.config, log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			env.concealFrom(g.first, g.tel)
			g.delay, g.manager = delay, newManager(g.tel)
			g.announce(cmd.OutOrStdout())
			if err := g.serve(cmd.Context()); err != nil {
				return &exitError{exitFailure, err}
			}
			return nil
		},
	}
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	cmd.Flags().StringVar(&format, "log-format", "auto", "json, text or auto: text on a terminal")
	cmd.Flags().DurationVar(&delay, "drain-delay", 0, "how long to serve on after SIGTERM, so that load balancers notice (POSTERN_DRAIN_DELAY)")
	return cmd
}

// serve runs everything until ctx ends, then drains.
func (g *gate) serve(ctx context.Context) error {
	failed := make(chan error, 4)
	go func() { failed <- g.proxy.Serve() }()
	go func() { failed <- g.serveWebhooks() }()
	go func() { failed <- g.admin.serve() }()
	if g.connect != nil {
		go func() { failed <- g.connect.serve() }()
	}
	deliveries, stopDeliveries := context.WithCancel(context.WithoutCancel(ctx))
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		var wg sync.WaitGroup
		wg.Go(func() { g.roster.Run(deliveries) })
		wg.Go(func() { g.maintain(deliveries) })
		wg.Go(func() { g.keeper.Watch(deliveries) })
		wg.Go(func() { g.tend(deliveries) })
		wg.Go(func() { g.inbox.Run(deliveries) })
		wg.Go(func() { g.overseer.Run(deliveries) })
		wg.Go(func() { g.outbox.Run(deliveries) })
		wg.Go(func() { g.stale.Run(deliveries) })
		wg.Go(func() { g.secrets.Refresh(deliveries) })
		wg.Wait()
	}()
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		var wg sync.WaitGroup
		wg.Go(func() { g.watch(watching) })
		wg.Go(func() { g.watchdog(watching) })
		wg.Wait()
	}()
	g.tel.Reload(nil)
	if w := g.authority.Warning(); w != "" {
		g.tel.Transition(slog.LevelWarn, w)
	}
	if promise, sure := g.db.Promise(); !sure {
		g.tel.Transition(slog.LevelWarn, "store "+g.db.Where()+": "+promise)
	}
	g.ready.Store(true)
	g.manager.tell("READY=1")

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	g.ready.Store(false)
	g.manager.tell("STOPPING=1")
	g.admin.Drain()
	if cause == nil && g.delay > 0 {
		g.tel.Transition(slog.LevelInfo, "not ready any more, still serving", slog.Duration("for", g.delay))
		g.proxy.EndKeepAlive()
		g.drainer.EndKeepAlive()
		if g.connect != nil {
			g.connect.drain.EndKeepAlive()
		}
		select {
		case <-time.After(g.delay):
		case cause = <-failed:
		}
	}
	stopWatching()
	<-watched
	return errors.Join(cause, g.drain(stopDeliveries, delivered))
}

// watch reloads on SIGHUP and when a file of the configuration, or one that
// holds a secret, changes.
func (g *gate) watch(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	var busy []string
	if db, ok := g.db.(*store.SQLite); ok {
		busy = append(busy, filepath.Dir(db.Where()))
	}
	w, err := config.NewWatcher(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}, busy...)
	if err != nil {
		g.tel.Trouble("files are not watched; reload by SIGHUP", err)
	} else {
		defer w.Close()
		g.follow(w)
		go w.Run(ctx)
		g.watching.Store(true)
	}
	var lost <-chan time.Time // when the value of a file that is gone is given up
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			g.secrets.Again()
			_ = g.reload(ctx) // said where it happens
		case <-changed:
			_ = g.reload(ctx)
		case <-lost:
			_ = g.reload(ctx)
		case <-g.reloaded:
			if lost = nil; w != nil {
				g.follow(w)
			}
			if at := g.secrets.Look(); !at.IsZero() {
				lost = time.After(time.Until(at))
			}
		}
	}
}

// follow watches what the configuration in force was made of.
func (g *gate) follow(w *config.Watcher) {
	l := g.now.Load()
	w.Watch(slices.Concat(l.Sources, g.secrets.Files())...)
	w.Folder(l.Folder)
}
