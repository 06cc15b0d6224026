package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

func validateCommand(o *options) *cobra.Command {
	var output string
	var manifests []string
	cmd := &cobra.Command{
		Use:   "validate [PATH]",
		Short: "Check the configuration: no network, no secret, no write",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := o.config
			if len(args) > 0 {
				path = args[0]
			}
			l, diags, err := check(path)
			if err != nil {
				return err
			}
			more, err := l.suits(cmd.InOrStdin(), manifests)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			diags = append(diags, more...)
			if output == "json" {
				return validJSON(cmd.OutOrStdout(), diags)
			}
			report(cmd.ErrOrStderr(), diags, l.Files)
			if diags.HasErrors() {
				return &exitError{exitUsage, fmt.Errorf("the configuration is not valid: %s", count(len(diags.Errs()), "mistake"))}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The configuration is valid: %s, %s, %s.\n", count(len(l.Providers), "provider"), count(len(l.Webhooks), "webhook"), count(len(l.Tests), "test"))
			if s := l.sharing(); s != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "Limits are %s.\n", s)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	cmd.Flags().StringArrayVar(&manifests, "manifest", nil, "file of the Kubernetes objects that run it, to warn of what does not go together; - is stdin")
	return cmd
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// check loads a configuration as "postern run" would, and keeps nothing.
func check(path string) (*loaded, hcl.Diagnostics, error) {
	features, err := stages(silent{}, means{})
	if err != nil {
		return nil, nil, &exitError{exitFailure, err}
	}
	l, diags := load(path, block.NewSecrets(os.Environ()), features, policy.RoundTripper(nowhere), offline())
	return l, slices.Concat(diags, l.shortTotals(), l.unsealed(), l.unnamed()), nil
}

// unnamed warns of webhooks of the catalogue's kinds that do not say how their events
// are named, though the catalogue knows: their ids would be digests, and their types
// unknown.
func (l *loaded) unnamed() (diags hcl.Diagnostics) {
	for _, h := range l.hooks {
		if h.Catalog != "" || h.Event.ID != nil || h.Event.Type != nil || len(h.Verify) == 0 || !l.NamesEvents(h.Verify[0].Kind) {
			continue
		}
		at, kind := h.Range, h.Verify[0].Kind
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagWarning, Summary: "Events without names", Subject: &at,
			Detail: fmt.Sprintf("verify %q says how its requests are signed, and nothing says where its events have their id and their type: each is known by a digest of its body, and has no type. Write catalog = %q, or an event block.", kind, kind),
		})
	}
	return diags
}

// shortTotals warns of plans in which one attempt may take longer than the
// whole call, both as written: the catalogue, the provider and the route may
// each have said a part of it.
func (l *loaded) shortTotals() (diags hcl.Diagnostics) {
	if l.outbound == nil {
		return nil
	}
	seen := map[[2]hcl.Range]bool{}
	for _, name := range l.outbound.Providers() {
		for _, plan := range l.outbound.Provider(name).Plans() {
			attempt, total := written(plan, "attempt"), written(plan, "total")
			pair := [2]hcl.Range{attempt.at, total.at}
			if total.time.Duration == 0 || attempt.time.Duration <= total.time.Duration || seen[pair] {
				continue
			}
			seen[pair] = true
			at, other := total.at, attempt.at
			if l.Files[at.Filename] == nil { // in the catalogue
				at, other = other, at
			}
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagWarning, Summary: "Attempt longer than the call", Subject: &at,
				Detail: fmt.Sprintf("For %s one attempt may take %v and the whole call %v, so that one slow attempt leaves no time for another. Lower attempt, or raise total; the other one is at %v.",
					fallback(plan.Route, "provider "+name), attempt.time, total.time, other),
			})
		}
	}
	return diags
}

// bound is a limit of time and where it was written.
type bound struct {
	time block.Duration
	at   hcl.Range
}

// written returns what a plan's timeout block says about an attribute: zero if
// that was not written, or is no constant.
func written(plan *policy.Plan, attribute string) (found bound) {
	for _, st := range plan.Stages {
		if st.Name != "timeout" {
			continue
		}
		for _, o := range st.Origins {
			if o.Name != attribute {
				continue
			}
			if text, err := strconv.Unquote(o.Text); err == nil && found.time.UnmarshalText([]byte(text)) == nil {
				found.at = o.Range
			}
		}
	}
	return found
}

// checked is check for those who go on only with a valid configuration.
func checked(path string, messages io.Writer) (*loaded, error) {
	l, diags, err := check(path)
	if err == nil && diags.HasErrors() {
		report(messages, diags, l.Files)
		err = &exitError{exitUsage, nil}
	}
	return l, err
}

func nowhere(*http.Request) (*http.Response, error) {
	return nil, &policy.Denial{Code: policy.NotReady, Stage: "transport", Detail: "nothing is sent while checking"}
}

// silent observes nothing.
type silent struct{}

func (silent) LimitWait(string, string, time.Duration) {}
func (silent) LimitRemaining(string, string, float64)  {}
func (silent) LimitObserved(string)                    {}
func (silent) Breaker(string, string, bool)            {}
func (silent) Renewed(string, string)                  {}
func (silent) Expires(connection.Key, time.Time)       {}
func (silent) Moved(connection.Key, connection.Move)   {}
func (silent) Alarm(connection.Key, string)            {}
func (silent) Trouble(string, error)                   {}
func (silent) VersionMismatch(string)                  {}
func (silent) ClockSkew(string, float64)               {}
func (silent) Echoed(string, string, bool)             {}

func (silent) Certificate(policy.Scope, time.Time, error) {}
func (silent) CertificateEnds(policy.Scope, time.Time)    {}

// diagnostic is one problem, in the shape that editors know from Terraform.
type diagnostic struct {
	Severity string     `json:"severity"`
	Summary  string     `json:"summary"`
	Detail   string     `json:"detail"`
	Range    *fileRange `json:"range,omitempty"`
}

type fileRange struct {
	Filename string  `json:"filename"`
	Start    hcl.Pos `json:"start"`
	End      hcl.Pos `json:"end"`
}

func validJSON(w io.Writer, diags hcl.Diagnostics) error {
	out := struct {
		Valid       bool         `json:"valid"`
		Diagnostics []diagnostic `json:"diagnostics"`
	}{!diags.HasErrors(), []diagnostic{}}
	for _, d := range diags {
		one := diagnostic{"error", d.Summary, d.Detail, nil}
		if d.Severity == hcl.DiagWarning {
			one.Severity = "warning"
		}
		if d.Subject != nil {
			one.Range = &fileRange{d.Subject.Filename, d.Subject.Start, d.Subject.End}
		}
		out.Diagnostics = append(out.Diagnostics, one)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return &exitError{exitFailure, fmt.Errorf("write result: %w", err)}
	}
	if diags.HasErrors() {
		return &exitError{exitUsage, nil}
	}
	return nil
}
