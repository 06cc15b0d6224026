package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// inboxFlags select events.
type inboxFlags struct {
	webhooks                                 []string
	provider, account, kind, status, failure string
	since, until, misfit, eventID            string
	limit                                    int
}

func (f *inboxFlags) add(cmd *cobra.Command) {
	states := make([]string, len(inbound.States))
	for i, s := range inbound.States {
		states[i] = string(s)
	}
	cmd.Flags().StringSliceVar(&f.webhooks, "webhook", nil, "name of a webhook; may be repeated")
	cmd.Flags().StringVar(&f.provider, "provider", "", "provider of the webhooks")
	cmd.Flags().StringVar(&f.account, "account", "", "account")
	cmd.Flags().StringVar(&f.kind, "type", "", "type of event; one that ends in * is the beginning of types")
	cmd.Flags().StringVar(&f.eventID, "event-id", "", "the provider's id of the event")
	cmd.Flags().StringVar(&f.status, "status", "", strings.Join(states, ", "))
	cmd.Flags().StringVar(&f.failure, "error", "", "text in the reason of the last failure")
	cmd.Flags().StringVar(&f.misfit, "misfit", "", "fingerprint of what does not fit its schema, as postern inbox groups shows it")
	cmd.Flags().StringVar(&f.since, "since", "", "received after this time (RFC 3339) or this long ago (2h, 3d)")
	cmd.Flags().StringVar(&f.until, "until", "", "received before this time or this long ago")
}

func (f *inboxFlags) filter(ids []string) (out admin.Filter, err error) {
	out = admin.Filter{IDs: append([]string(nil), ids...), Webhooks: f.webhooks, Provider: f.provider, Account: f.account, Type: f.kind, EventID: f.eventID, Misfit: f.misfit, Status: f.status, Error: f.failure}
	switch {
	case f.limit < 0:
		return out, errLimit
	case f.status != "" && !slices.Contains(inbound.States[:], inbound.State(f.status)):
		return out, fmt.Errorf("--status %q is none of %v", f.status, inbound.States)
	}
	if out.Since, err = momentOf("since", &f.since); err != nil {
		return out, err
	}
	out.Until, err = momentOf("until", &f.until)
	return out, err
}

// momentOf reads the time that a flag says, and has the flag say it as a time of day:
// so it is the same for the command that goes on after an interruption.
func momentOf(name string, text *string) (time.Time, error) {
	t, err := moment(*text)
	if err != nil {
		return t, fmt.Errorf("--%s: %w", name, err)
	}
	if !t.IsZero() {
		*text = t.UTC().Format(time.RFC3339Nano)
	}
	return t, nil
}

// moment reads a time, or how long ago it was.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	days, ok := strings.CutSuffix(s, "d")
	if ok {
		s = days + "h"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-23T10:00:00Z nor a duration such as 2h or 3d", s)
	}
	if ok {
		d *= 24
	}
	return time.Now().Add(-d), nil
}

func inboxCommand(o *options) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{Use: "inbox", Short: "Look at stored webhooks, and deliver them again"}
	cmd.PersistentFlags().StringVar(&o.admin, "admin", "", "URL of the admin listener (POSTERN_ADMIN; else as the configuration says)")
	cmd.PersistentFlags().Var((*outputFlag)(&output), "output", outputUsage)
	cmd.AddCommand(inboxList(o, &output), inboxShow(o, &output), inboxRaw(o), inboxTail(o, &output), inboxExport(o), inboxReconcile(o, &output),
		inboxExpect(o, &output), inboxSubscriptions(o, &output), inboxGroups(o, &output), inboxVerify(o, &output),
		inboxAct(o, inbound.ActReplay, "Deliver events again that were applied or have failed"),
		inboxAct(o, inbound.ActRelease, "Deliver events that are held back as a conflict, in quarantine, or ignored"),
		inboxAct(o, inbound.ActDiscard, "Never deliver events that are not applied"))
	return cmd
}

// client asks the Postern that the flags, the environment or the configuration name.
func client(o *options) (*admin.Client, error) {
	address, token := fallback(o.admin, os.Getenv("POSTERN_ADMIN")), os.Getenv("POSTERN_ADMIN_TOKEN")
	if address == "" || token == "" {
		c, _ := config.Load(o.config, os.Environ())
		if c.Admin != nil {
			address = fallback(address, adminURL(c))
			if token == "" && !c.Admin.Token.IsZero() {
				token, _ = c.Admin.Token.Reveal()
			}
		}
	}
	if address == "" {
		return nil, errors.New("the configuration cannot be read, so name the admin listener by --admin or POSTERN_ADMIN")
	}
	return admin.NewClient(address, token)
}

// asking runs a command that asks a running Postern.
func asking(o *options, run func(cmd *cobra.Command, c *admin.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := client(o)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		defer c.Close()
		return run(cmd, c, args)
	}
}

func inboxList(o *options, output *string) *cobra.Command {
	var f inboxFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List events, the newest first", Args: cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			filter, err := f.filter(nil)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			events, err := listed(cmd.Context(), c, filter, f.limit)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if len(events) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), none(cmd.Context(), c, f.webhooks))
			}
			return printEvents(cmd.OutOrStdout(), *output, events)
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 50, "how many at most; 0 is all")
	return cmd
}

const noEvent = "No event matches."

// none says that nothing matches, and why if that is likely to be a mistake.
func none(ctx context.Context, c *admin.Client, webhooks []string) string {
	text := noEvent
	known, err := c.Webhooks(ctx)
	if err != nil {
		return text
	}
	names := make([]string, len(known.Webhooks))
	for i, h := range known.Webhooks {
		names[i] = h.Name
	}
	for _, name := range webhooks {
		if slices.Contains(names, name) {
			continue
		}
		text += fmt.Sprintf(" There is no webhook %q", name)
		if s := block.Suggest(name, names); s != "" {
			text += fmt.Sprintf("; did you mean %q?", s)
		} else {
			text += "."
		}
	}
	return text
}

// listed reads page after page.
func listed(ctx context.Context, c *admin.Client, f admin.Filter, limit int) (events []admin.Event, err error) {
	for cursor := ""; ; {
		page := 0
		if limit > 0 {
			page = min(limit-len(events), 200)
		}
		got, err := c.List(ctx, f, page, cursor)
		if err != nil {
			return nil, err
		}
		events = append(events, got.Events...)
		if cursor = got.Next; cursor == "" || limit > 0 && len(events) >= limit {
			return events, nil
		}
	}
}

func printEvents(w io.Writer, output string, events []admin.Event) error {
	return printAll(w, output, events, []column{{"ID", 0}, {"RECEIVED", 0}, {"WEBHOOK", 7}, {"TYPE", 8}, {"STATUS", 0}, {"ATTEMPTS", 3}, {"EVENT", 5}}, func(e admin.Event) []string {
		attempts, status := 0, e.Status
		for _, d := range e.Deliveries {
			attempts = max(attempts, d.Attempt)
			if d.Stand != "" {
				status = e.Status + ", " + d.Stand
			}
		}
		return []string{e.ID, shortTime(w, e.Received), e.Webhook, fallback(e.Type, "-"), status, fmt.Sprint(attempts), e.EventID}
	})
}

// shortTime is a time for a list: without the date if it was today, where there is
// little room.
func shortTime(w io.Writer, t time.Time) string {
	t = t.UTC()
	if n := width(w); n == 0 || n >= 120 {
		return t.Format(time.RFC3339)
	}
	if t.Format(time.DateOnly) == time.Now().UTC().Format(time.DateOnly) {
		return t.Format("15:04:05Z")
	}
	return t.Format("2006-01-02")
}
