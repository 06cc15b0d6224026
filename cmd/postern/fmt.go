package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config/block"
)

func fmtCommand() *cobra.Command {
	var checkOnly bool
	cmd := &cobra.Command{
		Use:   "fmt [PATH...]",
		Short: "Rewrite configuration files in the canonical format; - is standard input",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			changed := 0
			for _, arg := range args {
				if arg == "-" {
					return formatStream(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
				}
				files, err := hclFiles(arg)
				if err != nil {
					return &exitError{exitFailure, err}
				}
				for _, f := range files {
					did, err := formatFile(f, !checkOnly, cmd.ErrOrStderr())
					if err != nil {
						return err
					}
					if did {
						changed++
						fmt.Fprintln(cmd.OutOrStdout(), f)
					}
				}
			}
			if checkOnly && changed > 0 {
				return &exitError{exitFound, nil}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&checkOnly, "check", false, "write nothing; exit with 3 if a file would change")
	return cmd
}

// hclFiles lists a file, or the *.hcl of a folder.
func hclFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.hcl"))
	if err != nil {
		return nil, fmt.Errorf("list configuration: %w", err)
	}
	return files, nil
}

func formatStream(in io.Reader, out, messages io.Writer) error {
	text, err := io.ReadAll(io.LimitReader(in, 2<<20))
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("read standard input: %w", err)}
	}
	after, err := format("<stdin>", text, messages)
	if err != nil {
		return err
	}
	_, err = out.Write(after)
	return err
}

// format returns the canonical text. What is no HCL is reported and stays.
func format(name string, text []byte, messages io.Writer) ([]byte, error) {
	diags := block.Scan(text, name)
	if !diags.HasErrors() {
		_, diags = hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	}
	if diags.HasErrors() {
		report(messages, diags, map[string]*hcl.File{name: {Bytes: text, Body: hcl.EmptyBody()}})
		return nil, &exitError{exitUsage, nil}
	}
	return hclwrite.Format(text), nil
}

// formatFile rewrites a file if it is not canonical and write is set, keeping
// its mode. The old text is there until the new one is complete.
func formatFile(name string, write bool, messages io.Writer) (changed bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, &exitError{exitFailure, fmt.Errorf("read configuration: %w", err)}
	}
	after, err := format(name, text, messages)
	if err != nil || bytes.Equal(text, after) || !write {
		return err == nil && !bytes.Equal(text, after), err
	}
	if err := replaceFile(name, after); err != nil {
		return false, &exitError{exitFailure, err}
	}
	return true, nil
}

func replaceFile(name string, text []byte) error {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+strings.TrimSuffix(filepath.Base(name), ".hcl")+"-*")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chmod(tmp.Name(), info.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
