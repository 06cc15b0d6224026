package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

// askWithin is how long one answer about health may take: the checks take 3 s
// at most.
const askWithin = 5 * time.Second

func healthCommand(o *options) *cobra.Command {
	return addAdmin(&cobra.Command{
		Use:   "health",
		Short: "Ask a running Postern whether it is ready; exit with 0 if it is",
		Args:  cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askWithin)
			defer cancel()
			ready, report, err := c.Health(ctx)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprint(cmd.OutOrStdout(), report)
			if !ready {
				return &exitError{exitFailure, nil}
			}
			return nil
		}),
	}, o)
}

func waitCommand(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until a running Postern is ready; exit with 0 then, with 1 at the end of --timeout",
		Long:  "Wait until a running Postern is ready; exit with 0 then, with 1 at the end of --timeout.\n\nPOSTERN_ADMIN, the URL of its admin listener, is enough: no configuration is needed.",
		Args:  cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			if err := await(cmd.Context(), c, timeout); err != nil {
				return &exitError{exitFailure, err}
			}
			return nil
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return addAdmin(cmd, o)
}

// await returns when Postern is ready, or what is missing when timeout is over.
func await(ctx context.Context, c *admin.Client, timeout time.Duration) error {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errors.New("it was not asked")
	for {
		ask, end := context.WithTimeout(within, askWithin)
		ready, report, err := c.Health(ask)
		end()
		switch {
		case ready:
			return nil
		case err == nil:
			last = errors.New(missingOf(report))
		case within.Err() == nil:
			last = err // else it is our own end
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-within.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted; at last: %w", last)
			}
			return fmt.Errorf("not ready after %v: %w", timeout, last)
		}
	}
}

// missingOf lists the checks of a report that failed, in one line.
func missingOf(report string) string {
	var missing []string
	for line := range strings.Lines(report) {
		if check, ok := strings.CutPrefix(strings.TrimSpace(line), "[-] "); ok {
			missing = append(missing, check)
		}
	}
	if missing == nil {
		return strings.TrimSpace(report)
	}
	return strings.Join(missing, "; ")
}
