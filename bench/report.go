package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// write is the report for people: ratios first, then each scenario, then what was checked.
func write(w io.Writer, set settings, out *outcome) {
	fmt.Fprintf(w, "\n%d rounds of %v a peer, %d cores, %s, load before %s, took %.0f s\n",
		set.Rounds, set.Length, runtime.NumCPU(), runtime.Version(), out.load, out.took.Seconds())
	for _, warning := range out.warnings() {
		fmt.Fprintln(w, "WARNING:", warning)
	}
	printRatios(w, out.rows)
	printThroughput(w, out.rows)
	for _, group := range byScenario(out.rows) {
		printScenario(w, group)
	}
	printChecks(w, out.checks)
	fmt.Fprintln(w, "\nHow the peers are set up")
	for _, p := range setups(out.rows) {
		fmt.Fprintln(w, " ", p)
	}
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 2, 0, 2, ' ', 0) }

func printRatios(w io.Writer, rows []*row) {
	fmt.Fprintln(w, "\nRATIOS, round by round, median [least..most]; CPU and added p50: less is better, throughput: more is better; what is \"more\" is a difference, not a ratio")
	t := table(w)
	defer t.Flush()
	for _, c := range comparisons() {
		c = compare(rows, c)
		if !c.in(rows) {
			continue
		}
		who := c.Peer + " / " + c.Versus
		if c.absolute() {
			who = c.Peer
		}
		value := fmt.Sprintf("%.2f\t[%.2f..%.2f]", float64(c.Median), float64(c.Least), float64(c.Most))
		if !c.Median.known() {
			value = "n/a\t"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", c.Scenario, c.What, who, value, aims(c))
	}
}

func aims(c comparison) string {
	var out []string
	for _, aim := range []struct {
		name  string
		value float64
	}{{"goal", c.Goal}, {"excellent", c.Excellent}, {"stretch", c.Stretch}} {
		if aim.value == 0 {
			continue
		}
		sign, verdict := "<=", "missed"
		if c.more() {
			sign = ">="
		}
		switch {
		case !c.Median.known():
			verdict = ""
		case c.reached(aim.value):
			verdict = "met"
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %.2f %s", aim.name, sign, aim.value, verdict)))
	}
	return strings.Join(out, ", ")
}

// printThroughput divides every peer's throughput by that of the first peer of its scenario.
func printThroughput(w io.Writer, rows []*row) {
	fmt.Fprintln(w, "\nTHROUGHPUT as a share of another peer")
	t := table(w)
	defer t.Flush()
	for _, group := range byScenario(rows) {
		versus := group[0].scenario.versus
		fmt.Fprintf(t, "  %s\tversus %s", group[0].scenario.name, versus)
		for _, r := range group {
			if r.peer.name == versus {
				continue
			}
			c := compare(rows, comparison{Scenario: r.scenario.name, What: byRate, Peer: r.peer.name, Versus: versus})
			fmt.Fprintf(t, "\t%s %s", r.peer.name, format(c.Median, "%.2f"))
		}
		fmt.Fprintln(t)
	}
}

func printScenario(w io.Writer, group []*row) {
	s := group[0].scenario
	fmt.Fprintf(w, "\n%s: %s\n", s.name, s.title)
	t := table(w)
	defer t.Flush()
	fmt.Fprintf(t, "  peer\t%s/s\tp50 ms\tp99 ms\tCPU us/%s\t[least..most]\tallocs/call\tKB/call\tRSS MiB\tfailed\tothers' CPU", s.unit, s.unit)
	if s.stores() {
		fmt.Fprint(t, "\tapplied/s")
	}
	if s.side == "postgres" {
		fmt.Fprintf(t, "\tPostgreSQL CPU us/%s\tstatements/%s", s.unit, s.unit)
	}
	fmt.Fprintln(t)
	for _, r := range group {
		if r.peer.missing != "" {
			fmt.Fprintf(t, "  %s\t%s\n", r.peer.name, r.peer.missing)
			continue
		}
		m, failed := r.medians(), 0
		for _, one := range r.samples {
			failed += one.Failed
		}
		cpu := r.all(func(s sample) figure { return s.CPU })
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s", r.peer.name,
			format(m.Rate, "%.0f"), format(m.P50, "%.2f"), format(m.P99, "%.2f"), format(m.CPU, "%.1f"), spread(cpu),
			format(m.Mallocs, "%.1f"), format(m.Bytes/1000, "%.1f"), format(m.RSS, "%.0f"), failed, format(100*m.Others, "%.0f %%"))
		if s.stores() {
			fmt.Fprintf(t, "\t%s", format(m.Applied, "%.0f"))
		}
		if s.side == "postgres" {
			fmt.Fprintf(t, "\t%s\t%s", format(m.Store, "%.1f"), format(m.Statements, "%.3f"))
		}
		fmt.Fprintln(t)
	}
}

func printChecks(w io.Writer, checks []check) {
	fmt.Fprintln(w, "\nCHECKS: every answer's status, number and bytes were compared; and")
	t := table(w)
	defer t.Flush()
	for _, c := range checks {
		verdict := "ok"
		if c.Wrong != "" {
			verdict = "WRONG: " + c.Wrong
		}
		if c.Saw == nil {
			stored := fmt.Sprint(c.Stored)
			if c.Stored < 0 {
				stored = "n/a"
			}
			fmt.Fprintf(t, "  %s\tevents sent %d\tstored %s\t\t\t\t%s\n", c.Peer, c.Calls, stored, verdict)
			continue
		}
		fmt.Fprintf(t, "  %s\tcalls %d\tupstream saw %d\tAuthorization with %d, without %d\tversion %d\tPOSTs with a key %d of %d\t%s\n", c.Peer,
			c.Calls, c.Saw.Requests, c.Saw.Authorize, c.Saw.Requests-c.Saw.Authorize-c.Saw.Wrong, c.Saw.Version, c.Saw.Key, c.Saw.Posts, verdict)
	}
}

// setups are the peers in the order of the rows, once each.
func setups(rows []*row) []string {
	var out []string
	for _, r := range rows {
		line := r.peer.name + ": " + r.peer.about
		if r.peer.missing != "" {
			line += " (" + r.peer.missing + ")"
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

// busy is the share of the machine used by others from which figures are doubtful.
const busy = 0.10

func (o *outcome) warnings() []string {
	out := slices.Clone(o.warning)
	if contested, all := o.contested(); contested > 0 {
		out = append(out, fmt.Sprintf("others, or the hypervisor, took more than %.0f %% of the machine in %d of %d shares", 100*busy, contested, all))
	}
	for _, r := range o.rows {
		if r.peer.missing != "" && r.peer.missing != noBinary && !slices.Contains(out, r.peer.name+": "+r.peer.missing) {
			out = append(out, r.peer.name+": "+r.peer.missing)
		}
		if len(r.failures) > 0 {
			out = append(out, fmt.Sprintf("%s, %s FAILED: %v", r.scenario.name, r.peer.name, r.failures[0]))
		}
	}
	return out
}

// contested counts the shares of which others took too much.
func (o *outcome) contested() (contested, all int) {
	for _, r := range o.rows {
		for _, s := range r.samples {
			all++
			if s.Others+s.Stolen > busy {
				contested++
			}
		}
	}
	return contested, all
}

func (r *row) all(of func(sample) figure) []figure {
	out := make([]figure, 0, len(r.samples))
	for _, s := range r.samples {
		out = append(out, of(s))
	}
	return out
}

// medians is a sample made of each figure's median.
func (r *row) medians() sample {
	of := func(get func(sample) figure) figure { return median(r.all(get)) }
	return sample{
		Rate: of(func(s sample) figure { return s.Rate }), P50: of(func(s sample) figure { return s.P50 }),
		P99: of(func(s sample) figure { return s.P99 }), CPU: of(func(s sample) figure { return s.CPU }),
		Upstream: of(func(s sample) figure { return s.Upstream }), Client: of(func(s sample) figure { return s.Client }),
		Mallocs: of(func(s sample) figure { return s.Mallocs }), Bytes: of(func(s sample) figure { return s.Bytes }),
		RSS: of(func(s sample) figure { return s.RSS }), Others: of(func(s sample) figure { return s.Others }),
		Stolen: of(func(s sample) figure { return s.Stolen }), Applied: of(func(s sample) figure { return s.Applied }),
		Store: of(func(s sample) figure { return s.Store }), Statements: of(func(s sample) figure { return s.Statements }),
	}
}

func format(f figure, as string) string {
	if !f.known() {
		return "n/a"
	}
	return fmt.Sprintf(as, float64(f))
}

func spread(of []figure) string {
	of = slices.DeleteFunc(of, func(f figure) bool { return !f.known() })
	if len(of) == 0 {
		return ""
	}
	return fmt.Sprintf("[%.1f..%.1f]", float64(slices.Min(of)), float64(slices.Max(of)))
}

// loadAverage is the system's, as it prints it.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
