package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/inbound"
)

func inboxShow(o *options, output *string) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one event, its deliveries and everything that happened to it", Args: cobra.ExactArgs(1),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			e, err := c.Show(cmd.Context(), args[0])
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if *output != "table" {
				return printValue(cmd.OutOrStdout(), *output, e)
			}
			return printEvent(cmd.OutOrStdout(), &e)
		}),
	}
}

func printEvent(w io.Writer, e *admin.Event) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value = onLine(strings.TrimSpace(value)); value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", name, value)
		}
	}
	row("id", e.ID)
	row("event", e.EventID)
	if e.Weak && e.Items == 0 {
		row("weak", "the provider gives no id: this one is a digest of the event")
	}
	if e.Items > 0 {
		row("items", fmt.Sprintf("%d: it brought so many events, and is not one itself", e.Items))
	}
	if e.Variant > 1 {
		row("variant", fmt.Sprintf("%d: there is another event of this id", e.Variant))
	}
	row("webhook", e.Webhook)
	row("type", e.Type)
	row("account", e.Account)
	row("key", e.Key)
	row("parent", e.Parent)
	row("status", e.Status)
	row("verified", proved(e))
	row("misfit", e.Misfit)
	row("received", e.Received.UTC().Format(time.RFC3339Nano))
	row("body", fmt.Sprintf("%d bytes, sha256 %s", e.Size, e.SHA256))
	if !e.Emptied.IsZero() {
		row("removed", e.Emptied.UTC().Format(time.RFC3339)+": the body and its headers are not kept any more")
	}
	for i := range e.Deliveries {
		row("delivery", delivered(&e.Deliveries[i]))
	}
	if len(e.Trail) == 0 {
		fmt.Fprintln(tw, "\nIt has not moved since it was stored.")
		return tw.Flush()
	}
	fmt.Fprintln(tw, "\nAT\tTARGET\tMOVE\tATTEMPT\tANSWER\tREPLICA\tREASON")
	for i := range e.Trail {
		fmt.Fprintln(tw, strings.Join(moveCells(&e.Trail[i]), "\t"))
	}
	return tw.Flush()
}

// moveCells are the cells of one line of the audit trail.
func moveCells(m *admin.Move) []string {
	answer, reason := "-", byWhom(m.Reason, m.By)
	if m.Status != 0 {
		answer = fmt.Sprint(m.Status)
	}
	if m.Detail != "" {
		reason += fmt.Sprintf(" %q", cut(strings.Join(strings.Fields(m.Detail), " "), 200))
	}
	return []string{
		m.At.UTC().Format("2006-01-02T15:04:05.000Z"), fallback(onLine(m.Target), "-"), fallback(m.From, "new") + " -> " + m.To, fmt.Sprint(m.Attempt), answer,
		fallback(m.Replica, "-"), onLine(strings.TrimSpace(reason)),
	}
}

// byWhom is a reason, and who asked for the move.
func byWhom(reason, by string) string {
	if by != "" {
		by = "(" + by + ")"
	}
	return strings.TrimSpace(reason + " " + by)
}

// delivered says in a line where a delivery stands.
func delivered(d *admin.Delivery) string {
	line := d.Target + ": " + d.Status
	if d.Attempt > 0 {
		line += " after " + count(d.Attempt, "attempt")
	}
	switch {
	case d.Stand == "holding":
		line += ", holding its lane"
	case d.Stand == "aside":
		line += ", stepped aside in its lane"
	case inbound.State(d.Status).Open() && d.Due.IsZero():
		line += ", behind others of its lane"
	}
	if d.Status == string(inbound.Retrying) && !d.Due.IsZero() {
		line += ", again at " + d.Due.UTC().Format(time.RFC3339)
	}
	return line + prefixed(": ", d.Reason)
}

func inboxRaw(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "raw ID", Short: "Write the body of one event, byte for byte as it was received", Args: cobra.ExactArgs(1),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if cmd.Flags().Changed("output") {
				return &exitError{exitUsage, errors.New("raw writes the bytes of the body as they are: there is no --output")}
			}
			if err := c.Raw(cmd.Context(), args[0], cmd.OutOrStdout()); err != nil {
				return &exitError{exitFailure, err}
			}
			return nil
		}),
	}
}
