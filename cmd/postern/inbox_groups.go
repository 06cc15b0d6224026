package main

import (
	"fmt"
	"io"
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
			if len(got.Groups) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "Nothing that matches is in quarantine for its schema.")
			}
			return printGroups(cmd.OutOrStdout(), *output, got.Groups)
		}),
	}
	f.add(cmd)
	_ = cmd.Flags().MarkHidden("status") // a group is of what is in quarantine
	return cmd
}

func printGroups(w io.Writer, output string, groups []admin.Group) error {
	return printAll(w, output, groups, []column{{"MISFIT", 0}, {"COUNT", 0}, {"WEBHOOK", 7}, {"TYPE", 8}, {"REASON", 20}, {"FIRST", 9}, {"LAST", 9}, {"EXAMPLE", 36}}, func(g admin.Group) []string {
		return []string{g.Misfit, fmt.Sprint(g.Count), g.Webhook, fallback(g.Type, "-"), g.Reason, shortTime(w, g.First), shortTime(w, g.Last), g.Example}
	})
}

// proved words how an event was verified, in one line.
func proved(e *admin.Event) string {
	p := e.Proof
	if !e.Verified {
		return "no"
	}
	text := "yes"
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
