package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
)

// pages is a server with so many things, of which a page is done at a time.
type pages struct {
	n     int
	asked []string
	fail  func(page int) error
	short int // pages that come first and hold nothing
}

func (p *pages) page(_ context.Context, began time.Time, limit int, cursor string) (pageDone, error) {
	p.asked = append(p.asked, fmt.Sprintf("%s+%d", cursor, limit))
	if p.fail != nil {
		if err := p.fail(len(p.asked)); err != nil {
			return pageDone{}, err
		}
	}
	if len(p.asked) <= p.short {
		return pageDone{next: "0"}, nil
	}
	from := 0
	fmt.Sscan(cursor, &from)
	to := min(from+limit, p.n)
	done := pageDone{things: to - from, moved: to - from}
	if to < p.n {
		done.next = fmt.Sprint(to)
	}
	return done, nil
}

// bulkCommand is a command made of b with these arguments.
func bulkCommand(ctx context.Context, b *bulk, p *pages, args ...string) (stdout, stderr string, err error) {
	var out, messages bytes.Buffer
	cmd := &cobra.Command{Use: "replay", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, args []string) error {
		return b.run(cmd, len(args), true, func(context.Context) (counted, error) {
			return counted{matched: p.n, began: time.Unix(1700000000, 5000).UTC()}, nil
		}, p.page)
	}}
	b.what, b.thing, b.again = "replay", "event", true
	b.add(cmd)
	cmd.Flags().String("webhook", "", "")
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&messages)
	cmd.SetIn(strings.NewReader(""))
	err = cmd.ExecuteContext(ctx)
	return out.String(), messages.String(), err
}

// TestBulkRate shows that no more is done in a time than is asked for, and how far
// it is.
func TestBulkRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := &pages{n: 95}, time.Now()
		out, messages, err := bulkCommand(t.Context(), &bulk{}, p, "--yes", "--rate", "10/s")
		if err != nil || out != "replay: 95 events moved, 0 passed over because of their state.\n" {
			t.Errorf("%q, %v", out, err)
		}
		if took := time.Since(start); took != 9*time.Second {
			t.Errorf("95 at 10/s took %v", took)
		}
		if !strings.Contains(messages, "95 events selected.\n10 of 95 events so far\n") {
			t.Errorf("%s", messages)
		}
	})
}

func TestBulkLimit(t *testing.T) {
	p := &pages{n: 500}
	out, _, err := bulkCommand(t.Context(), &bulk{}, p, "--yes", "--limit", "150")
	if err != nil || !strings.Contains(out, "150 events moved") || strings.Join(p.asked, " ") != "+100 100+50" {
		t.Errorf("%q, asked %v, %v", out, p.asked, err)
	}
	if _, _, err := bulkCommand(t.Context(), &bulk{}, &pages{n: 3}); err == nil || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("without a yes: %v", err)
	}
}

// TestBulkShortPages: pages without anything are passed over at once, and do not
// count against what is selected.
func TestBulkShortPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := &pages{n: 3, short: 5}, time.Now()
		out, messages, err := bulkCommand(t.Context(), &bulk{}, p, "--yes", "--limit", "2", "--rate", "1/s")
		if err != nil || !strings.Contains(out, "2 events moved") || strings.Join(p.asked, " ") != "+1 0+1 0+1 0+1 0+1 0+1 1+1" {
			t.Errorf("%q, asked %v, %v", out, p.asked, err)
		}
		if took := time.Since(start); took != 2*time.Second || strings.Contains(messages, "\n0 of") {
			t.Errorf("2 at 1/s took %v: %s", took, messages)
		}
	})
}

// TestBulkLimitIsANumber: less than nothing is not everything.
func TestBulkLimitIsANumber(t *testing.T) {
	p := &pages{n: 3}
	if _, _, err := bulkCommand(t.Context(), &bulk{}, p, "--yes", "--limit", "-1"); err == nil || err.Error() != "--limit is not a number from 0 on" || p.asked != nil {
		t.Errorf("asked %v: %v", p.asked, err)
	}
	if _, err := (&inboxFlags{limit: -1}).filter(nil); err == nil {
		t.Error("a list of -1 events")
	}
	if _, err := (&inboxFlags{status: "done"}).filter(nil); err == nil {
		t.Error("a status that there is not")
	}
	if _, err := (&callFlags{most: -1}).filter(nil); err == nil {
		t.Error("a list of -1 calls")
	}
}

