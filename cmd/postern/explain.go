package main

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
)

func explainCommand(o *options) *cobra.Command {
	var account string
	var values bool
	cmd := &cobra.Command{
		Use:     "explain METHOD URL",
		Short:   "Show what would happen to a call: the plan, stage by stage",
		Example: "  postern explain POST https://api.stripe.com/v1/charges",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := checked(o.config, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), l, strings.ToUpper(args[0]), args[1], account, values)
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "the account whose connection the call would use")
	cmd.Flags().BoolVar(&values, "values", false, "show every value that was written, and where")
	return cmd
}

func explain(w io.Writer, l *loaded, method, rawURL, account string, values bool) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return &exitError{exitUsage, fmt.Errorf("%q is not an http or https URL", rawURL)}
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	at, err := proxy.ParseAuthority(u.Host, port)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	p := l.outbound.Find(at.Host, at.Port)
	if p == nil {
		fmt.Fprintf(w, "%s %s\n  no provider names %s: a CONNECT to it is %s\n", method, rawURL, u.Host, unmatched(l))
		return nil
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	m, err := p.Match(method, path)
	if err != nil {
		fmt.Fprintf(w, "%s %s\n  refused: %v\n", method, rawURL, err)
		return nil
	}
	fmt.Fprintf(w, "%s %s\n", method, rawURL)
	fmt.Fprintf(w, "  provider  %s\n  route     %s\n  endpoint  %s\n", p.Name, fallback(m.Plan.Route, "(the whole provider)"), m.Endpoint)
	if account != "" {
		fmt.Fprintf(w, "  account   %s\n", account)
	}
	fmt.Fprintf(w, "  goes to   %s\n\n", destination(m.Plan, u))
	return explainStages(w, m.Plan, l.sharing(), values)
}

// unmatched says what happens to hosts that no provider names.
func unmatched(l *loaded) string {
	if l.Proxy.Denies() {
		return "denied (proxy.unmatched)"
	}
	return "tunnelled blind, without a credential (proxy.unmatched)"
}

func destination(plan *policy.Plan, u *url.URL) string {
	if plan.Upstream != nil {
		return plan.Upstream.String() + "  (upstream)"
	}
	return u.Scheme + "://" + u.Host
}

// explainStages writes one line for each stage. sharing says who else counts in
// its limits.
func explainStages(w io.Writer, plan *policy.Plan, sharing string, values bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, st := range plan.Stages {
		if strings.HasPrefix(st.Name, "limit ") && sharing != "" {
			st.Summary += ", " + sharing
		}
		fmt.Fprintf(tw, "%2d\t%s\t%s\t%s\n", i+1, st.Name, places(st.Ranges), st.Summary)
		if !values {
			continue
		}
		for _, o := range st.Origins {
			fmt.Fprintf(tw, "\t\t%s\t  %s = %s\n", place(o.Range), o.Name, strings.Join(strings.Fields(o.Text), " "))
		}
	}
	if err := tw.Flush(); err != nil {
		return &exitError{exitFailure, fmt.Errorf("write the plan: %w", err)}
	}
	return nil
}

// places names where a stage is written, the layer that wins last. Of an
// ordered list the first block stands for all of one file.
func places(ranges []hcl.Range) string {
	if len(ranges) == 0 {
		return "(default)"
	}
	var out []string
	for i, r := range ranges {
		if i > 1 && r.Filename == ranges[i-1].Filename {
			continue
		}
		out = append(out, place(r))
	}
	return strings.Join(slices.Compact(out), " < ")
}

func place(r hcl.Range) string {
	name := r.Filename
	if !strings.HasPrefix(name, "catalog/") {
		name = filepath.Base(name)
	}
	return fmt.Sprintf("%s:%d", name, r.Start.Line)
}
