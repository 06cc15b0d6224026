package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// column is one column of a list for people.
type column struct {
	head string
	// least is how narrow it may become where the terminal has no room, before it is
	// left out; 0 if it is neither cut nor left out.
	least int
}

// printTable writes rows under their heads. On a terminal a line takes no more than
// its width: what is too long is cut where the column allows it, the last of them
// first, and if that is not enough such columns are left out. Elsewhere nothing is
// cut. Cells are text of others: they begin no line.
func printTable(w io.Writer, columns []column, rows [][]string) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = len(c.head)
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = onLine(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	shown := make([]bool, len(columns))
	for i := range shown {
		shown[i] = true
	}
	if room := width(w); room > 0 {
		narrow(columns, widths, shown, room)
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	for _, row := range append([][]string{heads}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			if !shown[i] {
				continue
			}
			cell = cut(cell, widths[i])
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return &exitError{exitFailure, err}
		}
	}
	return nil
}

// narrow leaves out columns that there is no room for, the last first and never the
// first, and takes from the widths of the others what is too much.
func narrow(columns []column, widths []int, shown []bool, room int) {
	over := func(width func(i int) int) int {
		sum := -2 - room
		for i := range columns {
			if shown[i] {
				sum += width(i) + 2
			}
		}
		return sum
	}
	least := func(i int) int {
		if columns[i].least == 0 {
			return widths[i]
		}
		return min(widths[i], columns[i].least)
	}
	for i := len(columns) - 1; i > 0 && over(least) > 0; i-- {
		shown[i] = columns[i].least == 0
	}
	more := over(func(i int) int { return widths[i] })
	for i := len(columns) - 1; i >= 0 && more > 0; i-- {
		if less := min(more, widths[i]-least(i)); shown[i] {
			widths[i], more = widths[i]-less, more-less
		}
	}
}

// cut shortens text to so many columns and shows that it did.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n-1, 0)]) + "…"
}
