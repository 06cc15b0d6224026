// Command bench measures Postern beside the alternatives in one interleaved run: short rounds, every peer in its own
// process, medians over rounds. README.md says how to read what it prints. Linux only: CPU time comes from /proc.
//
// Read main.go (flags, roles), run.go (the rounds), then peers.go (who is measured: upstream.go, goproxy.go, nginx.go,
// postern.go, the inbox baselines inbox*.go, postgres*.go for several processes on PostgreSQL, sharedlimit.go), load.go
// with client.go and webhook.go (what is sent and checked), and last measure.go, ratio.go and report.go (what is
// printed). process.go and certs.go serve the peers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// settings is one run as its flags describe it.
type settings struct {
	Postern     string         `json:"postern"`
	PosternEnv  string         `json:"postern_env,omitempty"`
	PosternArgs string         `json:"postern_args,omitempty"`
	AdminHCL    string         `json:"admin_hcl,omitempty"`
	Nginx       string         `json:"nginx"`
	GoproxyUp   string         `json:"goproxy_upstream"`
	UpstreamH2  bool           `json:"upstream_h2"`
	Rounds      int            `json:"rounds"`
	Length      time.Duration  `json:"round_ns"`
	Only        *regexp.Regexp `json:"-"`
	Peers       *regexp.Regexp `json:"-"`
	JSON        string         `json:"-"`
	Profile     string         `json:"-"`
	Dir         string         `json:"-"`
}

func main() {
	// Children are killed when the thread that started them ends: the main thread lives as long as the process.
	runtime.LockOSThread()
	if len(os.Args) > 1 {
		if role, ok := roles()[os.Args[1]]; ok {
			exit(role(os.Args[2:]))
		}
	}
	set, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, set, os.Stdout))
}

// roles are the peers that live in this binary; each runs until its standard input ends.
func roles() map[string]func([]string) error {
	return map[string]func([]string) error{
		"upstream":        upstreamRole,
		"goproxy":         goproxyRole,
		"sqlite":          sqliteRole,
		"append":          appendRole,
		"append-listener": listenerRole,
		"unnest":          unnestRole,
		"list":            listRole,
	}
}

func parse(args []string) (settings, error) {
	var set settings
	var quick bool
	var only, peers string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&set.Postern, "postern", "", "Postern binary; without it its rows say n/a")
	flags.StringVar(&set.PosternEnv, "postern-env", "", "more environment for Postern, K=V separated by commas")
	flags.StringVar(&set.PosternArgs, "postern-args", "", "more arguments after `run -c DIR`, separated by spaces")
	flags.StringVar(&set.AdminHCL, "admin-hcl", "", "one more line for Postern's admin block, for example what enables its profiles")
	flags.StringVar(&set.Nginx, "nginx", "nginx", "nginx binary, a name in PATH or a path; skipped when absent")
	flags.StringVar(&set.GoproxyUp, "goproxy-upstream", "h1", "protocol goproxy speaks to the upstream: h1 or h2")
	flags.BoolVar(&set.UpstreamH2, "upstream-h2", true, "let the upstream offer HTTP/2 to its callers")
	flags.IntVar(&set.Rounds, "rounds", 7, "rounds, the median of which is printed")
	flags.DurationVar(&set.Length, "round", 1200*time.Millisecond, "length of one peer's share of a round")
	flags.BoolVar(&quick, "quick", false, "3 rounds of 350ms: under a minute, for a look, not for a claim")
	flags.StringVar(&only, "only", "", "regular expression: scenarios to run")
	flags.StringVar(&peers, "peers", "", "regular expression: peers to run beside direct")
	flags.StringVar(&set.JSON, "json", "", "also write everything measured to this file")
	flags.StringVar(&set.Profile, "profile", "", "after the rounds, save CPU profiles of Postern and goproxy in this folder")
	flags.StringVar(&set.Dir, "dir", "", "folder for data files, on the disk to be measured (default: the system's temporary folder)")
	if err := flags.Parse(args); err != nil {
		return set, err
	}
	if flags.NArg() > 0 {
		return set, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if quick {
		set.Rounds, set.Length = 3, 350*time.Millisecond
		_ = flags.Parse(args) // what else is said holds
	}
	if set.Rounds < 1 || set.Length <= 0 {
		return set, fmt.Errorf("rounds and round must be positive")
	}
	if set.GoproxyUp != "h1" && set.GoproxyUp != "h2" {
		return set, fmt.Errorf("goproxy-upstream is h1 or h2, not %q", set.GoproxyUp)
	}
	var err error
	if set.Only, err = regexp.Compile(only); err != nil {
		return set, fmt.Errorf("only: %w", err)
	}
	if set.Peers, err = regexp.Compile(peers); err != nil {
		return set, fmt.Errorf("peers: %w", err)
	}
	return set, nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// words splits a flag's list and drops what is empty.
func words(list, by string) []string {
	var out []string
	for word := range strings.SplitSeq(list, by) {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}
