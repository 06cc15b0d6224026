package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/seal"
)

func secretsCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Check the secrets of the configuration, and make and change the keys that seal what Postern keeps for accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{exitUsage, nil}
		},
	}
	cmd.AddCommand(secretsCheck(o), secretsReseal(o), &cobra.Command{
		Use:   "keygen",
		Short: "Print a new seal key, for a secret that the seal block names",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), seal.Generate())
			return err
		},
	})
	return cmd
}

func secretsCheck(o *options) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read every secret of the configuration, as a start does, and say how each stands; exit with 3 if one cannot be used",
		Long:  "Read every secret of the configuration, as a start does, commands included, and say how each stands: ok, missing or wrong. Fingerprints are those of the log and of the admin API. A value is never shown.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := checked(o.config, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer l.Context.Secrets.Close()
			list := []secretState{}
			bad := false
			for _, f := range l.Context.Inspect(cmd.Context()) {
				s := stateOf(f)
				list, bad = append(list, s), bad || s.State != "ok"
			}
			if err := printSecrets(cmd.OutOrStdout(), output, list); err != nil {
				return &exitError{exitFailure, fmt.Errorf("write the result: %w", err)}
			}
			if err := l.unfit(); bad || err != nil {
				return &exitError{exitFound, err}
			}
			return nil
		},
	}
	cmd.Flags().Var((*outputFlag)(&output), "output", outputUsage)
	return cmd
}

func secretsReseal(o *options) *cobra.Command {
	var hosts bool
	cmd := &cobra.Command{
		Use:   "reseal [PROVIDER]",
		Short: "Have a running Postern seal what it keeps for accounts under the newest key",
		Long:  "Have a running Postern seal what it keeps for accounts under the newest key, while calls go on. What was interrupted can be said again.\n\nWith --hosts the tokens of PROVIDER may go to the hosts that the policy names now, also to new ones.",
		Args:  cobra.MaximumNArgs(1),
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			ask := admin.Reseal{Hosts: hosts}
			if len(args) > 0 {
				ask.Provider = args[0]
			}
			if hosts && ask.Provider == "" {
				return &exitError{exitUsage, errors.New("--hosts lets tokens go to new hosts: name the provider whose they are")}
			}
			for n := 0; ; {
				got, err := c.Reseal(cmd.Context(), ask)
				if err != nil {
					return &exitError{exitFailure, fmt.Errorf("after %s: %w", count(n, "connection"), err)}
				}
				n += got.Changed
				if ask.Cursor = got.Next; ask.Cursor == "" {
					fmt.Fprintf(cmd.OutOrStdout(), "%s sealed anew.\n", count(n, "connection"))
					return nil
				}
			}
		}),
	}
	cmd.Flags().BoolVar(&hosts, "hosts", false, "let the tokens of PROVIDER go to the hosts that the policy names now")
	return addAdmin(cmd, o)
}

// secretState is how one secret stands.
type secretState struct {
	Reference   string    `json:"reference"`
	At          string    `json:"at"`
	State       string    `json:"state"` // ok, missing, wrong
	Fingerprint string    `json:"fingerprint,omitempty"`
	Changed     time.Time `json:"changed,omitzero"`       // a file
	Took        float64   `json:"took_seconds,omitempty"` // a command
	Problem     string    `json:"problem,omitempty"`
}

func stateOf(f block.Finding) secretState {
	s := secretState{
		Reference: f.Ref, At: fmt.Sprintf("%s:%d", f.At.Filename, f.At.Start.Line), State: "ok",
		Fingerprint: f.Fingerprint, Changed: f.Changed.UTC(), Took: f.Took.Seconds(),
	}
	if f.Err != nil {
		s.Problem = strings.TrimPrefix(f.Err.Error(), f.Ref+": ")
		if s.State = "wrong"; f.Absent {
			s.State = "missing"
		}
	}
	return s
}

// unfit says what a start would refuse, or could not use, although each secret
// can be read.
func (l *loaded) unfit() error {
	_, store := l.Store.Where(l.Folder)
	_, shared := l.Shared.Where()
	var sealed error
	if l.Seal != nil {
		_, sealed = l.Seal.Ring()
	}
	var errs []error
	for _, err := range []error{l.inbound.Ready(), store, shared, sealed} {
		if err != nil && !onlyUnread(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// onlyUnread reports whether err is about nothing but secrets that cannot be read.
func onlyUnread(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(many.Unwrap(), func(e error) bool { return !onlyUnread(e) })
	}
	if _, ok := err.(*block.SecretError); ok {
		return true
	}
	inner := errors.Unwrap(err)
	return inner != nil && onlyUnread(inner)
}

func printSecrets(w io.Writer, output string, list []secretState) error {
	if output != "table" {
		return printValues(w, output, list)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "REFERENCE\tAT\tSTATE\tFINGERPRINT\tAGE\tPROBLEM")
	for _, s := range list {
		age := "-"
		switch {
		case s.Took > 0:
			age = "new"
		case !s.Changed.IsZero():
			age = time.Since(s.Changed).Round(time.Second).String()
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Reference, s.At, s.State, fallback(s.Fingerprint, "-"), age, s.Problem)
	}
	return tw.Flush()
}
