package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-proxy/postern/admin"
)

// export is the command that writes events out.
type export struct {
	inboxFlags
	file, cursor, before string
}

func inboxExport(o *options) *cobra.Command {
	x := &export{}
	cmd := &cobra.Command{
		Use: "export", Short: "Write events out, with their bodies and their audit trails, one in a line", Args: cobra.NoArgs,
		Long: "Write events out, with their bodies and their audit trails, one in a line of JSON, the newest first.\n\nA body that is no text is in base64, and says so. What arrives while it runs is left out. What is interrupted says how to go on; a file\nis gone on with, after its last whole line.",
		RunE: asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error { return x.run(cmd, c) }),
	}
	x.add(cmd)
	cmd.Flags().IntVar(&x.limit, "limit", 0, "how many at most; 0 is all")
	cmd.Flags().StringVar(&x.file, "file", "", "write to this file; else to standard output")
	cmd.Flags().StringVar(&x.cursor, "cursor", "", "go on where an export was interrupted, as it said")
	return cmd
}

func (x *export) run(cmd *cobra.Command, c *admin.Client) error {
	if cmd.Flags().Changed("output") && outputOf(cmd) != "ndjson" {
		return &exitError{exitUsage, errors.New("export writes ndjson, one event in a line, and nothing else")}
	}
	filter, err := x.filter(nil)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if filter.Until.IsZero() {
		filter.Until = time.Now()
	}
	x.before = filter.Until.UTC().Format(time.RFC3339Nano)
	out, done := cmd.OutOrStdout(), func() error { return nil }
	if x.file != "" {
		f, err := continued(x.file, x.cursor != "")
		if err != nil {
			return &exitError{exitFailure, err}
		}
		out, done = paged{f}, func() error { return errors.Join(f.Sync(), f.Close()) }
	}
	n, cursor, err := x.pages(cmd, c, filter, out)
	err = errors.Join(err, done())
	switch {
	case err != nil && cursor == "" && n == 0:
		return &exitError{exitFailure, err}
	case err != nil:
		return &exitError{exitFailure, fmt.Errorf("after %s: %w. To go on:\n  %s", count(n, "event"), err, x.resume(cmd, cursor, n))}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s exported.\n", count(n, "event"))
	return nil
}

// exportPage is how many events are asked for at once.
const exportPage = 100

var errInterrupted = errors.New("interrupted")

// pages writes page after page, each as a whole; cursor is that after the last.
func (x *export) pages(cmd *cobra.Command, c *admin.Client, f admin.Filter, out io.Writer) (n int, cursor string, err error) {
	bar := &gauge{out: cmd.ErrOrStderr(), thing: "event", began: time.Now()}
	defer bar.end()
	cursor = x.cursor
	for {
		if cmd.Context().Err() != nil {
			return n, cursor, errInterrupted
		}
		size := exportPage
		if x.limit > 0 {
			size = min(size, x.limit-n)
		}
		page, err := c.ExportEvents(cmd.Context(), f, size, cursor)
		if cmd.Context().Err() != nil {
			return n, cursor, errInterrupted
		} else if err != nil {
			return n, cursor, err
		}
		var lines bytes.Buffer
		enc := json.NewEncoder(&lines)
		enc.SetEscapeHTML(false)
		for i := range page.Events {
			if err := enc.Encode(&page.Events[i]); err != nil {
				return n, cursor, err
			}
		}
		if _, err := out.Write(lines.Bytes()); err != nil {
			return n, cursor, fmt.Errorf("write the events: %w", err)
		}
		n, cursor = n+len(page.Events), page.Next
		if cursor == "" || x.limit > 0 && n >= x.limit {
			return n, cursor, nil
		}
		if x.file != "" && len(page.Events) > 0 {
			bar.show(n)
		}
	}
}

// resume is the command line that goes on from a cursor.
func (x *export) resume(cmd *cobra.Command, cursor string, n int) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "cursor" || f.Name == "limit" || f.Name == "until" || f.Name == "admin" && strings.Contains(f.Value.String(), "@") {
			return
		}
		words = append(words, "--"+f.Name+" "+quoted(given(f)))
	})
	words = append(words, "--until "+x.before)
	if x.limit > 0 {
		words = append(words, fmt.Sprintf("--limit %d", x.limit-n))
	}
	if cursor != "" {
		words = append(words, "--cursor "+quoted(cursor))
	}
	return strings.Join(words, " ")
}

// paged writes each page as a whole or not at all, so that what goes on after a disk
// was full has nothing twice.
type paged struct {
	file interface {
		io.WriteSeeker
		Truncate(size int64) error
	}
}

// Write implements [io.Writer].
func (p paged) Write(page []byte) (n int, err error) {
	at, err := p.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if n, err = p.file.Write(page); err != nil {
		_, back := p.file.Seek(at, io.SeekStart)
		return 0, errors.Join(err, p.file.Truncate(at), back)
	}
	return n, nil
}

// continued opens a file to write to: a new one, or one to go on with after its
// last whole line. It is for the user alone, as bodies are.
func continued(path string, goOn bool) (*os.File, error) {
	if !goOn {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("%s is there already: name another file, or go on with it by the --cursor that was said", path)
		}
		return f, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	var read, whole int64 // up to here; up to the end of a line
	for r := bufio.NewReader(f); err == nil; {
		var part []byte
		part, err = r.ReadSlice('\n')
		if read += int64(len(part)); err == nil {
			whole = read
		} else if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Truncate(whole); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(whole, io.SeekStart)
	return f, err
}
