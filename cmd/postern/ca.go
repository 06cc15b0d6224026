package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/proxy/ca"
	"github.com/postern-proxy/postern/proxy/clientenv"
)

func caCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Give several replicas one certificate authority",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{exitUsage, nil}
		},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "import FOLDER",
			Short: "Use the authority in FOLDER/tls.crt and FOLDER/tls.key: it is copied to proxy.ca",
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, diags := config.Load(o.config, os.Environ())
				if diags.HasErrors() {
					report(cmd.ErrOrStderr(), diags, c.Files)
					return &exitError{exitUsage, nil}
				}
				return importAuthority(string(c.Proxy.CA), args[0])
			},
		},
		&cobra.Command{
			Use:   "trust CERTIFICATE FOLDER",
			Short: "Write the folder that applications need in order to trust an authority",
			Args:  cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error {
				cert, err := os.ReadFile(args[0])
				if err == nil {
					err = clientenv.WriteTrust(args[1], cert)
				}
				if err != nil {
					return &exitError{exitFailure, err}
				}
				return nil
			},
		},
	)
	return cmd
}

// importAuthority copies what a kubernetes.io/tls Secret holds.
func importAuthority(to, from string) error {
	cert, err := os.ReadFile(filepath.Join(from, "tls.crt"))
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("read the certificate of the authority: %w", err)}
	}
	key, err := os.ReadFile(filepath.Join(from, "tls.key"))
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("read the key of the authority: %w", err)}
	}
	if err := ca.Import(to, cert, key); err != nil {
		return &exitError{exitFailure, err}
	}
	return nil
}
