package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/inbound"
)

// addAdmin gives a command that asks a running Postern the flag to say which.
func addAdmin(cmd *cobra.Command, o *options) *cobra.Command {
	cmd.Flags().StringVar(&o.admin, "admin", "", "URL of the admin listener (POSTERN_ADMIN; else as the configuration says)")
	return cmd
}

func statusCommand(o *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is running, its store, and the replicas known from the store or from Redis",
		Args:  cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			if output != "table" && output != "json" {
				return &exitError{exitUsage, fmt.Errorf("--output: %q is neither table nor json", output)}
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if output == "table" {
				hooks, err := c.Webhooks(cmd.Context())
				if err != nil {
					return &exitError{exitFailure, err}
				}
				all, err := c.Oversight(cmd.Context())
				if err != nil {
					return &exitError{exitFailure, err}
				}
				return printStatus(cmd.OutOrStdout(), &st, hooks.Webhooks, oversights(&all))
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(st)
		}),
	}
	cmd.Flags().StringVar(&output, "output", "table", "table or json")
	return addAdmin(cmd, o)
}

// standing is how the deliveries of a webhook stand: what waits, since when, and what
// waits for a person.
func standing(h *admin.Webhook, now time.Time) string {
	open := 0
	for _, s := range inbound.States {
		if s.Open() {
			open += h.Counts[string(s)]
		}
	}
	line := "nothing waits"
	if open > 0 {
		line = deliveries(int64(open)) + " not applied yet"
		if !h.Oldest.IsZero() {
			line += fmt.Sprintf(", the oldest since %s (%s)", h.Oldest.UTC().Format(time.RFC3339), now.Sub(h.Oldest).Round(time.Second))
		}
	}
	for _, s := range h.Stranded {
		line += fmt.Sprintf("; %d for target %s, which the policy does not have: it waits until it is back", s.Count, s.Target)
	}
	for _, s := range [...]inbound.State{inbound.Failed, inbound.Quarantined, inbound.Conflict} {
		if n := h.Counts[string(s)]; n > 0 {
			line += fmt.Sprintf("; %d in state %s", n, s)
		}
	}
	return line
}

func printStatus(w io.Writer, st *admin.Status, hooks []admin.Webhook, oversights []string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("version", "%s", strings.TrimSpace(st.Version+" "+st.Revision))
	row("replica", "%s, up for %s", st.Replica, time.Duration(st.Uptime*float64(time.Second)).Round(time.Second))
	row("ready", "%s", verdict(st))
	row("configuration", "generation %d, loaded %s", st.Generation, st.Loaded.UTC().Format(time.RFC3339))
	if st.Refused != "" {
		row("", "the last reload was refused: %s", st.Refused)
	}
	for _, l := range st.Listeners {
		row("listener", "%s on %s", l.Name, l.Address)
	}
	row("store", "%s: %s", st.Store.Where, st.Store.Promise)
	for i := range hooks {
		row("webhook", "%s: %s", hooks[i].Name, standing(&hooks[i], time.Now()))
	}
	for _, line := range oversights {
		row("provider", "%s", line)
	}
	for _, p := range st.Paused {
		row("paused", "target %s, since %s: looked for again at %s", p.Target, p.Since.Format(time.RFC3339), p.Until.Format(time.RFC3339))
	}
	fmt.Fprintln(tw, "\nREPLICA\tVERSION\tSINCE\tLAST SEEN\t")
	for _, r := range st.Replicas {
		self, seen := "", "-"
		if r.ID == st.Replica {
			self = "this one"
		}
		if !r.Seen.IsZero() {
			seen = r.Seen.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Version, r.Started.UTC().Format(time.RFC3339), seen, self)
	}
	return tw.Flush()
}

// verdict is "yes", or what is missing.
func verdict(st *admin.Status) string {
	var missing []string
	for _, c := range st.Checks {
		if !c.OK {
			missing = append(missing, c.Name+": "+c.Error)
		}
	}
	switch {
	case !st.Ready:
		return "no: " + strings.Join(missing, "; ")
	case len(missing) > 0:
		return "yes, but " + strings.Join(missing, "; ")
	}
	return "yes"
}

func reloadCommand(o *options) *cobra.Command {
	return addAdmin(&cobra.Command{
		Use:   "reload",
		Short: "Let a running Postern load its configuration anew; exit with 1 if it is refused",
		Args:  cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			st, err := c.Reload(cmd.Context())
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "configuration %d is in force\n", st.Generation)
			return nil
		}),
	}, o)
}
