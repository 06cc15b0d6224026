package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

func testCommand(o *options) *cobra.Command {
	var only, output string
	cmd := &cobra.Command{
		Use:   "test [PATH]",
		Short: "Run the policy's own tests (*_test.hcl), offline and in virtual time",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := o.config
			if len(args) > 0 {
				path = args[0]
			}
			match, err := regexp.Compile(only)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("--run: %w", err)}
			}
			return testPolicy(path, match, output, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&only, "run", "", "run only the tests whose names match this regular expression")
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}

// testResult is what became of one test.
type testResult struct {
	Name     string   `json:"name"`
	At       string   `json:"at"`
	Passed   bool     `json:"passed"`
	Failures []string `json:"failures,omitempty"`
	Virtual  string   `json:"virtual_time"` // how long it took on its own clock
}

func testPolicy(path string, match *regexp.Regexp, output string, out, messages io.Writer) error {
	l, diags, err := check(path)
	if err != nil {
		return err
	}
	var trials []*trial
	if !diags.HasErrors() {
		for _, b := range l.Tests {
			t := &trial{At: b.DefRange()}
			if len(b.Labels) == 1 {
				t.Name = b.Labels[0]
			}
			ctx := block.NewContext(l.Environment, block.StandIns())
			ctx.Sources = l.Context.Sources
			diags = append(diags, block.Decode(b.Body, ctx, t)...)
			if match.MatchString(t.Name) {
				trials = append(trials, t)
			}
		}
	}
	report(messages, diags, l.Files)
	switch {
	case diags.HasErrors():
		return &exitError{exitUsage, nil}
	case len(trials) == 0:
		return &exitError{exitFailure, fmt.Errorf("no tests found in %s: they stand in files whose names end in _test.hcl", path)}
	}
	results := make([]testResult, len(trials))
	var runs []func()
	for i, t := range trials {
		results[i] = testResult{Name: t.Name, At: fmt.Sprintf("%s:%d", t.At.Filename, t.At.Start.Line)}
		runs = append(runs, func() { t.run(path, &results[i]) })
	}
	if err := inBubbles(runs); err != nil {
		return &exitError{exitFailure, err}
	}
	return reportTests(results, output, out)
}

func reportTests(results []testResult, output string, out io.Writer) error {
	failed := 0
	for i := range results {
		r := &results[i]
		if r.Passed = len(r.Failures) == 0; !r.Passed {
			failed++
		}
	}
	var found error
	if failed > 0 {
		found = &exitError{exitFound, nil}
	}
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(results); err != nil {
			return &exitError{exitFailure, fmt.Errorf("write results: %w", err)}
		}
		return found
	}
	for _, r := range results {
		word := "pass"
		if !r.Passed {
			word = "FAIL"
		}
		fmt.Fprintf(out, "%s  %s  (%s of virtual time)\n", word, r.Name, r.Virtual)
		for _, f := range r.Failures {
			fmt.Fprintf(out, "      %s\n", f)
		}
		if !r.Passed {
			fmt.Fprintf(out, "      at %s\n", r.At)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", len(results)-failed, failed)
	return found
}

// trial is a test block.
type trial struct {
	Name        string
	At          hcl.Range
	Request     *trialRequest     `hcl:"request,block"`
	Upstream    []trialUpstream   `hcl:"upstream,block"`
	Token       []trialUpstream   `hcl:"token,block"` // what the token endpoint answers, in turn
	Connection  []trialConnection `hcl:"connection,block"`
	Expect      *trialExpect      `hcl:"expect,block"`
	Assert      []trialAssert     `hcl:"assert,block"`
	Webhook     []trialWebhook    `hcl:"webhook,block"`
	Application []trialUpstream   `hcl:"application,block"` // what the application answers, in turn

	StandIn map[string]string `hcl:"stand_in,optional"` // values of secrets, by the name of the variable or file
	Time    instant           `hcl:"at,optional"`       // when the call is made
	Nonce   string            `hcl:"nonce,optional"`    // in signatures
}

// instant is a moment of virtual time, which begins with the year 2000.
type instant struct{ time.Time }

// UnmarshalText reads RFC 3339.
func (i *instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return fmt.Errorf("%q is not a time such as \"2026-11-29T13:00:00Z\", from the year 2000 on", text)
	}
	i.Time = t
	return nil
}

