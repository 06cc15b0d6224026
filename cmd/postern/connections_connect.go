package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postern-proxy/postern/admin"
)

func connectionsConnect(o *options, output *string) *cobra.Command {
	var ask admin.NewConnectSession
	var wait, noWait bool
	cmd := addCredential(&cobra.Command{
		Use: "connect PROVIDER [ACCOUNT]", Short: "Print a link by which a customer connects an account, and wait until it is granted", Args: cobra.RangeArgs(1, 2),
		Long: "Print a link by which a customer connects an account. It works once, for ten minutes. On a terminal, or with --wait, wait until the account is connected: exit code 1 if it is not.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if ask.Provider = args[0]; len(args) > 1 {
				ask.Account = args[1]
			}
			of := admin.Which{Provider: ask.Provider, Account: &ask.Account, Credential: ask.Credential}
			before, _ := c.Connection(cmd.Context(), of) // there may be none
			s, err := c.Connect(cmd.Context(), ask)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			of.Credential = s.Credential
			if err := printSession(cmd, *output, &s); err != nil || noWait || !wait && !onTerminal(cmd.OutOrStdout()) {
				return err
			}
			return awaitGrant(cmd, c, of, &s, before.Generation)
		}),
	}, &ask.Credential)
	cmd.Flags().StringVar(&ask.ReturnTo, "return-to", "", "where the browser goes at the end: a URL of an origin in connect.return_to, or a path of public_url")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is granted also where there is no terminal")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it is granted")
	cmd.MarkFlagsMutuallyExclusive("wait", "no-wait")
	return cmd
}

func printSession(cmd *cobra.Command, output string, s *admin.ConnectSession) error {
	if s.ReturnToIgnored != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "--return-to is ignored, and the customer ends on a page of Postern: %s.\n", s.ReturnToIgnored)
	}
	if output != "table" {
		return printValues(cmd.OutOrStdout(), "ndjson", []admin.ConnectSession{*s})
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "To be opened in the customer's browser, once, before %s:\n", s.Expires.Local().Format("15:04:05"))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), s.URL)
	return err
}

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// awaitEvery is how often to look whether a customer has granted.
const awaitEvery = time.Second

// awaitGrant waits until the connection has a grant of a later generation, or the
// link and what the customer may take at the provider are over.
func awaitGrant(cmd *cobra.Command, c *admin.Client, of admin.Which, s *admin.ConnectSession, before int64) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "Waiting for the customer; Ctrl-C ends the waiting, not the link.")
	ctx, cancel := context.WithDeadline(cmd.Context(), s.Expires.Add(time.Until(s.Expires)))
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return &exitError{exitFailure, errors.New("the account was not connected while this waited")}
		case <-time.After(awaitEvery):
		}
		got, err := c.Connection(ctx, of)
		if err != nil {
			continue // Postern may be starting anew
		}
		for _, m := range got.History {
			if m.Generation > before && m.Reason == "granted" {
				fmt.Fprintf(cmd.ErrOrStderr(), "Connected: %s\n", strings.TrimSuffix(got.Provider+"/"+got.Account, "/"))
				if note := remark(&got); note != "-" {
					fmt.Fprintln(cmd.ErrOrStderr(), note)
				}
				return nil
			}
		}
	}
}
