package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/inbound"
)

// inboxAct is a command that does something to events.
func inboxAct(o *options, action inbound.Action, short string) *cobra.Command {
	f := &inboxFlags{}
	b := &bulk{what: string(action), thing: "event", delivered: true, again: true}
	var asNew, force bool
	cmd := &cobra.Command{
		Use: string(action) + " [ID...]", Short: short,
		Long: short + ".\n\nEvents are named by id, or selected by flags. A selection is counted first, and done after a yes. What arrives while it is done is not\nmeant, and what was done is not done twice: what is interrupted, by a key or by a server that is started anew, says how to go on.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			filter, err := f.filter(args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if asNew {
				b.what = "replay as new"
			}
			ask := admin.Act{Filter: filter, All: b.all, AsNew: asNew, Force: force}
			counting := func(ctx context.Context) (counted, error) {
				dry := ask
				dry.DryRun, dry.Began = true, b.since
				got, err := c.Act(ctx, action, dry)
				if err == nil && got.Matched == 0 && len(f.webhooks) > 0 {
					if text := none(ctx, c, f.webhooks); text != noEvent {
						fmt.Fprintln(cmd.ErrOrStderr(), text)
					}
				}
				if b.limit > 0 {
					got.Sample = got.Sample[:min(len(got.Sample), b.limit)]
				}
				return counted{got.Matched, got.More, got.Began, func() error { return printEvents(cmd.OutOrStdout(), outputOf(cmd), got.Sample) }}, err
			}
			return b.run(cmd, distinct(args), !reflect.ValueOf(filter).IsZero(), counting, func(ctx context.Context, began time.Time, limit int, cursor string) (pageDone, error) {
				ask.Began, ask.Limit, ask.Cursor = began, limit, cursor
				did, err := c.Act(ctx, action, ask)
				b.misfits, b.emptied = b.misfits+did.Misfits, b.emptied+did.Emptied
				return pageDone{things: did.Events, moved: did.Moved, skipped: did.Skipped, next: did.Next}, err
			})
		}),
	}
	f.add(cmd)
	b.add(cmd)
	if action == inbound.ActRelease {
		cmd.Flags().BoolVar(&force, "force", false, "also what does not fit the schema in force")
	}
	if action == inbound.ActReplay {
		cmd.Flags().BoolVar(&asNew, "as-new", false, "as new events, with ids of their own: an application that has seen them applies them again")
	}
	return cmd
}

// distinct is how many different ids are named.
func distinct(ids []string) int { return len(slices.Compact(slices.Sorted(slices.Values(ids)))) }
