package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

func inboxReconcile(o *options, output *string) *cobra.Command {
	var ask admin.Reconcile
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Ask providers now what they have sent, and fetch what is missing", Args: cobra.NoArgs,
		Long: "Ask providers now what they have sent, and fetch what is missing.\n\nThe report counts what no run before was told of; a dry run counts all that it sees, and changes nothing. Total is over all events that are kept.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			_, err := c.Reconcile(cmd.Context(), ask)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			all, err := reconciled(cmd.Context(), c, ask.Webhook)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			return printReconciled(cmd.OutOrStdout(), *output, all)
		}),
	}
	cmd.Flags().StringVar(&ask.Webhook, "webhook", "", "of this webhook; all that have a reconcile block if not given")
	cmd.Flags().StringVar(&ask.Since, "since", "", "how far back, such as 24h or 7d; as the next run by itself would if not given")
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "only look")
	return cmd
}

// reconciled waits for the end of the runs that were begun.
func reconciled(ctx context.Context, c *admin.Client, webhook string) (all []admin.ReconcileStanding, err error) {
	for {
		got, err := c.Reconciles(ctx)
		if err != nil {
			return nil, err
		}
		all = all[:0]
		under := false
		for _, s := range got.Webhooks {
			if webhook == "" || s.Webhook == webhook {
				all = append(all, s)
				under = under || s.Manual != nil && s.Manual.Ended == nil && s.Running
			}
		}
		if !under {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("not waited for its end: it goes on")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func printReconciled(w io.Writer, output string, all []admin.ReconcileStanding) error {
	var failed error
	for _, s := range all {
		switch {
		case s.Manual == nil:
		case s.Manual.Error != "":
			failed = errors.Join(failed, fmt.Errorf("webhook %q: %s", s.Webhook, s.Manual.Error))
		case s.Manual.Ended == nil:
			failed = errors.Join(failed, fmt.Errorf("webhook %q: the process that ran it has ended", s.Webhook))
		}
	}
	if err := writeReconciled(w, output, all); err != nil {
		return err
	}
	if failed != nil {
		return &exitError{exitFailure, failed}
	}
	return nil
}

func writeReconciled(w io.Writer, output string, all []admin.ReconcileStanding) error {
	if output != "table" {
		return printValues(w, output, all)
	}
	var rows [][]string
	row := func(s *admin.ReconcileStanding, run string, r *admin.ReconcileReport) {
		if r == nil {
			return
		}
		if r.DryRun {
			run += ", dry"
		}
		rows = append(rows, append([]string{s.Webhook, fallback(s.Account, "-"), run, shortTime(w, r.Since), shortTime(w, r.Until), fmt.Sprint(r.Pages), fmt.Sprint(r.Listed)},
			append(tallied(&r.Counts), fmt.Sprint(r.Gone))...))
	}
	for i := range all {
		s := &all[i]
		row(s, "asked for", s.Manual)
		row(s, "last", s.Last)
		rows = append(rows, append([]string{s.Webhook, "-", "total", "", "", "", ""}, append(tallied(&s.Total), "")...))
	}
	return printTable(w, []column{
		{"WEBHOOK", 7},
		{"ACCOUNT", 7},
		{"RUN", 0},
		{"SINCE", 9},
		{"UNTIL", 9},
		{"PAGES", 5},
		{"LISTED", 6},
		{"EXPECTED", 0},
		{"RECEIVED", 0},
		{"BACKFILLED", 0},
		{"LATE", 0},
		{"UNKNOWN", 0},
		{"GONE", 0},
	}, rows)
}

func tallied(t *admin.ReconcileTally) (cells []string) {
	for _, n := range [...]int{t.Expected, t.Received, t.Backfilled, t.Late, t.Unknown} {
		cells = append(cells, fmt.Sprint(n))
	}
	return cells
}
