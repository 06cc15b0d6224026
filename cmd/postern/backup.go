package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/store"
)

func backupCommand(o *options) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the store into a file, also while Postern runs",
		Long: "Write a backup of the SQLite store into a file, also while Postern runs.\n\n" +
			"What was acknowledged before is in it. It is a database like the store's: to restore it, stop Postern, put it in the place of the store's file,\n" +
			"delete what stands beside that (-wal, -shm), and start. PostgreSQL is backed up with its own tools.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, path, err := sqlitePath(o, args[0])
			if err != nil {
				return err
			}
			b, err := store.Backup(cmd.Context(), path, args[0], force)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s holds %s, %s, %s, %s, schema version %d, and was checked.\n",
				args[0], count(int(b.Events), "event"), deliveries(b.Deliveries), count(int(b.Connections), "connection"), size(b.Size), b.Schema)
			besideBackup(cmd.OutOrStdout(), c.Seal, "sqlite:"+path)
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

// sqlitePath is the configuration, and the file of the store that it names.
func sqlitePath(o *options, file string) (*config.Config, string, error) {
	c, diags := config.Load(o.config, os.Environ())
	if diags.HasErrors() {
		report(os.Stderr, diags, c.Files)
		return nil, "", &exitError{exitUsage, fmt.Errorf("the configuration in %s is not valid", o.config)}
	}
	where, err := c.Store.Where(c.Folder)
	if err != nil {
		return nil, "", &exitError{exitUsage, err}
	}
	path, ok := strings.CutPrefix(where, "sqlite:")
	if !ok {
		return nil, "", &exitError{exitFailure, errors.New("the store is a PostgreSQL database, which its own tools back up while Postern runs:\n\n" +
			"  pg_dump --format=custom --file=" + quoted(file) + ` "$DATABASE_URL"` + "\n\n" +
			"with the URL of the store in DATABASE_URL; pg_restore --dbname=... brings it back. For every moment, not only one a day, archive the WAL as well")}
	}
	return c, path, nil
}

// quoted is s as one word of a shell.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:=@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func deliveries(n int64) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return count(int(n), "byte")
}
