package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/deploy"
)

func k8sCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "k8s",
		Short: "Prepare workloads of Kubernetes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return &exitError{exitUsage, nil}
		},
	}
	cmd.AddCommand(injectCommand())
	return cmd
}

func injectCommand() *cobra.Command {
	var o deploy.Options
	var file string
	cmd := &cobra.Command{
		Use:     "inject -f FILE",
		Short:   "Add the sidecar to the workloads in a stream of YAML",
		Long:    "Add the sidecar to the workloads in a stream of YAML, and print the whole stream.\n\nWhat runs no pod stays as it is, byte for byte, and so does what has this sidecar already.\nThe annotation " + deploy.SkipAnnotation + ": \"false\" leaves a workload alone; " + deploy.ConfigAnnotation + ": NAME names its ConfigMap.",
		Example: "  kubectl kustomize . | postern k8s inject --image postern:1.2.3 -f - | kubectl apply -f -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stream, err := manifest(cmd.InOrStdin(), file)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			out, changes, err := deploy.Inject(stream, o)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("nothing was injected: %w", err)}
			}
			for _, c := range changes {
				fmt.Fprintf(cmd.ErrOrStderr(), "postern: %s: %s\n", c.Object, c.What)
			}
			if len(changes) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "postern: there is no workload in it")
			}
			if _, err := cmd.OutOrStdout().Write(out); err != nil {
				return &exitError{exitFailure, fmt.Errorf("write the stream: %w", err)}
			}
			return nil
		},
	}
	number, _ := buildVersion()
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file to read; - is stdin")
	cmd.Flags().StringVar(&o.Image, "image", "postern:"+number, "image of the sidecar")
	cmd.Flags().StringVar(&o.Config, "config", "postern-policy", "ConfigMap with the policy, mounted as a folder")
	cmd.Flags().StringVar(&o.Secret, "secret", "postern", "Secret with the policy's secrets, mounted as a folder")
	cobra.CheckErr(cmd.MarkFlagRequired("filename"))
	return cmd
}

// manifest reads a file, or stdin.
func manifest(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
		return text, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s", name)
	}
	return text, err
}
