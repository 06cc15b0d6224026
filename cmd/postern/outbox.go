package main

import (
	"context"
	"encoding/json"
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
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/outbox"
)

// callFlags select calls of the outbox.
type callFlags struct {
	provider, account, client, kind, status, outcome, failure string
	since, until                                              string
	limit                                                     int
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
	if out.Since, err = moment(f.since); err != nil {
		return out, fmt.Errorf("--since: %w", err)
	}
	if out.Until, err = moment(f.until); err != nil {
		return out, fmt.Errorf("--until: %w", err)
	}
	return out, nil
}

func outboxCommand(o *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "outbox", Short: "Look at calls that are kept, send them again, or give them up"}
	cmd.PersistentFlags().StringVar(&o.admin, "admin", "", "URL of the admin listener (POSTERN_ADMIN; else as the configuration says)")
	cmd.PersistentFlags().StringVar(&output, "output", "table", "table, json or ndjson")
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
			calls, err := callsListed(cmd.Context(), c, filter, f.limit)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			return printCalls(cmd.OutOrStdout(), *output, calls)
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 50, "how many at most; 0 is all")
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
	enc := json.NewEncoder(w)
	switch output {
	case "ndjson":
		for _, c := range calls {
			if err := enc.Encode(c); err != nil {
				return &exitError{exitFailure, err}
			}
		}
		return nil
	case "json":
		enc.SetIndent("", "  ")
		if calls == nil {
			calls = []admin.Call{}
		}
		return enc.Encode(calls)
	case "table":
	default:
		return &exitError{exitUsage, fmt.Errorf("--output: %q is none of table, json and ndjson", output)}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tCREATED\tKIND\tPROVIDER\tCALL\tSTATUS\tATTEMPTS\tREASON")
	for _, c := range calls {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.ID, c.Created.UTC().Format(time.RFC3339), c.Kind, c.Provider, callName(c.Method, c.Endpoint), c.Status, c.Attempts, onLine(fallback(c.Reason, "-")))
	}
	return tw.Flush()
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
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(call)
			}
			return printCall(cmd.OutOrStdout(), &call)
		}),
	}
}

// onLine is text of others, such as a provider's message, as it may stand in a line
// on a terminal.
func onLine(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
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
			fallback(m.Replica, "-"), onLine(strings.TrimSpace(m.Reason+" "+m.By)))
	}
	return tw.Flush()
}

// callAct is one of the commands that change calls.
type callAct struct {
	callFlags
	yes, dry, all, force bool
	rate                 string
	executed             *bool // of resolve
}

func (a *callAct) add(cmd *cobra.Command) {
	a.callFlags.add(cmd)
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, "only count")
	cmd.Flags().BoolVar(&a.all, "all", false, "no selection is meant: every call")
	cmd.Flags().IntVar(&a.limit, "limit", 0, "how many at most; 0 is all that match")
	cmd.Flags().StringVar(&a.rate, "rate", "", "how many at most in a time, such as 10/s; all at once if not given")
}

const selected = ".\n\nCalls are named by id, or selected by flags. A selection is counted first, and done after a yes. What was done stays done when it is\ninterrupted; the same command goes on with the rest."

func outboxReplay(o *options) *cobra.Command {
	a := &callAct{}
	cmd := &cobra.Command{
		Use: "replay [ID...]", Short: "Send calls again that have failed, by the policy in force",
		Long: "Send calls again that have failed: they pass all stages of the policy in force, and are signed afresh" + selected +
			"\n\nA call that may have a second effect, because nobody knows whether it had one or because the provider does not know its idempotency key any\nmore, is held back and named; so is one that was superseded or discarded. --force sends it all the same.",
	}
	a.add(cmd)
	cmd.Flags().BoolVar(&a.force, "force", false, "send also what may have a second effect, was superseded or was discarded")
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error { return a.run(cmd, c, "replay", args) })
	return cmd
}

