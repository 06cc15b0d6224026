package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

func inboxExpect(o *options, output *string) *cobra.Command {
	return overseen(o, &cobra.Command{
		Use: "expect", Short: "Show for how long webhooks have been silent, and how long they may be", Args: cobra.NoArgs,
		Long: "Show for how long webhooks have been silent, and how long they may be: those with an expect block.\n\nWhat counts is what the provider has sent by itself; what was fetched breaks no silence. A limit that is being learned is not there yet.",
	}, func(cmd *cobra.Command, all admin.Oversight, wanted func(string) bool) error {
		silences := slices.DeleteFunc(all.Silences, func(s admin.Silence) bool { return !wanted(s.Webhook) })
		if len(silences) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No such webhook has an expect block, or it was not looked at yet.")
		}
		return printAll(cmd.OutOrStdout(), *output, silences, []column{{"WEBHOOK", 7}, {"STATE", 0}, {"SILENT", 0}, {"LIMIT", 0}, {"SINCE", 9}, {"ALARM", 9}}, func(s admin.Silence) []string { return silenceRow(cmd.OutOrStdout(), s) })
	})
}

func silenceRow(w io.Writer, s admin.Silence) []string {
	state, limit, alarm := "ok", "-", "-"
	switch {
	case s.Alarm != nil:
		state = "silent"
	case s.Limit == 0:
		state = "learning"
	}
	if s.Limit > 0 {
		limit = seconds(s.Limit)
	}
	if s.Alarm != nil {
		alarm = shortTime(w, *s.Alarm)
	}
	return []string{s.Webhook, state, seconds(s.Seconds), limit, shortTime(w, s.Since), alarm}
}

// seconds is a time for people.
func seconds(n float64) string {
	return (time.Duration(n) * time.Second).String()
}

func inboxSubscriptions(o *options, output *string) *cobra.Command {
	return overseen(o, &cobra.Command{
		Use: "subscriptions", Short: "Show whether providers still have their webhooks, and until when", Args: cobra.NoArgs,
		Long: "Show whether providers still have their webhooks, and until when: those with a subscription block, as they were last asked for.",
	}, func(cmd *cobra.Command, all admin.Oversight, wanted func(string) bool) error {
		list := slices.DeleteFunc(all.Subscriptions, func(s admin.Subscription) bool { return !wanted(s.Webhook) })
		if len(list) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No such webhook has a subscription block, or its provider was not asked yet.")
		}
		return printAll(cmd.OutOrStdout(), *output, list,
			[]column{{"WEBHOOK", 7}, {"ACCOUNT", 7}, {"STATUS", 0}, {"EXPIRES", 0}, {"REASON", 12}, {"CHECKED", 9}, {"RENEWED", 9}},
			func(s admin.Subscription) []string { return subscriptionRow(cmd.OutOrStdout(), s) })
	})
}

func subscriptionRow(w io.Writer, s admin.Subscription) []string {
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return shortTime(w, *t)
	}
	return []string{s.Webhook, fallback(s.Account, "-"), s.Status, at(s.Expires), fallback(s.Reason, "-"), at(&s.Checked), at(s.Renewed)}
}

// overseen is a command that shows some of what oversight knows, of the webhooks that
// are asked for.
func overseen(o *options, cmd *cobra.Command, show func(cmd *cobra.Command, all admin.Oversight, wanted func(webhook string) bool) error) *cobra.Command {
	var webhooks []string
	cmd.Flags().StringSliceVar(&webhooks, "webhook", nil, "name of a webhook; may be repeated")
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
		all, err := c.Oversight(cmd.Context())
		if err != nil {
			return &exitError{exitFailure, err}
		}
		return show(cmd, all, func(name string) bool { return len(webhooks) == 0 || slices.Contains(webhooks, name) })
	})
	return cmd
}

// oversights are those of oversight that somebody should look at, a line each.
func oversights(all *admin.Oversight) (lines []string) {
	for _, s := range all.Silences {
		if s.Alarm != nil {
			lines = append(lines, fmt.Sprintf("%s: no webhooks have come for %s, longer than %s", s.Webhook, seconds(s.Seconds), seconds(s.Limit)))
		}
	}
	for _, s := range all.Subscriptions {
		if s.Status != "active" {
			lines = append(lines, onLine(fmt.Sprintf("%s: the subscription%s is %s%s", s.Webhook, prefixed(" of ", s.Account), s.Status, prefixed(": ", s.Reason))))
		}
	}
	return lines
}

// prefixed is nothing for nothing.
func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