// trialRequest is the call that the application makes.
type trialRequest struct {
	Method  string            `hcl:"method,optional"`
	URL     string            `hcl:"url"`
	Header  map[string]string `hcl:"header,optional"`
	Body    string            `hcl:"body,optional"`
	Account string            `hcl:"account,optional"`
}

// trialUpstream is one answer of the provider; they are given in turn, and the
// last one again for every further attempt.
type trialUpstream struct {
	Status int               `hcl:"status,optional"`
	Header map[string]string `hcl:"header,optional"`
	Body   string            `hcl:"body,optional"`
	After  block.Duration    `hcl:"after,optional"` // how long the provider takes
	Fault  string            `hcl:"fault,optional"` // instead of an answer: "refuse" (no connection) or "reset" (after the request was read)
}

// trialExpect is what the application must see; what is not written is not looked at.
type trialExpect struct {
	Status   *int              `hcl:"status,optional"`
	Attempts *int              `hcl:"attempts,optional"`
	Outcome  *string           `hcl:"outcome,optional"`
	Source   *string           `hcl:"source,optional"`
	Executed *string           `hcl:"executed,optional"`
	Code     *string           `hcl:"code,optional"` // of a problem
	Header   map[string]string `hcl:"header,optional"`
	Body     *string           `hcl:"body,optional"`

	Stored    *int    `hcl:"stored,optional"`    // of webhooks: how many events are stored
	Delivered *int    `hcl:"delivered,optional"` // how many requests the application received
	State     *string `hcl:"state,optional"`     // in which state all of the events are in the end
}

// unfit names what says nothing about the kind of test that it is in.
func (e *trialExpect) unfit(webhook bool) string {
	switch {
	case e == nil:
	case webhook && (e.Attempts != nil || e.Outcome != nil || e.Source != nil || e.Executed != nil || e.Code != nil):
		return "attempts, outcome, source, executed or code, which is of calls and not of webhooks"
	case !webhook && (e.Stored != nil || e.Delivered != nil || e.State != nil):
		return "stored, delivered or state, which is of webhooks and not of calls"
	case e.State != nil && !slices.Contains(inbound.States[:], inbound.State(*e.State)):
		return fmt.Sprintf("state %q, which is none of %v", *e.State, inbound.States)
	}
	return ""
}

// trialAssert is a condition over sent, asked, response, problem and waited, and of webhooks
// stored, delivered and response.
type trialAssert struct {
	Condition *block.Expr `hcl:"condition" scope:"test" type:"bool"`
	Error     string      `hcl:"error,optional"`
}

// Default is a GET.
func (r *trialRequest) Default() { r.Method = "GET" }

// Default is a 200.
func (u *trialUpstream) Default() { u.Status = 200 }

// Check refuses what no provider does.
func (u *trialUpstream) Check() error {
	switch {
	case u.Status < 200 || u.Status > 599:
		return block.At("status", "%d is not the status of an answer", u.Status)
	case u.Fault != "" && u.Fault != "refuse" && u.Fault != "reset":
		return block.At("fault", "%q is neither \"refuse\" nor \"reset\"", u.Fault)
	}
	return nil
}

// Check wants something to happen and something to look at.
func (t *trial) Check() error {
	switch {
	case t.Name == "":
		return fmt.Errorf("a test has one name: test \"what it shows\" { ... }")
	case t.Request == nil && len(t.Webhook) == 0:
		return fmt.Errorf("test %q has neither a request nor a webhook", t.Name)
	case t.Request != nil && len(t.Webhook) > 0:
		return fmt.Errorf("test %q has a request and a webhook: it tests one or the other", t.Name)
	case t.Request != nil && len(t.Application) > 0:
		return fmt.Errorf("test %q has an application, which is what webhooks are delivered to", t.Name)
	case t.Expect.unfit(len(t.Webhook) > 0) != "":
		return fmt.Errorf("test %q: expect has %s", t.Name, t.Expect.unfit(len(t.Webhook) > 0))
	case t.Expect == nil && len(t.Assert) == 0:
		return fmt.Errorf("test %q can not fail: it has neither expect nor assert", t.Name)
	}
	return nil
}
