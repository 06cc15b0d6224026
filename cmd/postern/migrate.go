package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

func migrateCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "migrate --from URL --to URL",
		Short: "Copy everything from one store into another, SQLite or PostgreSQL, and compare the two",
		Long: "Copy everything from one store into another, such as sqlite:postern.db and postgres://USER@HOST/DATABASE, and compare the two.\n\n" +
			"No Postern may run on either. The destination must be empty. If it is cut off, say it again: it goes on where it was.\n" +
			"A URL with a password belongs into the environment: POSTERN_MIGRATE_FROM, POSTERN_MIGRATE_TO.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, to := fallback(from, os.Getenv("POSTERN_MIGRATE_FROM")), fallback(to, os.Getenv("POSTERN_MIGRATE_TO"))
			if from == "" || to == "" {
				return &exitError{exitUsage, errors.New("name both stores by --from and --to, or by POSTERN_MIGRATE_FROM and POSTERN_MIGRATE_TO")}
			}
			for name, url := range map[string]string{"--from": from, "--to": to} {
				if err := store.CheckURL(url); err != nil {
					return &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
				}
			}
			p := newProgress(cmd.ErrOrStderr())
			sum, err := store.Copy(cmd.Context(), from, to, p.told)
			p.end()
			if cmd.Context().Err() != nil {
				return &exitError{exitFailure, errors.New("interrupted; say it again to go on")}
			}
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Both hold %s, %s, %s of the audit trail, %s of bodies, %s, %s under idempotency keys and %s of the outbox, and are the same: sha256 %s.\n",
				count(int(sum.Events), "event"), deliveries(sum.Deliveries), count(int(sum.Moves), "line"), size(sum.Bytes), count(int(sum.Connections), "connection"), count(int(sum.Answers), "call"), count(int(sum.Calls), "call"), hex.EncodeToString(sum.SHA256[:]))
			if k, err := seal.ReadFile(keyFile(from)); err == nil && sum.Connections+sum.Answers+sum.Calls > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "Tokens, answers and calls stay sealed: the policy of the copy needs the key %s, seal { keys = [file(%q)] }, wherever you keep it.\n", k.ID(), keyFile(from))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "URL of the store to copy (POSTERN_MIGRATE_FROM)")
	cmd.Flags().StringVar(&to, "to", "", "URL of the store to copy into (POSTERN_MIGRATE_TO)")
	return cmd
}

// progress tells a person how far it is: in one line that changes, or where that
// is no terminal in a line every few seconds.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	last     time.Time
	doing    string
	width    int
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, every: 5 * time.Second}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.every = true, 100*time.Millisecond
	}
	return p
}

func (p *progress) told(now store.Progress) {
	if now.Doing == p.doing && time.Since(p.last) < p.every && now.Done != now.Total {
		return
	}
	p.doing, p.last = now.Doing, time.Now()
	percent := 100.0
	if now.Total > 0 {
		percent = 100 * float64(now.Done) / float64(now.Total)
	}
	line := fmt.Sprintf("%s: %d of %d events, %.0f %%", now.Doing, now.Done, now.Total, percent)
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprint(p.w, "\r"+line+strings.Repeat(" ", max(p.width-len(line), 0)))
	p.width = len(line)
}

// end leaves the line that changes.
func (p *progress) end() {
	if p.terminal && p.width > 0 {
		fmt.Fprintln(p.w)
	}
}
