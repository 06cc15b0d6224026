package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/seal"
)

func connectionsExport(o *options) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "export [PROVIDER]", Short: "Write connections to stdout, one a line, their tokens sealed under a key of yours", Args: cobra.MaximumNArgs(1),
		Long: "Write connections to stdout, one a line, their tokens sealed under a key that `postern secrets keygen` made. `postern connections import` with the same key reads them.\n\nWhere refresh tokens rotate, an export is good until either side renews: stop the one before the other takes over.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			key, err := readKey(cmd, keyFile)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			ask := admin.Export{Key: key}
			if len(args) > 0 {
				ask.Provider = args[0]
			}
			enc, n := json.NewEncoder(cmd.OutOrStdout()), 0
			for {
				got, err := c.Export(cmd.Context(), ask)
				if err != nil {
					return &exitError{exitFailure, err}
				}
				for i := range got.Connections {
					if err := enc.Encode(&got.Connections[i]); err != nil {
						return &exitError{exitFailure, fmt.Errorf("write the export: %w", err)}
					}
				}
				n += len(got.Connections)
				if ask.Cursor = got.Next; ask.Cursor == "" {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s exported.\n", count(n, "connection"))
					return nil
				}
			}
		}),
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file that holds the key, or - for stdin")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

// readKey reads a seal key from a file, or from stdin.
func readKey(cmd *cobra.Command, name string) (string, error) {
	in, what := cmd.InOrStdin(), "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("--key: %w", err)
		}
		defer f.Close()
		in, what = f, name
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<10))
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if _, err := seal.Parse(key); err != nil {
		return "", fmt.Errorf("--key: %s: %w", what, err)
	}
	return key, nil
}

func connectionsImport(o *options, output *string) *cobra.Command {
	var keyFile string
	var names map[string]string
	var overwrite bool
	cmd := &cobra.Command{
		Use: "import [FILE]", Short: "Bring connections in: an export of Postern, or what Nango's API says of a connection", Args: cobra.MaximumNArgs(1),
		Long: "Bring connections in, from FILE or stdin: lines of `postern connections export`, or connections as Nango's API gives them (GET /connection/ID with refresh_token=true), each by itself or in a list.\n\nA connection that there is stays as it is unless --overwrite is given. What is refused is said on stderr; the exit code is then 1.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, args []string) error {
			in, key, err := importInput(cmd, args, keyFile)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			defer in.Close()
			renamed := map[string]string{}
			for name, was := range names {
				renamed[was] = name
			}
			i := &importer{ask: admin.Import{Key: key, Overwrite: overwrite}, send: func(ask admin.Import) (admin.Imported, error) { return c.Import(cmd.Context(), ask) }}
			if err := readIncoming(in, renamed, i); err != nil {
				return &exitError{exitFailure, errors.Join(fmt.Errorf("read the connections: %w", err), i.flush())}
			}
			if err := i.flush(); err != nil {
				return &exitError{exitFailure, err}
			}
			return i.report(cmd, *output)
		}),
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file that holds the key of the export, or - for stdin")
	cmd.Flags().StringToStringVar(&names, "provider", nil, "NAME=KEY: the provider NAME here is called KEY in the file; may be repeated")
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace connections that there are")
	return cmd
}

// importInput opens what is to be read, and the key to it if one is named.
func importInput(cmd *cobra.Command, args []string, keyFile string) (in io.ReadCloser, key string, err error) {
	in = io.NopCloser(cmd.InOrStdin())
	switch {
	case len(args) == 0 && keyFile == "-":
		return nil, "", errors.New("the key and the connections cannot both come from stdin: name a file for one of them")
	case keyFile != "":
		if key, err = readKey(cmd, keyFile); err != nil {
			return nil, "", err
		}
	}
	if len(args) > 0 {
		if in, err = os.Open(args[0]); err != nil {
			return nil, "", err
		}
	}
	return in, key, nil
}

// An importer sends connections in portions.
type importer struct {
	ask  admin.Import
	size int // of what waits, about, in bytes
	send func(admin.Import) (admin.Imported, error)
	done admin.Imported
}

// The admin listener takes bodies of 1 MiB.
const (
	portionSize  = 256 << 10
	portionCount = 100
)

func (i *importer) add(c admin.Incoming) error {
	i.ask.Connections = append(i.ask.Connections, c)
	i.size += 1<<10 + len(c.Sealed) + len(c.Access) + len(c.Refresh) + len(c.Answer)
	if i.size < portionSize && len(i.ask.Connections) < portionCount {
		return nil
	}
	return i.flush()
}

func (i *importer) flush() error {
	if len(i.ask.Connections) == 0 {
		return nil
	}
	got, err := i.send(i.ask)
	if err != nil {
		return fmt.Errorf("after %s: %w", count(i.done.Imported, "connection"), err)
	}
	i.done.Imported += got.Imported
	i.done.Refused = append(i.done.Refused, got.Refused...)
	i.ask.Connections, i.size = nil, 0
	return nil
}

// report says what came of it; what was refused makes it a failure.
func (i *importer) report(cmd *cobra.Command, output string) error {
	for _, r := range i.done.Refused {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s. %s\n", strings.TrimSuffix(r.Provider+"/"+r.Account, "/"), r.Reason, r.Hint)
	}
	if output == "table" {
		fmt.Fprintf(cmd.OutOrStdout(), "%s imported, %d refused.\n", count(i.done.Imported, "connection"), len(i.done.Refused))
	} else if err := printValues(cmd.OutOrStdout(), "ndjson", []admin.Imported{{Imported: i.done.Imported, Refused: append([]admin.Refused{}, i.done.Refused...)}}); err != nil {
		return err
	}
	if len(i.done.Refused) > 0 {
		return &exitError{exitFailure, nil}
	}
	return nil
}
