package main

import (
	"encoding/json"
	"errors"
	"io"
)

// outputFlag is how a command writes what it found: for people, as JSON, or as JSON
// with a line for each.
type outputFlag string

const outputUsage = "table, json or ndjson"

// String implements [pflag.Value], as the others do.
func (f *outputFlag) String() string { return string(*f) }

// Type is what help calls it.
func (*outputFlag) Type() string { return "string" }

// Set accepts one of three words.
func (f *outputFlag) Set(s string) error {
	if s != "table" && s != "json" && s != "ndjson" {
		return errors.New("it is none of " + outputUsage)
	}
	*f = outputFlag(s)
	return nil
}

// printValue writes one value as JSON, on one line or, for people to read, on many.
func printValue(w io.Writer, output string, one any) error {
	enc := json.NewEncoder(w)
	if output == "json" {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(one); err != nil {
		return &exitError{exitFailure, err}
	}
	return nil
}

// printValues writes several as JSON: as a list, or one a line.
func printValues[T any](w io.Writer, output string, all []T) error {
	if output == "json" {
		return printValue(w, output, append([]T{}, all...))
	}
	for i := range all {
		if err := printValue(w, output, all[i]); err != nil {
			return err
		}
	}
	return nil
}

// printAll writes what was asked for: as JSON, or a row of each under the heads of
// columns.
func printAll[T any](w io.Writer, output string, all []T, columns []column, row func(T) []string) error {
	if output != "table" {
		return printValues(w, output, all)
	}
	rows := make([][]string, len(all))
	for i, one := range all {
		rows[i] = row(one)
	}
	return printTable(w, columns, rows)
}
