package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/seal"
)

func secretsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Make the keys that seal what Postern keeps for accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{exitUsage, nil}
		},
	}
	cmd.AddCommand(&cobra.Command{
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
