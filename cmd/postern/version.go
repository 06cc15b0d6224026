package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker: -X main.release=v1.2.3.
var release = ""

// commit is set by the linker where the build sees no repository.
var commit = ""

// buildVersion is what this binary is.
func buildVersion() (number, revision string) {
	number, revision = release, commit
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fallback(number, "devel"), revision
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return fallback(number, "devel"), revision
}

func versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			number, revision := buildVersion()
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": number, "revision": revision, "go": runtime.Version()})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "postern %s %s %s/%s %s\n", number, fallback(revision, "unknown"), runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}
