package main

import (
	"encoding/json"
	"os"
	"runtime"
)

// writeJSON writes everything that was measured, each round of it, to the file that the settings name.
func writeJSON(set settings, out *outcome) error {
	type result struct {
		Scenario string   `json:"scenario"`
		Peer     string   `json:"peer"`
		About    string   `json:"about"`
		Missing  string   `json:"missing,omitempty"`
		Unit     string   `json:"unit"`
		Median   *sample  `json:"median,omitempty"`
		Rounds   []sample `json:"rounds,omitempty"`
		Failures []string `json:"failures,omitempty"`
	}
	document := struct {
		Began    string       `json:"began"`
		Seconds  float64      `json:"seconds"`
		Go       string       `json:"go"`
		Cores    int          `json:"cores"`
		Load     string       `json:"load_before"`
		Settings settings     `json:"settings"`
		Warnings []string     `json:"warnings,omitempty"`
		Ratios   []comparison `json:"ratios"`
		Results  []result     `json:"results"`
		Checks   []check      `json:"checks"`
	}{
		Began: out.began.UTC().Format("2006-01-02T15:04:05Z"), Seconds: out.took.Seconds(), Go: runtime.Version(),
		Cores: runtime.NumCPU(), Load: out.load, Settings: set, Warnings: out.warnings(), Checks: out.checks,
	}
	for _, c := range comparisons() {
		if c.in(out.rows) {
			document.Ratios = append(document.Ratios, compare(out.rows, c))
		}
	}
	for _, r := range out.rows {
		one := result{Scenario: r.scenario.name, Peer: r.peer.name, About: r.peer.about, Missing: r.peer.missing, Unit: r.scenario.unit, Rounds: r.samples}
		if len(r.samples) > 0 {
			m := r.medians()
			one.Median = &m
		}
		for _, err := range r.failures {
			one.Failures = append(one.Failures, err.Error())
		}
		document.Results = append(document.Results, one)
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(set.JSON, append(text, '\n'), 0o644)
}
