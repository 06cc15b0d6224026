package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

func inboxTail(o *options, output *string) *cobra.Command {
	f := &inboxFlags{}
	var cursor string
	cmd := &cobra.Command{
		Use: "tail", Short: "Show what happens, as it happens: events that arrive, and moves of their deliveries", Args: cobra.NoArgs,
		Long: "Show what happens, as it happens: events that arrive, and moves of their deliveries.\n\nA server that is started anew is waited for, and nothing that happened meanwhile is left out. When it ends, it says how to go on.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			if f.since != "" || f.until != "" {
				return &exitError{exitUsage, errors.New("tail shows what happens from now on, or from --cursor on: --since and --until are for list and export")}
			}
			filter, err := f.filter(nil)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if *output != "table" && *output != "ndjson" {
				return &exitError{exitUsage, fmt.Errorf("--output: %q is neither table nor ndjson", *output)}
			}
			return tail(cmd, c, filter, cursor, *output)
		}),
	}
	f.add(cmd)
	for _, unfit := range []string{"since", "until"} {
		_ = cmd.Flags().MarkHidden(unfit)
	}
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on from here, as an earlier tail said; else from now on")
	return cmd
}

// tail follows until it is interrupted, and then says where to go on.
func tail(cmd *cobra.Command, c *admin.Client, f admin.Filter, cursor, output string) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	wait, waiting := 250*time.Millisecond, false
	for ctx.Err() == nil {
		page, err := c.Follow(ctx, f, cursor)
		var said *admin.Problem
		switch {
		case ctx.Err() != nil:
			continue
		case errors.As(err, &said) && said.Status < 500:
			return &exitError{exitFailure, err}
		case err != nil && cursor == "":
			return &exitError{exitFailure, err}
		case err != nil:
			if !waiting {
				fmt.Fprintln(cmd.ErrOrStderr(), "waiting for the server:", onLine(err.Error()))
			}
			waiting = true
			pauseFor(ctx, wait)
			wait = min(2*wait, 5*time.Second)
			continue
		}
		if waiting {
			fmt.Fprintln(cmd.ErrOrStderr(), "the server is back")
		}
		wait, waiting = 250*time.Millisecond, false
		for i := range page.Notices {
			if err := printNotice(out, output, &page.Notices[i]); err != nil {
				return &exitError{exitFailure, err}
			}
		}
		cursor = page.Next
	}
	if cursor != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "To go on: %s --cursor %s\n", cmd.CommandPath(), quoted(cursor))
	}
	return nil
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func printNotice(w io.Writer, output string, n *admin.Notice) error {
	if output == "ndjson" {
		return json.NewEncoder(w).Encode(n)
	}
	e := &n.Event
	what := e.Status
	var more []string
	if m := n.Move; m != nil {
		what = fallback(m.From, "new") + " -> " + m.To
		if m.Target != e.Webhook {
			more = append(more, m.Target)
		}
		more = append(more, byWhom(m.Reason, m.By))
	} else if e.Items > 0 {
		what = fmt.Sprintf("brought %s, and is none itself", count(e.Items, "event"))
	} else {
		what = "new: " + what
		more = append(more, e.EventID)
	}
	line := fmt.Sprintf("%s  %s  %s  %s  %s  %s", n.At.UTC().Format("15:04:05.000"), e.ID, e.Webhook, fallback(e.Type, "-"), what, strings.Join(more, " "))
	line = strings.TrimSpace(onLine(line))
	if columns := width(w); columns > 0 {
		line = cut(line, columns)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
