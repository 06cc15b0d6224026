// Command postern is a small gate in both directions between an application
// and the APIs of others.
//
// Read it in this order:
//
//	main.go      the command line
//	stages.go    the ordered list of stages
//	load.go      files -> policy
//	gate.go      everything that runs, put together; reload.go: a configuration in force
//	seal.go      the keys under which it stores what is secret; sealkeys.go: how they are had
//	run.go       its life: start, reload, drain; announce.go: what it says at start
//
// and one file for each further subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config/block"
)

// The exit codes.
const (
	exitFailure = 1
	exitUsage   = 2 // or invalid configuration
	exitFound   = 3 // a check found problems
)

// An exitError ends the process with a code; its text was said already if it
// is empty.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if text := exit.Error(); text != "" {
			fmt.Fprintln(os.Stderr, "postern:", text)
		}
		return exit.code
	}
	fmt.Fprintln(os.Stderr, "postern:", err)
	if strings.Contains(err.Error(), "arg(s)") {
		fmt.Fprintln(os.Stderr, "usage:", cmd.UseLine())
	}
	return exitUsage // cobra's own errors are about flags and arguments
}

// options are the flags that every subcommand has.
type options struct {
	config string
	admin  string
}

func rootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "postern",
		Short:         "A gate between your application and the APIs of others",
		Long:          "Postern takes expired tokens, repeated webhooks, unsafe retries and rate limits out of an application:\noutbound it is the local proxy for API calls, inbound it is the inbox of webhooks. Policy is HCL, one file per provider.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVarP(&o.config, "config", "c", fallback(os.Getenv("POSTERN_CONFIG"), "."), "file or folder of the configuration (POSTERN_CONFIG)")
	root.AddCommand(
		runCommand(&o), validateCommand(&o), fmtCommand(), explainCommand(&o), testCommand(&o),
		execCommand(&o), envCommand(&o), healthCommand(&o), waitCommand(&o), statusCommand(&o), reloadCommand(&o), inboxCommand(&o), sendCommand(&o), outboxCommand(&o), connectionsCommand(&o), backupCommand(&o), migrateCommand(), secretsCommand(&o), versionCommand(), caCommand(&o), k8sCommand(),
	)
	for _, c := range root.Commands() {
		if c.HasSubCommands() && !c.Runnable() {
			c.Args, c.RunE = subcommand, func(c *cobra.Command, _ []string) error {
				_ = c.Help()
				return &exitError{exitUsage, nil}
			}
		}
	}
	return root
}

// subcommand refuses a subcommand that there is not: cobra would print the help
// and call that a success.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range c.Commands() {
		known = append(known, sub.Name())
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	if s := block.Suggest(args[0], known); s != "" {
		text += fmt.Sprintf("; did you mean %q?", s)
	}
	return errors.New(text)
}

func fallback(value, other string) string {
	if value == "" {
		return other
	}
	return value
}
