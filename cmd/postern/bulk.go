package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config/block"
)

// bulk is a command that does something to many things that are kept: it counts
// them, asks, and does it a page at a time. What was done stays done; what is
// interrupted, says how to go on.
type bulk struct {
	what, thing   string // such as replay, and event
	yes, dry, all bool
	limit         int
	rate          string
	cursor, began string    // of what is begun anew
	again         bool      // a page may be asked for a second time: nothing is done twice
	delivered     bool      // deliveries are moved, of which a thing may have several
	since         time.Time // what came later is not meant

	misfits, emptied int // deliveries that were not made, because of the schema in force and because the body is gone
}

// bulkReport is what came of it, for programs.
type bulkReport struct {
	Action  string   `json:"action"`
	Moved   int      `json:"moved"`
	Skipped int      `json:"skipped"`
	Held    int      `json:"held_back,omitempty"`
	Why     []string `json:"why,omitempty"`
	Misfits int      `json:"misfits,omitempty"`
	Emptied int      `json:"emptied,omitempty"`
}

// counted is what a dry run says.
type counted struct {
	matched int
	more    bool
	began   time.Time
	sample  func() error // shows some of them
}

// pageDone is what came of a page.
type pageDone struct {
	things               int // on the page: it may be a short one, or have none, while next goes on
	moved, skipped, held int
	why                  []string // of what was held back
	next                 string
}

func (b *bulk) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&b.yes, "yes", false, "do not ask")
	f.BoolVar(&b.dry, "dry-run", false, "only count, and show some of them")
	f.BoolVar(&b.all, "all", false, "no selection is meant: every "+b.thing)
	f.IntVar(&b.limit, "limit", 0, "how many at most; 0 is all that match")
	f.StringVar(&b.rate, "rate", "", "how many at most in a time, such as 10/s; all at once if not given")
	f.StringVar(&b.cursor, "cursor", "", "go on where a command was interrupted, as it said")
	if b.again {
		f.StringVar(&b.began, "began", "", "when the command that was interrupted began, as it said")
	}
}

// errUnnamed says that neither ids nor flags say what is meant.
var errUnnamed = errors.New("nothing is selected: name ids, or flags such as --status failed; --all means everything")

// errLimit says that a --limit is none.
var errLimit = errors.New("--limit is not a number from 0 on")

// outputOf is how a command is to write what it found.
func outputOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("output"); f != nil {
		return f.Value.String()
	}
	return "table"
}

// run counts, asks, and does it. named is how many things are named by their ids,
// which is answer enough; any says that something is selected at all.
func (b *bulk) run(cmd *cobra.Command, named int, any bool, count1 func(context.Context) (counted, error), page func(ctx context.Context, began time.Time, limit int, cursor string) (pageDone, error)) error {
	if !any && !b.all {
		return &exitError{exitUsage, errUnnamed}
	}
	pace, err := b.pace()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if b.limit < 0 {
		return &exitError{exitUsage, errLimit}
	}
	if b.since, err = moment(b.began); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--began: %w", err)}
	}
	c, err := count1(cmd.Context())
	if err != nil {
		return &exitError{exitFailure, err}
	}
	total := c.matched
	if b.limit > 0 {
		total = min(total, b.limit)
		c.more = c.more && total < b.limit
	}
	more := ""
	if c.more {
		more = "More than "
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s%s selected.\n", more, count(total, b.thing))
	switch {
	case named > 0 && c.matched == 0 && !c.more:
		return &exitError{exitFailure, fmt.Errorf("nothing has the id that is named, or what has it is not selected: list shows the ids")}
	case c.matched < named && !c.more:
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d ids select nothing.\n", named-c.matched, named)
	}
	if b.dry && total > 0 && c.sample != nil {
		return c.sample()
	}
	if b.dry {
		return nil
	}
	if total == 0 {
		return b.report(cmd, pageDone{})
	}
	if named == 0 && !b.yes && !confirmed(cmd, b.what+" them?") {
		return &exitError{exitFailure, errors.New("nothing was done; say --yes to do it without a question")}
	}
	if b.since.IsZero() {
		b.since = c.began
	}
	if c.more {
		total = b.limit // 0: until there are no more
	}
	return b.each(cmd, total, pace, page)
}

// pace is how many are done at once, and how long each has to take.
type pace struct {
	page int
	each time.Duration
}

// bulkPage is how many are done at once where there is no rate.
const bulkPage = 100

func (b *bulk) pace() (p pace, err error) {
	p.page = bulkPage
	if b.rate == "" {
		return p, nil
	}
	var rate block.Rate
	if err := rate.UnmarshalText([]byte(b.rate)); err != nil {
		return p, fmt.Errorf("--rate: %w", err)
	}
	p.page = max(1, min(bulkPage, int(rate.N*float64(time.Second)/float64(rate.Per)))) // about a page a second
	p.each = time.Duration(float64(rate.Per) / rate.N)
	return p, nil
}

