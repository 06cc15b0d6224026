package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// column is one column of a list for people.
type column struct {
	head string
	// least is how narrow it may become where the terminal has no room, 0 if it is
	// never cut.
	least int
}

// printTable writes rows under their heads. On a terminal a line takes no more than
// its width: what is too long is cut where the column allows it, the last of them
// first. Elsewhere nothing is cut. Cells are text of others: they begin no line.
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
	if room := width(w); room > 0 {
		narrow(columns, widths, room)
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	for _, row := range append([][]string{heads}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return &exitError{exitFailure, err}
		}
	}
	return nil
}

// narrow takes from the widths what there is no room for.
func narrow(columns []column, widths []int, room int) {
	over := 2*(len(widths)-1) - room
	for _, n := range widths {
		over += n
	}
	for i := len(columns) - 1; i >= 0 && over > 0; i-- {
		if c := columns[i]; c.least > 0 && widths[i] > c.least {
			less := min(over, widths[i]-c.least)
			widths[i], over = widths[i]-less, over-less
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

// printAll writes what was asked for: as JSON, or a row of each under the heads of
// columns.
func printAll[T any](w io.Writer, output string, all []T, columns []column, row func(T) []string) error {
	enc := json.NewEncoder(w)
	switch output {
	case "ndjson":
		for _, one := range all {
			if err := enc.Encode(one); err != nil {
				return &exitError{exitFailure, err}
			}
		}
		return nil
	case "json":
		enc.SetIndent("", "  ")
		if all == nil {
			all = []T{}
		}
		if err := enc.Encode(all); err != nil {
			return &exitError{exitFailure, err}
		}
		return nil
	case "table":
	default:
		return &exitError{exitUsage, fmt.Errorf("--output: %q is none of table, json and ndjson", output)}
	}
	rows := make([][]string, len(all))
	for i, one := range all {
		rows[i] = row(one)
	}
	return printTable(w, columns, rows)
}
