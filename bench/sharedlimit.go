package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startShared gives the parts of the benchmark of package shared, which is built here and run part by part in every
// round. Each part starts a Redis of its own if it needs one.
func startShared(ctx context.Context, set settings, f *field) ([]*peer, error) {
	if !set.Only.MatchString("shared-limit") {
		return nil, nil
	}
	var all []*peer
	for _, p := range []*peer{
		{name: "x-time-rate", about: "golang.org/x/time/rate, which shares nothing"},
		{name: "local", about: "Postern's limiter of one process"},
		{name: "leased", about: "one bucket in Redis, tokens leased in batches"},
		{name: "gathered", about: "the same without leases: what asks at the same time shares a trip to Redis"},
		{name: "redis", about: "one trip to Redis for each operation"},
	} {
		if !leftOut(set, p.name) {
			p.side = "shared"
			all = append(all, p)
		}
	}
	binary := filepath.Join(f.dir, "shared.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./shared")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		for _, p := range all {
			p.missing = fmt.Sprintf("package shared cannot be built here: %v %.200s", err, out)
		}
		return all, nil
	}
	parts := map[string]string{"x-time-rate": "x-time-rate", "local": "local", "leased": "leased", "gathered": "gathered,_not_leased", "redis": "each_from_Redis"}
	for _, p := range all {
		p.share = sharedShare(binary, parts[p.name])
	}
	return all, nil
}

func sharedShare(binary, part string) func(context.Context, *field, scenario, *peer, time.Duration) (sample, error) {
	return func(ctx context.Context, _ *field, s scenario, _ *peer, length time.Duration) (sample, error) {
		ctx, cancel := context.WithTimeout(ctx, length+patience)
		defer cancel()
		var text []byte
		var err error
		for range 3 { // the client gives up soon: on a busy machine a call fails, and with it the part
			cmd := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", "^BenchmarkHotKey$/^"+part+"$", "-test.benchtime", fmt.Sprint(length/2))
			cmd.Env = append(os.Environ(), "E2E_STRICT=1") // a missing Redis is no figure
			if text, err = cmd.CombinedOutput(); err == nil {
				break
			}
		}
		if err != nil {
			return broken(fmt.Errorf("%w: %.300s", err, text)), nil
		}
		out := broken(nil)
		out.Failed = 0
		fields := strings.Fields(string(text))
		for at, word := range fields {
			if word == "ops/s" && at > 0 {
				rate, err := strconv.ParseFloat(fields[at-1], 64)
				if err != nil {
					return broken(err), nil
				}
				out.Rate = figure(rate * s.each)
			}
		}
		if !out.Rate.known() {
			return broken(fmt.Errorf("no ops/s in %.300s", text)), nil
		}
		return out, nil
	}
}
