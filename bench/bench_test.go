package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary the peers it starts, a stand-in for Postern included.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if os.Args[1] == "run" {
			exit(standIn(os.Args[2:]))
		}
		if os.Args[1] == "connections" {
			exit(standInImport(os.Args[2:]))
		}
		if role, ok := roles()[os.Args[1]]; ok {
			exit(role(os.Args[2:]))
		}
	}
	runtime.LockOSThread()
	os.Exit(m.Run())
}

// shortRun measures a stand-in with the given fault over short rounds.
func shortRun(t *testing.T, fault, only, peers string, report *bytes.Buffer) (file string, err error) {
	t.Helper()
	set := settings{
		Postern: os.Args[0], PosternEnv: "FAULT=" + fault, Nginx: "no such nginx", GoproxyUp: "h1", UpstreamH2: true,
		Rounds: 2, Length: 60 * time.Millisecond, Only: regexp.MustCompile(only), Peers: regexp.MustCompile(peers),
		Dir: t.TempDir(), JSON: filepath.Join(t.TempDir(), "out.json"),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return set.JSON, run(ctx, set, report)
}

func TestEveryScenarioIsMeasuredAndChecked(t *testing.T) {
	var report bytes.Buffer
	file, err := shortRun(t, "", "64$|1$|256$|10m$", "", &report)
	if err != nil {
		t.Fatalf("%v\n%s", err, report.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Results []struct {
			Scenario, Peer, Missing string
			Median                  map[string]*float64
		}
		Checks []check
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	measured := map[string]bool{}
	for _, r := range out.Results {
		if r.Missing != "" {
			continue
		}
		measured[r.Scenario+" "+r.Peer] = true
		for _, name := range []string{"per_second", "p50_ms", "p99_ms"} {
			if r.Median[name] == nil || *r.Median[name] <= 0 {
				t.Errorf("%s, %s: no %s", r.Scenario, r.Peer, name)
			}
		}
		if r.Peer != "direct" && (r.Median["allocs"] == nil || r.Median["rss_mib"] == nil || r.Median["cpu_us"] == nil) {
			t.Errorf("%s, %s: costs are missing: %v", r.Scenario, r.Peer, r.Median)
		}
	}
	for _, s := range scenarios() {
		if s.side == "postgres" || s.side == "shared" {
			continue // the stand-in cannot: see TestThePostgresBaselinesAreMeasured
		}
		if s.side == "credential" {
			for kind := range proofs() {
				if !measured[s.name+" "+kind] {
					t.Errorf("%s does not measure %s", s.name, kind)
				}
			}
			continue
		}
		if s.side == "keyed" {
			if !measured[s.name+" named"] || !measured[s.name+" kept"] {
				t.Errorf("%s does not measure both", s.name)
			}
			continue
		}
		peer := "postern"
		if s.side == "inbound" && s.life {
			peer = "postern+deliver"
		}
		if !measured[s.name+" "+peer] {
			t.Errorf("%s does not measure %s", s.name, peer)
		}
	}
	if want := 9 + 2 + 2 + len(proofs()) + 3; len(out.Checks) != want {
		t.Errorf("%d peers were checked, want direct, goproxy twice, three inboxes, three of postern, two in the storm, two with a bearer and each other credential, and three with keys", len(out.Checks))
	}
	if !regexp.MustCompile(`credential64 +CPU +oauth2_client_credentials / bearer +\d.*goal <= 1.05 (met|missed)`).MatchString(report.String()) ||
		!regexp.MustCompile(`credential64 +allocs more +hmac / bearer +-?\d`).MatchString(report.String()) {
		t.Errorf("the credentials are not compared in\n%s", report.String())
	}
	if !strings.Contains(report.String(), "no nginx here") {
		t.Error("a peer that is absent is skipped silently")
	}
}

// TestThePostgresBaselinesAreMeasured runs what needs no Postern binary, the store included.
func TestThePostgresBaselinesAreMeasured(t *testing.T) {
	dir := t.TempDir()
	set := settings{
		Rounds: 1, Length: 60 * time.Millisecond, GoproxyUp: "h1", JSON: filepath.Join(dir, "out.json"),
		Only: regexp.MustCompile("^postgres-(ack|life|lanes)$"), Peers: regexp.MustCompile("^(unnest|unnest-http|lanes|no-lanes|skip-locked)$"),
	}
	var report bytes.Buffer
	if err := run(t.Context(), set, &report); err != nil {
		t.Fatalf("%v\n%s", err, report.String())
	}
	if strings.Contains(report.String(), "no PostgreSQL here") {
		t.Skip("SKIPPED, NOT TESTED: PostgreSQL is not installed")
	}
	for _, want := range []string{`unnest-http +events sent \d+ +stored \d+ +ok`, `postgres-lanes +throughput +lanes / skip-locked +\d`, `postgres-lanes +1000 claims/s +lanes +\d`} {
		if !regexp.MustCompile(want).MatchString(report.String()) {
			t.Errorf("no %s in\n%s", want, report.String())
		}
	}
}

// TestAClaimOutOfOrderIsNoFigure shows what the strict scenario refuses.
func TestAClaimOutOfOrderIsNoFigure(t *testing.T) {
	a, b := claimed{lane: "a"}, claimed{lane: "b"}
	if err := oneEach([]claimed{a, b}, 2); err != nil {
		t.Error(err)
	}
	if oneEach([]claimed{a, a}, 2) == nil || oneEach([]claimed{a}, 2) == nil {
		t.Error("two of a lane, or none, are accepted")
	}
}

// TestAFaultyPeerFailsTheRun shows that a wrong answer or a wrong count cannot pass as a good figure.
func TestAFaultyPeerFailsTheRun(t *testing.T) {
	for _, tt := range []struct{ fault, only, want string }{
		{"credential", "get1", "carried no credential"},
		{"other credential", "get1", "carried another credential"},
		{"version", "get1", "carried no version"},
		{"key", "post64", "carried no idempotency key"},
		{"resend", "get1", "calls were made, the upstream saw"},
		{"answer", "get1", "got the answer of call"},
		{"bytes", "get1", "body differs"},
		{"status", "get1", "answered 500"},
		{"stream", "down10m", "stream differs"},
		{"storing", "inbound64", "events were acknowledged"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			var report bytes.Buffer
			_, err := shortRun(t, strings.ReplaceAll(tt.fault, " ", "_"), tt.only, "^postern$", &report)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestAListenerThatIsTakenIsNoFailure: the ports are chosen before Postern has them.
func TestAListenerThatIsTakenIsNoFailure(t *testing.T) {
	var report bytes.Buffer
	if _, err := shortRun(t, "listener", "get1", "^postern$", &report); err != nil {
		t.Error(err)
	}
}

func TestWithoutABinaryPosternIsNotMeasured(t *testing.T) {
	all := settings{Peers: regexp.MustCompile(""), Only: regexp.MustCompile("")}
	peers, err := startPostern(t.Context(), all, new(field), "")
	kinds, err2 := startCredentials(t.Context(), all, new(field), "")
	keyed, err3 := startKeyed(t.Context(), all, new(field), "")
	if err != nil || err2 != nil || err3 != nil || len(peers) != 4 || len(kinds) != 2+len(proofs()) || len(keyed) != 3 {
		t.Fatalf("%d, %d and %d peers, %v, %v, %v", len(peers), len(kinds), len(keyed), err, err2, err3)
	}
	for _, p := range slices.Concat(peers, kinds, keyed) {
		if p.missing != noBinary {
			t.Errorf("%s: %q", p.name, p.missing)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "42 (a ) b) S 1 42 42 0 -1 4194560 1 0 0 0 250 125 7 7 20 0 5 0 100 0 0"
	got, err := parseStat([]byte(line))
	if err != nil || got != 3750*time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseStat([]byte("42 (a) S 1")); err == nil {
		t.Error("a short line is accepted")
	}
}

func TestCPUOfOurselves(t *testing.T) {
	for began := time.Now(); time.Since(began) < 30*time.Millisecond; {
	}
	if got, err := cpuOf(os.Getpid()); err != nil || got <= 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestQuantileAndMedian(t *testing.T) {
	times := make([]time.Duration, 100)
	for at := range times {
		times[at] = time.Duration(at+1) * time.Millisecond
	}
	if got := quantile(times, 0.99); got != 99 {
		t.Errorf("p99 of 1..100 is %v", got)
	}
	if got := quantile(times, 0.5); got != 50 {
		t.Errorf("p50 of 1..100 is %v", got)
	}
	if got := median([]figure{3, unknown, 1, 2}); got != 2 {
		t.Errorf("median is %v", got)
	}
	if median(nil).known() {
		t.Error("the median of nothing is known")
	}
}

func TestCompareByRound(t *testing.T) {
	s := scenario{name: "get1"}
	of := func(name string, p50 ...figure) *row {
		r := &row{scenario: s, peer: &peer{name: name}}
		for _, f := range p50 {
			r.samples = append(r.samples, sample{P50: f, CPU: f, Rate: f})
		}
		return r
	}
	rows := []*row{of("direct", 1, 2, 1), of("goproxy", 3, 6, 3), of("postern", 2, 3, 3)}
	for _, tt := range []struct {
		what comparing
		want figure
	}{{byAdded, 0.5}, {byCPU, 2.0 / 3}, {byRate, 2.0 / 3}} {
		got := compare(rows, comparison{Scenario: "get1", What: tt.what, Peer: "postern", Versus: "goproxy"})
		if fmt.Sprintf("%.4f", float64(got.Median)) != fmt.Sprintf("%.4f", float64(tt.want)) {
			t.Errorf("%s is %v, want %v", tt.what, got.Median, tt.want)
		}
	}
	rate := comparison{What: byRate, Median: 5.5}
	cost := comparison{What: byCPU, Median: 0.5}
	if !rate.reached(5) || rate.reached(6) || !cost.reached(0.6) || cost.reached(0.4) {
		t.Error("an aim is judged in the wrong direction")
	}
}

func TestMetric(t *testing.T) {
	const text = "# TYPE a counter\na_total 3\n" +
		`b_total{webhook="held",result="accepted"} 1e+06` + "\n" + `b_total{webhook="a } b",result="duplicate"} 2` + "\n"
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
		found  bool
	}{
		{"a_total", nil, 3, true},
		{"a", nil, 0, false},
		{"b_total", []string{`result="accepted"`, `webhook="held"`}, 1e6, true},
		{"b_total", []string{`result="duplicate"`}, 2, true},
		{"b_total", []string{`result="stale"`}, 0, false},
	} {
		if got, found := metric(text, tt.name, tt.labels...); got != tt.want || found != tt.found {
			t.Errorf("%s %v: got %v, %v", tt.name, tt.labels, got, found)
		}
	}
}

func TestVerify(t *testing.T) {
	// printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_bench_0123456789abcdef
	const sum = "625a02043c7a7abd1011337470dec05a392d1986989a17077d25561d0c5748eb"
	now, body := time.Unix(1700000000, 0), []byte(`{"a":1}`)
	if err := verify("t=1700000000,v1="+sum, body, now); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another body": verify("t=1700000000,v1="+sum, []byte(`{"a":2}`), now),
		"another time": verify("t=1700000001,v1="+sum, body, now),
		"too old":      verify("t=1700000000,v1="+sum, body, now.Add(2*time.Hour)),
		"nothing":      verify("", body, now),
		"no number":    verify("t=,v1="+sum, body, now),
	} {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