func outboxDiscard(o *options) *cobra.Command {
	a := &callAct{}
	cmd := &cobra.Command{Use: "discard [ID...]", Short: "Never send calls that are not done", Long: "Never send calls that are not done" + selected}
	a.add(cmd)
	cmd.RunE = asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error { return a.run(cmd, c, "discard", args) })
	return cmd
}

func outboxResolve(o *options) *cobra.Command {
	a := &callAct{}
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
		return a.run(cmd, c, "resolve", args)
	})
	return cmd
}

// errUnnamed says that neither ids nor flags say what is meant.
var errUnnamed = errors.New("nothing is selected: name ids, or flags such as --status failed; --all means everything")

// run counts, asks, and does it a page at a time.
func (a *callAct) run(cmd *cobra.Command, c *admin.Client, what string, ids []string) error {
	filter, err := a.filter(ids)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if reflect.ValueOf(filter).IsZero() && !a.all {
		return &exitError{exitUsage, errUnnamed}
	}
	var rate block.Rate
	if a.rate != "" {
		if err := rate.UnmarshalText([]byte(a.rate)); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--rate: %w", err)}
		}
	}
	ask := admin.CallAct{Filter: filter, All: a.all, DryRun: true, Force: a.force, Executed: a.executed}
	counted, err := c.ActOnCalls(cmd.Context(), what, ask)
	if err != nil {
		return &exitError{exitFailure, err}
	}
	total := counted.Matched
	if a.limit > 0 {
		total = min(total, a.limit)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s selected.\n", count(total, "call"))
	if a.dry || total == 0 {
		return nil
	}
	if len(ids) == 0 && !a.yes && !confirmed(cmd, what+" them?") {
		return &exitError{exitFailure, errors.New("nothing was done; say --yes to do it without a question")}
	}
	ask.DryRun = false
	return a.each(cmd, c, what, ask, total, rate)
}

// callPage is how many calls are done at once where there is no rate.
const callPage = 100

// each does it page by page, no faster than the rate, and says how far it is.
func (a *callAct) each(cmd *cobra.Command, c *admin.Client, what string, ask admin.CallAct, total int, rate block.Rate) error {
	var sum admin.CallActed
	page, pause := callPage, time.Duration(0)
	if rate.N > 0 {
		page = max(1, min(callPage, int(rate.N*float64(time.Second)/float64(rate.Per)))) // about a page a second
		pause = time.Duration(float64(page) * float64(rate.Per) / rate.N)
	}
	for done := 0; done < total; {
		ask.Limit = min(page, total-done)
		began := time.Now()
		acted, err := c.ActOnCalls(cmd.Context(), what, ask)
		if err != nil {
			return &exitError{exitFailure, fmt.Errorf("after %s: %w", count(sum.Moved, "call"), err)}
		}
		done += ask.Limit
		sum.Moved, sum.Skipped, sum.Held, sum.Why = sum.Moved+acted.Moved, sum.Skipped+acted.Skipped, sum.Held+acted.Held, append(sum.Why, acted.Why...)
		if ask.Cursor = acted.Next; ask.Cursor == "" {
			break
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of %s so far\n", done, count(total, "call"))
		select {
		case <-time.After(pause - time.Since(began)):
		case <-cmd.Context().Done():
			return &exitError{exitFailure, fmt.Errorf("interrupted after %s; the same command goes on", count(sum.Moved, "call"))}
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s moved, %d passed over because of their state, %d held back.\n", what, count(sum.Moved, "call"), sum.Skipped, sum.Held)
	for _, why := range sum.Why[:min(len(sum.Why), 5)] {
		fmt.Fprintln(cmd.OutOrStdout(), "  held back "+why)
	}
	if sum.Held > 0 {
		return &exitError{exitFound, fmt.Errorf("%s held back: look at each, and say --force if it is to be sent", count(sum.Held, "call"))}
	}
	return nil
}