// each does it page by page, no faster than the rate, and shows how far it is. A
// page that was begun is finished, whoever interrupts.
func (b *bulk) each(cmd *cobra.Command, total int, p pace, page func(ctx context.Context, began time.Time, limit int, cursor string) (pageDone, error)) error {
	var sum pageDone
	cursor := b.cursor
	bar := &gauge{out: cmd.ErrOrStderr(), thing: b.thing, total: total, began: time.Now()}
	for done := 0; total == 0 || done < total; {
		size := p.page
		if total > 0 {
			size = min(size, total-done)
		}
		began := time.Now()
		acted, err := b.patient(cmd, bar, func() (pageDone, error) {
			return page(context.WithoutCancel(cmd.Context()), b.since, size, cursor)
		})
		if err != nil {
			bar.end()
			return &exitError{exitFailure, fmt.Errorf("after %s: %w. To go on:\n  %s", b.moved(sum.moved), err, b.resume(cmd, cursor, done))}
		}
		sum.moved, sum.skipped, sum.held, sum.why = sum.moved+acted.moved, sum.skipped+acted.skipped, sum.held+acted.held, append(sum.why, acted.why...)
		done += acted.things
		if cursor = acted.next; cursor == "" {
			break
		}
		if acted.things > 0 {
			bar.show(done)
		}
		select {
		case <-time.After(time.Duration(acted.things)*p.each - time.Since(began)):
		case <-cmd.Context().Done():
		}
		if cmd.Context().Err() != nil && (total == 0 || done < total) {
			bar.end()
			return &exitError{exitFailure, fmt.Errorf("interrupted after %s. To go on:\n  %s", b.moved(sum.moved), b.resume(cmd, cursor, done))}
		}
	}
	bar.end()
	return b.report(cmd, sum)
}

func (b *bulk) moved(n int) string {
	if b.delivered {
		return deliveries(int64(n))
	}
	return count(n, b.thing)
}

func (b *bulk) report(cmd *cobra.Command, sum pageDone) error {
	if outputOf(cmd) == "table" {
		b.say(cmd.OutOrStdout(), sum)
	} else if err := printValue(cmd.OutOrStdout(), "ndjson", bulkReport{b.what, sum.moved, sum.skipped, sum.held, sum.why, b.misfits, b.emptied}); err != nil {
		return err
	}
	switch {
	case sum.held > 0:
		return &exitError{exitFound, fmt.Errorf("%s held back: look at each, and say --force if it is to be sent", count(sum.held, b.thing))}
	case b.misfits > 0:
		return &exitError{exitFound, fmt.Errorf("%s held back: the schema in force is still not met; --force releases all the same", count(b.misfits, b.thing))}
	}
	return nil
}

// say is the report for people.
func (b *bulk) say(out io.Writer, sum pageDone) {
	held := ""
	if !b.again {
		held = fmt.Sprintf(", %d held back", sum.held)
	}
	fmt.Fprintf(out, "%s: %s moved, %d passed over because of their state%s.\n", b.what, b.moved(sum.moved), sum.skipped, held)
	for _, why := range sum.why[:min(len(sum.why), 5)] {
		fmt.Fprintln(out, "  held back "+onLine(why))
	}
	if b.emptied > 0 {
		fmt.Fprintf(out, "%s not made: the body of the event was removed.\n", deliveries(int64(b.emptied)))
	}
}

// patience is how long a server that does not answer is waited for.
const patience = time.Minute

// patient asks again while the server is started anew, where that does nothing
// twice.
func (b *bulk) patient(cmd *cobra.Command, bar *gauge, ask func() (pageDone, error)) (pageDone, error) {
	end, wait := time.Now().Add(patience), 250*time.Millisecond
	for {
		done, err := ask()
		var said *admin.Problem
		if err == nil || !b.again || errors.As(err, &said) && said.Status < 500 || time.Now().After(end) || cmd.Context().Err() != nil {
			return done, err
		}
		bar.say("waiting for the server: " + err.Error())
		select {
		case <-time.After(wait):
		case <-cmd.Context().Done():
			return done, err
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// resume is the command line that goes on from a cursor.
func (b *bulk) resume(cmd *cobra.Command, cursor string, done int) string {
	words := []string{cmd.CommandPath()}
	add := func(name, value string) { words = append(words, "--"+name+" "+quoted(value)) }
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "cursor", "began", "yes", "limit":
			return
		case "admin":
			if strings.Contains(f.Value.String(), "@") { // it may hold the token
				return
			}
		}
		if f.Value.Type() == "bool" {
			words = append(words, "--"+f.Name)
			return
		}
		add(f.Name, given(f))
	})
	if b.limit > 0 {
		add("limit", fmt.Sprint(b.limit-done))
	}
	if cursor != "" {
		add("cursor", cursor)
	}
	if b.again && !b.since.IsZero() {
		add("began", b.since.UTC().Format(time.RFC3339Nano))
	}
	for _, id := range cmd.Flags().Args() {
		words = append(words, quoted(id))
	}
	return strings.Join(append(words, "--yes"), " ")
}

// given is the value of a flag as it is written.
func given(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// confirmed asks the person at the terminal; without one the answer is no.
func confirmed(cmd *cobra.Command, question string) bool {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(in, &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
