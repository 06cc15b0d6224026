package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/outbox"
)

// callFlags select calls of the outbox.
type callFlags struct {
	provider, account, client, kind, status, outcome, failure string
	since, until                                              string
	most                                                      int // of a list
}

func (f *callFlags) add(cmd *cobra.Command) {
	states := make([]string, len(outbox.States))
	for i, s := range outbox.States {
		states[i] = string(s)
	}
	cmd.Flags().StringVar(&f.provider, "provider", "", "provider")
	cmd.Flags().StringVar(&f.account, "account", "", "account")
	cmd.Flags().StringVar(&f.client, "client", "", "client")
	cmd.Flags().StringVar(&f.kind, "kind", "", "async, deadletter or callback")
	cmd.Flags().StringVar(&f.status, "status", "", strings.Join(states, ", "))
	cmd.Flags().StringVar(&f.outcome, "outcome", "", "outcome class of the last sending")
	cmd.Flags().StringVar(&f.failure, "error", "", "text in the reason of the last move")
	cmd.Flags().StringVar(&f.since, "since", "", "created after this time (RFC 3339) or this long ago (2h, 3d)")
	cmd.Flags().StringVar(&f.until, "until", "", "created before this time or this long ago")
}

func (f *callFlags) filter(ids []string) (out admin.CallFilter, err error) {
	out = admin.CallFilter{IDs: append([]string(nil), ids...), Account: f.account, Client: f.client, Kind: f.kind, Status: f.status, Outcome: f.outcome, Error: f.failure}
	if f.provider != "" {
		out.Providers = []string{f.provider}
	}
	if f.most < 0 {
		return out, errLimit
	}
	if out.Since, err = momentOf("since", &f.since); err != nil {
		return out, err
	}
	out.Until, err = momentOf("until", &f.until)
	return out, err
}

func outboxCommand(o *options) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{Use: "outbox", Short: "Look at calls that are kept, send them again, or give them up"}
	cmd.PersistentFlags().StringVar(&o.admin, "admin", "", "URL of the admin listener (POSTERN_ADMIN; else as the configuration says)")
	cmd.PersistentFlags().Var((*outputFlag)(&output), "output", outputUsage)
	cmd.AddCommand(outboxList(o, &output), outboxShow(o, &output), outboxReplay(o), outboxDiscard(o), outboxResolve(o))
	return cmd
}

func outboxList(o *options, output *string) *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List calls, the newest first", Args: cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			filter, err := f.filter(nil)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			calls, err := callsListed(cmd.Context(), c, filter, f.most)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if len(calls) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "No call matches.")
			}
			return printCalls(cmd.OutOrStdout(), *output, calls)
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.most, "limit", 50, "how many at most; 0 is all")
	return cmd
}

// callsListed reads page after page.
func callsListed(ctx context.Context, c *admin.Client, f admin.CallFilter, limit int) (calls []admin.Call, err error) {
	for cursor := ""; ; {
		page := 0
		if limit > 0 {
			page = min(limit-len(calls), 200)
		}
		got, err := c.Calls(ctx, f, page, cursor)
		if err != nil {
			return nil, err
		}
		calls = append(calls, got.Calls...)
		if cursor = got.Next; cursor == "" || limit > 0 && len(calls) >= limit {
			return calls, nil
		}
	}
}

func printCalls(w io.Writer, output string, calls []admin.Call) error {
	return printAll(w, output, calls, []column{{"ID", 0}, {"CREATED", 0}, {"KIND", 5}, {"PROVIDER", 6}, {"CALL", 4}, {"STATUS", 0}, {"ATTEMPTS", 1}, {"REASON", 6}}, func(c admin.Call) []string {
		return []string{c.ID, shortTime(w, c.Created), c.Kind, c.Provider, callName(c.Method, c.Endpoint), c.Status, fmt.Sprint(c.Attempts), fallback(c.Reason, "-")}
	})
}

// callName is a call in two words. The label of a route may have its method.
func callName(method, endpoint string) string {
	if strings.HasPrefix(endpoint, method+" ") {
		return endpoint
	}
	return strings.TrimSpace(method + " " + endpoint)
}

func outboxShow(o *options, output *string) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one call, what came of it, and everything that happened to it", Args: cobra.ExactArgs(1),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			call, err := c.Call(cmd.Context(), args[0])
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if *output != "table" {
				return printValue(cmd.OutOrStdout(), *output, call)
			}
			return printCall(cmd.OutOrStdout(), &call)
		}),
	}
}

