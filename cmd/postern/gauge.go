package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// gauge shows how far something is: a bar on a terminal, lines otherwise.
type gauge struct {
	out   io.Writer
	thing string
	total int // 0 if nobody knows
	began time.Time
	drawn bool
}

// width is how many columns out has; 0 if it is no terminal.
func width(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n < 40 {
		return 80
	}
	return n
}

// show says that n of them are done.
func (p *gauge) show(n int) {
	line := p.line(n, width(p.out))
	if width(p.out) == 0 {
		fmt.Fprintln(p.out, line)
		return
	}
	p.drawn = true
	fmt.Fprintf(p.out, "\r\x1b[K%s", line)
}

// say puts a line above the bar.
func (p *gauge) say(text string) {
	p.end()
	fmt.Fprintln(p.out, onLine(text))
}

// end leaves the terminal at the beginning of a line.
func (p *gauge) end() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.drawn = false
}

const barWidth = 30

// line is what is shown, in so many columns; 0 is without a bar.
func (p *gauge) line(n, columns int) string {
	if p.total == 0 {
		return fmt.Sprintf("%s so far", count(n, p.thing))
	}
	text := fmt.Sprintf("%d of %s so far", n, count(p.total, p.thing))
	if columns == 0 {
		return text
	}
	took := time.Since(p.began)
	left := time.Duration(float64(took) / float64(max(n, 1)) * float64(p.total-n)).Round(time.Second)
	full := barWidth * n / p.total
	line := fmt.Sprintf("[%s%s] %s, %.0f/s, %v left", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), text, float64(n)/max(took.Seconds(), 0.001), left)
	return line[:min(len(line), columns-1)]
}
