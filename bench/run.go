package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// row is one peer in one scenario.
type row struct {
	scenario scenario
	peer     *peer
	samples  []sample
	failures []error
}

// outcome is everything a run found.
type outcome struct {
	rows    []*row
	checks  []check
	began   time.Time
	took    time.Duration
	load    string // the system's load average before the run
	warning []string
}

// run measures, and reports once nothing it started is left: whoever reads the report may close it early.
func run(ctx context.Context, set settings, w io.Writer) error {
	out, err := measureAll(ctx, set)
	if err != nil {
		return err
	}
	if set.JSON != "" {
		if err := writeJSON(set, out); err != nil {
			return err
		}
	}
	write(w, set, out)
	return out.failed()
}

func measureAll(ctx context.Context, set settings) (*outcome, error) {
	debug.SetGCPercent(400) // a load generator that collects often would be measured with every peer
	dir, err := os.MkdirTemp(set.Dir, "postern-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := &outcome{began: time.Now(), load: loadAverage()}
	if !onDisk(dir) {
		out.warning = append(out.warning, dir+" is in memory: fsync costs nothing there, so the inbound figures mean nothing; use -dir")
	}
	f, err := start(ctx, set, dir)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	out.rows = plan(set, f)
	if err := rounds(ctx, set, f, out.rows); err != nil {
		return nil, err
	}
	if out.checks, err = f.checks(ctx); err != nil {
		return nil, err
	}
	if set.Profile != "" {
		if err := profiles(ctx, set, f, out); err != nil {
			return nil, err
		}
	}
	out.took = time.Since(out.began)
	return out, nil
}

// plan lists who runs what, scenario by scenario.
func plan(set settings, f *field) []*row {
	var rows []*row
	for _, s := range scenarios() {
		if !set.Only.MatchString(s.name) {
			continue
		}
		for _, p := range f.peers {
			if p.takes(s) {
				rows = append(rows, &row{scenario: s, peer: p})
			}
		}
	}
	return rows
}

// rounds runs an unmeasured pass and then the rounds. Peers of one scenario follow each other closely, each round
// starting with another one, so that what disturbs the machine disturbs them alike.
func rounds(ctx context.Context, set settings, f *field, rows []*row) error {
	for round := -1; round < set.Rounds; round++ {
		length := set.Length
		if round < 0 {
			length = min(length/4, 200*time.Millisecond)
			fmt.Fprintln(os.Stderr, "warming up")
		} else {
			fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, set.Rounds)
		}
		for _, group := range byScenario(rows) {
			for at := range group {
				r := group[(at+max(0, round))%len(group)]
				if r.peer.missing != "" {
					continue
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				got, err := f.measure(ctx, r.scenario, r.peer, length)
				if err != nil {
					return err
				}
				if got.first != nil {
					r.failures = append(r.failures, got.first)
				}
				if round >= 0 {
					r.samples = append(r.samples, got)
				}
			}
		}
	}
	return nil
}

func byScenario(rows []*row) [][]*row {
	var groups [][]*row
	for at, r := range rows {
		if at == 0 || rows[at-1].scenario.name != r.scenario.name {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

// profiled are the scenarios that -profile looks into.
var profiled = map[string]bool{"get64": true, "fresh64": true, "h2x64": true, "down10m": true, "credential64": true, "inbound64": true}

// profiles loads each peer that has profiles once more, unmeasured, and saves where its CPU time went.
func profiles(ctx context.Context, set settings, f *field, out *outcome) error {
	if err := os.MkdirAll(set.Profile, 0o755); err != nil {
		return err
	}
	const seconds = 5
	for _, r := range out.rows {
		if r.peer.missing != "" || r.peer.profile == "" || !profiled[r.scenario.name] {
			continue
		}
		type answer struct {
			text []byte
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			text, err := fetch(ctx, fmt.Sprintf("%s?seconds=%d", r.peer.profile, seconds))
			got <- answer{text, err}
		}()
		if _, err := f.measure(ctx, r.scenario, r.peer, seconds*time.Second); err != nil {
			return err
		}
		a := <-got
		if a.err != nil {
			out.warning = append(out.warning, fmt.Sprintf("no profile of %s: %v", r.peer.name, a.err))
			continue
		}
		name := filepath.Join(set.Profile, r.peer.name+"-"+r.scenario.name+".pprof")
		if err := os.WriteFile(name, a.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// failed joins what went wrong: wrong answers, and counts that do not agree.
func (o *outcome) failed() error {
	var errs []error
	for _, r := range o.rows {
		if len(r.failures) > 0 {
			errs = append(errs, fmt.Errorf("%s, %s: %w", r.scenario.name, r.peer.name, r.failures[0]))
		}
	}
	for _, c := range o.checks {
		if c.Wrong != "" {
			errs = append(errs, fmt.Errorf("%s: %s", c.Peer, c.Wrong))
		}
	}
	return errors.Join(errs...)
}