// onLine is text of others, such as a provider's message, as it may stand in a line
// on a terminal: nothing in it moves the cursor, or turns what follows around.
func onLine(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

func printCall(w io.Writer, c *admin.Call) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value = onLine(strings.TrimSpace(value)); value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", name, value)
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	row("id", c.ID)
	row("kind", strings.TrimSpace(c.Kind+" "+c.Of))
	row("provider", c.Provider)
	row("account", c.Account)
	row("client", c.Client)
	row("request", c.Request.Method+" "+c.Request.URL)
	if c.Request.URL != "" {
		row("body", fmt.Sprintf("%d bytes", c.Request.Size))
	}
	row("key", c.Request.Key)
	row("status", c.Status)
	row("created", at(c.Created))
	row("due", at(c.Due))
	row("expires", at(c.Expires))
	row("risk", c.Risk)
	row("unopened", c.Unopened)
	if r := &c.Result; r.Executed != "" {
		answer := fallback(r.Code, c.Outcome)
		if r.Status != 0 {
			answer = fmt.Sprint(r.Status)
		}
		row("answer", fmt.Sprintf("%s (executed: %s, attempts: %d) %s", answer, r.Executed, r.Attempts, r.Detail))
		row("evidence", fmt.Sprintf("connected %v, %d bytes written, complete %v, refused %v, answered %v", r.Evidence.Connected, r.Evidence.Written, r.Evidence.Complete, r.Evidence.Refused, r.Evidence.Answered))
		row("provider says", strings.TrimSpace(r.ErrorCode+" "+r.Message+" "+r.RequestID))
		row("hint", r.Hint)
	}
	fmt.Fprintln(tw, "\nAT\tMOVE\tATTEMPT\tANSWER\tREPLICA\tREASON")
	for _, m := range c.Trail {
		answer := "-"
		if m.Status != 0 {
			answer = fmt.Sprint(m.Status)
		}
		fmt.Fprintf(tw, "%s\t%s -> %s\t%d\t%s\t%s\t%s\n", m.At.UTC().Format("2006-01-02T15:04:05.000Z"), fallback(m.From, "new"), m.To, m.Attempt, answer,
			fallback(m.Replica, "-"), onLine(byWhom(m.Reason, m.By)))
	}
	return tw.Flush()
}

// callAct is one of the commands that change calls.
type callAct struct {
	callFlags
	bulk
	force    bool
	executed *bool // of resolve
}

func newCallAct(what string) *callAct { return &callAct{bulk: bulk{what: what, thing: "call"}} }

func (a *callAct) add(cmd *cobra.Command) {
	a.callFlags.add(cmd)
	a.bulk.add(cmd)
}

const selected = ".\n\nCalls are named by id, or selected by flags. A selection is counted first, and done after a yes. What was done stays done when it is\ninterrupted, which says how to go on."

func outboxReplay(o *options) *cobra.Command {
	a := newCallAct("replay")
	cmd := &cobra.Command{
		Use: "replay [ID...]", Short: "Send calls again that have failed, by the policy in force",
		Long: "Send calls again that have failed: they pass all stages of the policy in force, and are signed afresh" + selected +
			"\n\nA call that may have a second effect, because nobody knows whether it had one or because the provider does not know its idempotency key any\nmore, is held back and named; so is one that was superseded or discarded. --force sends it all the same.",
	}
	a.add(cmd)
	cmd.Flags().BoolVar(&a.force, "force", false, "send also what may have a second effect, was superseded or was discarded")
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error { return a.run(cmd, c, args) })
	return cmd
}

func outboxDiscard(o *options) *cobra.Command {
	a := newCallAct("discard")
	cmd := &cobra.Command{Use: "discard [ID...]", Short: "Never send calls that are not done", Long: "Never send calls that are not done" + selected}
	a.add(cmd)
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error { return a.run(cmd, c, args) })
	return cmd
}

func outboxResolve(o *options) *cobra.Command {
	a := newCallAct("resolve")
	var as string
	cmd := &cobra.Command{
		Use: "resolve [ID...] --as executed|not-executed", Short: "Say of unknown calls whether they had their effect",
		Long: "Say of unknown calls whether they had their effect: those that had are done, those that had none have failed and can be replayed" + selected,
	}
	a.add(cmd)
	cmd.Flags().StringVar(&as, "as", "", "executed or not-executed")
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
		if as != "executed" && as != "not-executed" {
			return &exitError{exitUsage, errors.New("say --as executed or --as not-executed")}
		}
		executed := as == "executed"
		a.executed = &executed
		return a.run(cmd, c, args)
	})
	return cmd
}

// run counts, asks, and does it a page at a time.
func (a *callAct) run(cmd *cobra.Command, c *admin.Client, ids []string) error {
	filter, err := a.filter(ids)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	ask := admin.CallAct{Filter: filter, All: a.all, Force: a.force, Executed: a.executed}
	count := func(ctx context.Context) (counted, error) {
		dry := ask
		dry.DryRun = true
		got, err := c.ActOnCalls(ctx, a.what, dry)
		return counted{matched: got.Matched, sample: func() error {
			page, err := c.Calls(ctx, filter, 5, "")
			if err != nil || len(ids) > 0 {
				return err
			}
			return printCalls(cmd.OutOrStdout(), outputOf(cmd), page.Calls)
		}}, err
	}
	return a.bulk.run(cmd, distinct(ids), !reflect.ValueOf(filter).IsZero(), count, func(ctx context.Context, _ time.Time, limit int, cursor string) (pageDone, error) {
		ask.Limit, ask.Cursor = limit, cursor
		did, err := c.ActOnCalls(ctx, a.what, ask)
		return pageDone{did.Moved + did.Skipped + did.Held, did.Moved, did.Skipped, did.Held, did.Why, did.Next}, err
	})
}
