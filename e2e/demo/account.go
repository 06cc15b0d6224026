package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// account is the story as it is told: steps while they happen, then titles,
// lines, and counts that must agree.
type account struct {
	out           *os.File
	colour        bool
	begun         time.Time
	checks, wrong int
}

func newAccount(out *os.File) *account {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &account{out: out, begun: time.Now(), colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// begin starts the clock that end reads.
func (a *account) begin() { a.begun = time.Now() }

// paint gives text one of the terminal's styles.
func (a *account) paint(style, text string) string {
	if !a.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// step says what happens now.
func (a *account) step(what, format string, args ...any) {
	fmt.Fprintf(a.out, "  %-12s %s\n", what, fmt.Sprintf(format, args...))
}

// title begins a part of the account.
func (a *account) title(text string) { fmt.Fprintf(a.out, "\n%s\n\n", a.paint("1", text)) }

// blank sets apart what follows.
func (a *account) blank() { fmt.Fprintln(a.out) }

// line is something to know that nothing depends on, broken where it is too long.
func (a *account) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for len(text) > width {
		at := strings.LastIndexByte(text[:width+1], ' ')
		if at < 0 {
			break
		}
		fmt.Fprintf(a.out, "  %s\n", text[:at])
		text = text[at+1:]
	}
	fmt.Fprintf(a.out, "  %s\n", text)
}

// width of a line, without the margin.
const width = 90

// check tells a fact, and whether it is as it must be.
func (a *account) check(what string, ok bool, format string, args ...any) {
	a.checks++
	mark := a.paint("32", "ok")
	if !ok {
		a.wrong++
		mark = a.paint("1;31", "WRONG")
	}
	fmt.Fprintf(a.out, "  %-38s %-46s %s\n", what, fmt.Sprintf(format, args...), mark)
}

// end says whether all agreed.
func (a *account) end() {
	took := time.Since(a.begun).Round(time.Second)
	if a.wrong > 0 {
		fmt.Fprintf(a.out, "\n%s\n", a.paint("1;31", fmt.Sprintf("%d of %d counts are WRONG. %s", a.wrong, a.checks, took)))
		return
	}
	fmt.Fprintf(a.out, "\n%s\n", a.paint("1", fmt.Sprintf("All %d counts agree. %s", a.checks, took)))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// short is a duration for people.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// lastLine is the last line of text that is not empty.
func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(all[len(all)-1])
}

func lines(b []byte) int { return strings.Count(string(b), "\n") }

// holding returns where in words text holds one of them, as ordinals: a secret is never printed.
func holding(text string, words []string) (which []string) {
	for i, w := range words {
		if strings.Contains(text, w) {
			which = append(which, fmt.Sprintf("secret %d", i+1))
		}
	}
	return which
}

func noneOr(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
