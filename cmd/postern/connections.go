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
	"github.com/postern-proxy/postern/connection"
)

func connectionsCommand(o *options) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{Use: "connections", Short: "Connect accounts of customers, look at their connections, end them, and take them elsewhere"}
	cmd.PersistentFlags().StringVar(&o.admin, "admin", "", "URL of the admin listener (POSTERN_ADMIN; else as the configuration says)")
	cmd.PersistentFlags().Var((*outputFlag)(&output), "output", outputUsage)
	cmd.AddCommand(connectionsList(o, &output), connectionsShow(o, &output), connectionsConnect(o, &output),
		connectionsRefresh(o, &output), connectionsRevoke(o, &output), connectionsExport(o), connectionsImport(o, &output))
	return cmd
}

// which reads PROVIDER [ACCOUNT]. An empty account is one that has no name.
func which(args []string, credential string) admin.Which {
	w := admin.Which{Provider: args[0], Credential: credential}
	if len(args) > 1 {
		w.Account = &args[1]
	}
	return w
}

func addCredential(cmd *cobra.Command, credential *string) *cobra.Command {
	cmd.Flags().StringVar(credential, "credential", "", "kind of the credential, and its route, where an account has several")
	return cmd
}

func connectionsList(o *options, output *string) *cobra.Command {
	var provider, account, state string
	var limit int
	var states []string
	for _, s := range connection.States() {
		states = append(states, string(s))
	}
	cmd := &cobra.Command{
		Use: "list", Short: "List connections", Args: cobra.NoArgs,
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			var all []admin.Connection
			for cursor := ""; ; {
				page := 0
				if limit > 0 {
					page = min(limit-len(all), 200)
				}
				got, err := c.Connections(cmd.Context(), provider, account, state, page, cursor)
				if err != nil {
					return &exitError{exitFailure, err}
				}
				all = append(all, got.Connections...)
				if cursor = got.Next; cursor == "" || limit > 0 && len(all) >= limit {
					return printConnections(cmd.OutOrStdout(), *output, all)
				}
			}
		}),
	}
	cmd.Flags().StringVar(&provider, "provider", "", "provider")
	cmd.Flags().StringVar(&account, "account", "", "account")
	cmd.Flags().StringVar(&state, "state", "", strings.Join(states, ", "))
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most; 0 is all")
	return cmd
}

func printConnections(w io.Writer, output string, all []admin.Connection) error {
	if output != "table" {
		return printValues(w, output, all)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PROVIDER\tACCOUNT\tSTATE\tHEALTH\tEXPIRES\tCHANGED\tNOTE")
	for i := range all {
		c := &all[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Provider, fallback(onLine(c.Account), "-"), c.State, c.Health, clockTime(c.Expires), clockTime(c.Changed), onLine(remark(c)))
	}
	return tw.Flush()
}

// clockTime is a time in a table.
func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// remark is what a person should know of a connection.
func remark(c *admin.Connection) string {
	var notes []string
	if strings.Contains(c.Credential, " ") {
		notes = append(notes, "for "+c.Credential)
	}
	if len(c.Missing) > 0 {
		notes = append(notes, "lacks "+strings.Join(c.Missing, " "))
	}
	if len(c.Extra) > 0 {
		notes = append(notes, "has more than it needs: "+strings.Join(c.Extra, " "))
	}
	if c.Failure != "" {
		notes = append(notes, c.Failure)
	}
	return fallback(strings.Join(notes, "; "), "-")
}

func connectionsShow(o *options, output *string) *cobra.Command {
	var credential string
	return addCredential(&cobra.Command{
		Use: "show PROVIDER [ACCOUNT]", Short: "Show one connection and its history", Args: cobra.RangeArgs(1, 2),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			got, err := c.Connection(cmd.Context(), which(args, credential))
			if err != nil {
				return &exitError{exitFailure, err}
			}
			return printConnection(cmd.OutOrStdout(), *output, &got)
		}),
	}, &credential)
}

func printConnection(w io.Writer, output string, c *admin.Connection) error {
	if output != "table" {
		return printValue(w, output, c)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value = onLine(value); value != "" && value != "-" {
			fmt.Fprintf(tw, "%s\t%s\n", name, value)
		}
	}
	row("provider", c.Provider)
	row("account", c.Account)
	row("credential", c.Credential)
	row("state", c.State)
	row("health", c.Health)
	row("needs", strings.Join(c.Needs, " "))
	row("granted", strings.Join(c.Granted, " "))
	row("missing", strings.Join(c.Missing, " "))
	row("extra", strings.Join(c.Extra, " "))
	row("hosts", strings.Join(c.Hosts, ", "))
	row("base URL", c.BaseURL)
	row("obtained", clockTime(c.Obtained))
	row("expires", clockTime(c.Expires))
	row("renewable", map[bool]string{true: "yes", false: "no"}[c.Renewable])
	row("until", clockTime(c.RefreshExpires))
	row("revoke due", clockTime(c.RevokeDue))
	row("failure", c.Failure)
	fmt.Fprintln(tw, "\nAT\tMOVE\tGENERATION\tREPLICA\tREASON")
	for _, m := range c.History {
		fmt.Fprintf(tw, "%s\t%s -> %s\t%d\t%s\t%s\n", m.At.UTC().Format("2006-01-02T15:04:05.000Z"), fallback(m.From, "new"), m.To, m.Generation, fallback(m.Replica, "-"), onLine(byWhom(m.Reason, m.By)))
	}
	return tw.Flush()
}

func connectionsRefresh(o *options, output *string) *cobra.Command {
	var credential string
	return addCredential(&cobra.Command{
		Use: "refresh PROVIDER [ACCOUNT]", Short: "Have a new token asked for now", Args: cobra.RangeArgs(1, 2),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			got, err := c.Refresh(cmd.Context(), which(args, credential))
			if err != nil {
				return &exitError{exitFailure, err}
			}
			return printConnections(cmd.OutOrStdout(), *output, []admin.Connection{got})
		}),
	}, &credential)
}

func connectionsRevoke(o *options, output *string) *cobra.Command {
	var credential string
	var yes bool
	cmd := addCredential(&cobra.Command{
		Use: "revoke PROVIDER [ACCOUNT]", Short: "End a connection here, and at the provider as soon as it can be told", Args: cobra.RangeArgs(1, 2),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			of := which(args, credential)
			was, err := c.Connection(cmd.Context(), of)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if !yes && !confirmed(cmd, fmt.Sprintf("Revoke %s (%s)?", strings.TrimSuffix(was.Provider+"/"+was.Account, "/"), was.State)) {
				return &exitError{exitFailure, errors.New("nothing was done; say --yes to do it without a question")}
			}
			got, err := c.Revoke(cmd.Context(), of)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if !got.RevokeDue.IsZero() {
				fmt.Fprintln(cmd.ErrOrStderr(), "The provider could not be told yet; it is tried again.")
			}
			return printConnections(cmd.OutOrStdout(), *output, []admin.Connection{got})
		}),
	}, &credential)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
