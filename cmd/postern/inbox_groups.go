package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

func inboxGroups(o *options, output *string) *cobra.Command {
	var f inboxFlags
	cmd := &cobra.Command{
		Use: "groups", Short: "Show what is in quarantine, by how it does not fit its schema", Args: cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			filter, err := f.filter(nil)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			got, err := c.Groups(cmd.Context(), filter)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			return printGroups(cmd.OutOrStdout(), *output, got.Groups)
		}),
	}
	f.add(cmd)
	_ = cmd.Flags().MarkHidden("status") // a group is of what is in quarantine
	return cmd
}

func printGroups(w io.Writer, output string, groups []admin.Group) error {
	enc := json.NewEncoder(w)
	switch output {
	case "ndjson":
		for _, g := range groups {
			if err := enc.Encode(g); err != nil {
				return &exitError{exitFailure, err}
			}
		}
		return nil
	case "json":
		enc.SetIndent("", "  ")
		return enc.Encode(groups)
	case "table":
	default:
		return &exitError{exitUsage, fmt.Errorf("--output: %q is none of table, json and ndjson", output)}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "MISFIT\tCOUNT\tWEBHOOK\tTYPE\tFIRST\tLAST\tEXAMPLE\tREASON")
	for _, g := range groups {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Misfit, g.Count, g.Webhook, fallback(g.Type, "-"),
			g.First.UTC().Format(time.RFC3339), g.Last.UTC().Format(time.RFC3339), g.Example, g.Reason)
	}
	return tw.Flush()
}

// proved words how an event was verified, in one line.
func proved(e *admin.Event) string {
	p := e.Proof
	if !e.Verified {
		return "false"
	}
	text := "true"
	if p.Scheme != "" {
		text = "by " + p.Scheme
	}
	if p.Key != "" {
		text += ", key " + p.Key
	}
	if p.Late {
		text += " (an old one)"
	}
	if !p.Signed.IsZero() {
		text += fmt.Sprintf(", signed %s (%.1f s before it was received)", p.Signed.UTC().Format(time.RFC3339), e.Received.Sub(p.Signed).Seconds())
	}
	if p.Partial {
		text += ", not the whole body"
	}
	return text
}
