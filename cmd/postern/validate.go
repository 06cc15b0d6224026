package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

func validateCommand(o *options) *cobra.Command {
	var output string
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
			if output == "json" {
				return validJSON(cmd.OutOrStdout(), diags)
			}
			report(cmd.ErrOrStderr(), diags, l.Files)
			if diags.HasErrors() {
				return &exitError{exitUsage, fmt.Errorf("the configuration is not valid: %s.", count(len(diags.Errs()), "mistake"))}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The configuration is valid: %s, %s, %s.\n", count(len(l.Providers), "provider"), count(len(l.Webhooks), "webhook"), count(len(l.Tests), "test"))
			return nil
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
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
	features, err := stages(silent{})
	if err != nil {
		return nil, nil, &exitError{exitFailure, err}
	}
	l, diags := load(path, block.NewSecrets(os.Environ()), features, policy.RoundTripper(nowhere))
	return l, diags, nil
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
func (silent) Breaker(string, string, bool)            {}
func (silent) VersionMismatch(string)                  {}

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
