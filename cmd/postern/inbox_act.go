package main

import (
	"context"
	"fmt"
	"reflect"
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
				return counted{got.Matched, got.More, got.Began, func() error { return printEvents(cmd.OutOrStdout(), "table", got.Sample) }}, err
			}
			misfits, emptied := 0, 0
			err = b.run(cmd, len(args) > 0, !reflect.ValueOf(filter).IsZero(), counting, func(ctx context.Context, began time.Time, limit int, cursor string) (pageDone, error) {
				ask.Began, ask.Limit, ask.Cursor = began, limit, cursor
				did, err := c.Act(ctx, action, ask)
				misfits, emptied = misfits+did.Misfits, emptied+did.Emptied
				return pageDone{moved: did.Moved, skipped: did.Skipped, next: did.Next}, err
			})
			if misfits > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s held back: the schema in force is still not met; --force releases all the same.\n", count(misfits, "event"))
			}
			if emptied > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s not made: the body of the event was removed.\n", deliveries(int64(emptied)))
			}
			return err
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