// TestBulkGoesOnWithTheSame: the command that goes on selects what the interrupted
// one did, whenever it is given.
func TestBulkGoesOnWithTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f, b := &inboxFlags{}, &bulk{again: true, thing: "event"}
		cmd := &cobra.Command{Use: "replay"}
		f.add(cmd)
		b.add(cmd)
		if err := cmd.ParseFlags([]string{"--since", "2h", "--until", "3d", "--error", "[502]", "--webhook", "a,b"}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.filter(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		at := func(ago time.Duration) string { return began.Add(-ago).UTC().Format(time.RFC3339Nano) }
		want := "replay --error '[502]' --since " + at(2*time.Hour) + " --until " + at(72*time.Hour) + " --webhook a,b --yes"
		if got := b.resume(cmd, "", 0); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

// TestBulkInterrupted shows that the page in hand is finished, and that the command
// which goes on is said.
func TestBulkInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	p := &pages{n: 300, fail: func(page int) error {
		if page == 2 {
			stop()
		}
		return nil
	}}
	_, _, err := bulkCommand(ctx, &bulk{}, p, "--yes", "--webhook", "a b", "--limit", "250", "--rate", "100/s")
	want := "interrupted after 200 events. To go on:\n  replay --rate 100/s --webhook 'a b' --limit 50 --cursor 200 --began 2023-11-14T22:13:20.000005Z --yes"
	if err == nil || err.Error() != want {
		t.Fatalf("%v\nwant\n%s", err, want)
	}
	p.fail = nil
	out, _, err := bulkCommand(t.Context(), &bulk{}, p, "--yes", "--cursor", "200", "--limit", "50", "--began", "2023-11-14T22:13:20.000005Z")
	if err != nil || !strings.Contains(out, "50 events moved") {
		t.Errorf("gone on: %q, %v", out, err)
	}
}

// TestBulkServerStarts shows that a server which is started anew is waited for, and
// one that says no is not.
func TestBulkServerStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pages{n: 300, fail: func(page int) error {
			if page > 1 && page < 6 {
				return errors.New("nothing listens")
			}
			return nil
		}}
		out, messages, err := bulkCommand(t.Context(), &bulk{}, p, "--yes")
		if err != nil || !strings.Contains(out, "300 events moved") || !strings.Contains(messages, "waiting for the server: nothing listens") {
			t.Errorf("%q, %q, %v", out, messages, err)
		}
		p = &pages{n: 300, fail: func(page int) error {
			if page > 1 {
				return admin.Refuse(400, "", "no such thing")
			}
			return nil
		}}
		if _, _, err := bulkCommand(t.Context(), &bulk{}, p, "--yes"); err == nil || !strings.HasPrefix(err.Error(), "after 100 events: no such thing. To go on:\n  replay --cursor 100") || len(p.asked) != 2 {
			t.Errorf("refused: %v, asked %d times", err, len(p.asked))
		}
	})
}

func TestTableFitsTheTerminal(t *testing.T) {
	columns := []column{{"ID", 0}, {"TYPE", 8}, {"EVENT", 5}}
	for room, want := range map[int]string{
		200: "[36 30 40] [true true true]", 100: "[36 30 30] [true true true]", 60: "[36 15 5] [true true true]",
		52: "[36 14 40] [true true false]", 46: "[36 8 40] [true true false]", 45: "[36 30 40] [true false false]", 20: "[36 30 40] [true false false]",
	} {
		widths, shown := []int{36, 30, 40}, []bool{true, true, true}
		narrow(columns, widths, shown, room)
		if got := fmt.Sprint(widths, shown); got != want {
			t.Errorf("in %d columns: %s, want %s", room, got, want)
		}
	}
	for s, want := range map[string]string{"short": "short", "exactly8": "exactly8", "much too long": "much to…", "ünïcödé ö": "ünïcödé…"} {
		if got := cut(s, 8); got != want {
			t.Errorf("%q is cut to %q, want %q", s, got, want)
		}
	}
}

func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{thing: "event", total: 200, began: time.Now()}
		time.Sleep(10 * time.Second)
		if got, want := g.line(50, 120), "[=======                       ] 50 of 200 events so far, 5/s, 30s left"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := g.line(50, 40); len(got) != 39 {
			t.Errorf("%d columns of 40: %q", len(got), got)
		}
		if got := (&gauge{thing: "event"}).line(7, 0); got != "7 events so far" {
			t.Errorf("%q", got)
		}
	})
}
