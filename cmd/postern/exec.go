package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/proxy/clientenv"
	"github.com/postern-proxy/postern/telemetry"
)

// clientFlags choose whom the variables are for.
type clientFlags struct {
	client   string
	account  string
	only     []string
	noHook   bool
	allProxy bool
	noProxy  []string
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.client, "client", "", "name of the client block whose token is used; needed where several are declared")
	cmd.Flags().StringVar(&f.account, "account", "", "the account that the calls are for")
	cmd.Flags().StringSliceVar(&f.only, "only", nil, "set variables for these runtimes only: "+strings.Join(runtimes(), ", "))
	cmd.Flags().BoolVar(&f.noHook, "no-hook", false, "leave NODE_OPTIONS alone; some Node libraries then go past Postern")
	cmd.Flags().BoolVar(&f.allProxy, "all-proxy", false, "set ALL_PROXY too")
	cmd.Flags().StringSliceVar(&f.noProxy, "no-proxy", nil, "further hosts to reach directly")
}

func runtimes() (names []string) {
	for _, r := range clientenv.Runtimes() {
		if !r.Planned {
			names = append(names, r.Name)
		}
	}
	return names
}

// options are those for a configuration.
func (f *clientFlags) options(c *config.Config, environ []string) (clientenv.Options, error) {
	o := clientenv.Options{Environ: environ, Only: f.only, NoHook: f.noHook, AllProxy: f.allProxy, NoProxy: f.noProxy}
	trust, err := filepath.Abs(string(c.Proxy.Trust))
	if err != nil {
		return o, fmt.Errorf("find the trust folder: %w", err)
	}
	o.TrustDir = trust
	o.Proxy = &url.URL{Scheme: "http", Host: reachable(c.Proxy.Listen)}
	if c.Proxy.TLS != nil {
		o.Proxy.Scheme = "https"
	}
	client, err := f.chosen(c.Proxy.Clients)
	if err != nil || client == nil {
		return o, err
	}
	token, err := client.Token.Reveal()
	if err != nil {
		return o, fmt.Errorf("client %q: %w", client.Name, err)
	}
	name := client.Name
	if f.account != "" {
		name += "+" + f.account
	}
	o.Proxy.User = url.UserPassword(name, token)
	return o, nil
}

// chosen is the client that the variables are for; nil where none is declared.
func (f *clientFlags) chosen(clients []proxy.Client) (*proxy.Client, error) {
	var names []string
	for i := range clients {
		names = append(names, clients[i].Name)
		if clients[i].Name == f.client || f.client == "" && len(clients) == 1 {
			return &clients[i], nil
		}
	}
	switch {
	case f.client != "":
		return nil, fmt.Errorf("there is no client %q; declared are %v", f.client, names)
	case len(clients) > 1:
		return nil, fmt.Errorf("several clients are declared: choose one by --client, of %v", names)
	case f.account != "":
		return nil, fmt.Errorf("an account is named in the proxy's credentials, and no client is declared: send the header Postern-Account instead")
	}
	return nil, nil
}

func execCommand(o *options) *cobra.Command {
	var f clientFlags
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "exec [flags] -- COMMAND [ARG...]",
		Short:   "Run a command with everything its runtime needs to call through Postern",
		Long:    "Run a command with everything its runtime needs to call through Postern.\n\nIf Postern runs already it is used; else one runs for as long as the command does.\nSignals are forwarded, and the exit code is the command's.",
		Example: "  postern exec -- node app.js",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return execute(cmd, o, &f, wait, args)
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long to wait for Postern to be ready")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func execute(cmd *cobra.Command, o *options, f *clientFlags, wait time.Duration, args []string) error {
	l, err := checked(o.config, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	opt, err := f.options(l.Config, without(os.Environ(), l.keys))
	if err != nil {
		return &exitError{exitFailure, err}
	}
	state := ready(cmd.Context(), adminURL(l.Config), wait)
	if state == starting {
		return &exitError{exitFailure, fmt.Errorf("the Postern at %s is not ready after %v; `postern health` says why", adminURL(l.Config), wait)}
	}
	child := clientenv.Command{Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if state == absent {
		return beside(cmd, o, opt, child)
	}
	if child.Env, err = environment(opt); err != nil {
		return &exitError{exitFailure, err}
	}
	return &exitError{child.Exec(), nil}
}

// without takes variables out of an environment: what holds a provider's
// credential is Postern's, and the application gets none.
func without(environ, names []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(names, name)
	})
}

func environment(opt clientenv.Options) ([]string, error) {
	if err := clientenv.CheckTrust(opt.TrustDir); err != nil {
		return nil, fmt.Errorf("the trust folder is not complete: %w", err)
	}
	vars, err := clientenv.Vars(opt)
	if err != nil {
		return nil, err
	}
	return clientenv.Merge(opt.Environ, vars), nil
}

// beside runs Postern in this process for as long as the child runs.
func beside(cmd *cobra.Command, o *options, opt clientenv.Options, child clientenv.Command) error {
	ctx := context.WithoutCancel(cmd.Context()) // the child gets the signals, and ends both
	env, err := shield()
	if err != nil {
		return &exitError{exitFailure, err}
	}
	g, err := openGate(ctx, o.config, telemetry.Options{Output: cmd.ErrOrStderr(), Level: slog.LevelWarn}, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	env.concealFrom(g.first, g.tel)
	stopped := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	go func() { stopped <- g.serve(run) }()
	defer func() {
		stop()
		<-stopped
	}()
	if child.Env, err = environment(opt); err != nil {
		return &exitError{exitFailure, err}
	}
	return &exitError{child.Run(ctx), nil}
}

func envCommand(o *options) *cobra.Command {
	var f clientFlags
	var shell string
	var unset bool
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print the variables that `postern exec` sets",
		Example: "  eval \"$(postern env)\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := checked(o.config, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			environ := os.Environ()
			if shell == "docker" || shell == "k8s" {
				environ = nil // for another machine
			}
			opt, err := f.options(l.Config, environ)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			list := clientenv.Vars
			if unset {
				list = clientenv.Clear
			}
			vars, err := list(opt)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			text, err := clientenv.Format(vars, shell)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if err := clientenv.CheckTrust(opt.TrustDir); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "postern: start `postern run` first, it makes the trust folder: %v\n", err)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&shell, "shell", "sh", "syntax: "+strings.Join(clientenv.Shells(), ", "))
	cmd.Flags().BoolVar(&unset, "unset", false, "print what takes the variables away again")
	return cmd
}
