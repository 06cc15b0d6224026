package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// figure is a measured number; NaN, null in JSON, where the peer cannot tell.
type figure float64

// unknown is the figure that was not measured.
var unknown = figure(math.NaN())

func (f figure) known() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// MarshalJSON writes null for what is not known.
func (f figure) MarshalJSON() ([]byte, error) {
	if !f.known() {
		return []byte("null"), nil
	}
	return json.Marshal(math.Round(float64(f)*1e4) / 1e4)
}

// sample is one peer's share of one round. Rates and costs are per unit of the scenario: a request, an event or a MB.
type sample struct {
	Calls      int    `json:"calls"`
	Failed     int    `json:"failed"`
	Rate       figure `json:"per_second"`
	P50        figure `json:"p50_ms"`
	P99        figure `json:"p99_ms"`
	CPU        figure `json:"cpu_us"`          // of the peer's process
	Upstream   figure `json:"upstream_cpu_us"` // of the upstream's
	Client     figure `json:"client_cpu_us"`   // of the load generator's
	Mallocs    figure `json:"allocs"`          // per call
	Bytes      figure `json:"alloc_bytes"`     // per call
	RSS        figure `json:"rss_mib"`
	Others     figure `json:"others_cpu"`      // share of the machine that anything else used
	Stolen     figure `json:"stolen_cpu"`      // share that the hypervisor gave away
	Applied    figure `json:"applied_per_s"`   // events delivered per second until the last one was
	Store      figure `json:"postgres_cpu_us"` // of PostgreSQL
	Statements figure `json:"statements"`      // executed by PostgreSQL, per event
	first      error
}

// clocks are CPU times at one instant.
type clocks struct {
	at                                          time.Time
	peer, upstream, client, store, busy, stolen time.Duration
}

func (f *field) clocks(p *peer) (clocks, error) {
	var c clocks
	var err error
	for _, process := range p.processes() {
		more, err := cpuOf(process.pid())
		if err != nil {
			return c, fmt.Errorf("reading the CPU time of %s: %w", p.name, err)
		}
		c.peer += more
	}
	if p.side == "postgres" {
		if c.store, err = f.cluster.cpu(); err != nil {
			return c, fmt.Errorf("reading the CPU time of PostgreSQL: %w", err)
		}
	}
	if c.upstream, err = cpuOf(f.upstream.pid()); err != nil {
		return c, fmt.Errorf("reading the CPU time of the upstream: %w", err)
	}
	c.client = cpuSelf()
	c.busy, c.stolen = machine()
	c.at = time.Now()
	return c, nil
}

// patience is how long a share of a round may last beyond its length before its connections are cut.
const patience = 20 * time.Second

// measure runs one share of a round. The connections of a keep-alive scenario are made, and used once, before the
// clocks are read. A failure of the peer is in the sample; the error is ours.
func (f *field) measure(ctx context.Context, s scenario, p *peer, length time.Duration) (sample, error) {
	if err := p.alive(); err != nil {
		return broken(err), nil
	}
	if p.share != nil {
		return p.share(ctx, f, s, p, length)
	}
	before := calls.Load()
	defer func() { p.calls += int(calls.Load() - before) }()
	ops, end, err := s.open(ctx, s, p, time.Now().Add(length+patience))
	if err != nil {
		p.spoiled = true
		return broken(fmt.Errorf("opening: %w", err)), nil
	}
	defer end()
	if s.life { // what opening sent is not measured
		if err := p.settled(ctx, length, p.calls+int(calls.Load()-before)); err != nil {
			p.spoiled = true
			return broken(err), nil
		}
	}
	runtime.GC() // what opening left behind is not collected on the measured time
	heap0, heapErr := p.allocated(ctx)
	executed, countErr := p.count(ctx)
	c0, err := f.clocks(p)
	if err != nil {
		return sample{}, err
	}
	did := drive(ops, length)
	var late error
	if s.life && did.failed == 0 {
		late = p.settled(ctx, length, p.calls+int(calls.Load()-before))
		did.elapsed = time.Since(c0.at)
	}
	c1, err := f.clocks(p)
	if err != nil {
		return sample{}, err
	}
	out := summarize(s, did, c0, c1)
	if p.child == nil {
		out.CPU = unknown
	} else {
		out.RSS = 0
	}
	for _, process := range p.processes() {
		out.RSS += figure(residentOf(process.pid()))
		process.forget()
	}
	if after, err := p.count(ctx); err == nil && countErr == nil && did.done > 0 {
		out.Statements = figure(float64(after-executed) / float64(did.done))
	}
	if heap1, err := p.allocated(ctx); err == nil && heapErr == nil && did.done > 0 {
		out.Mallocs = figure((heap1.Mallocs - heap0.Mallocs) / float64(did.done))
		out.Bytes = figure((heap1.Bytes - heap0.Bytes) / float64(did.done))
	}
	p.spoiled = p.spoiled || did.failed > 0
	if p.settle != nil && !p.spoiled {
		if !s.life {
			late = p.settled(ctx, length, p.calls+int(calls.Load()-before))
		}
		if late != nil {
			out.first = late
			out.Failed++
			p.spoiled = true
		}
		out.Applied = out.Rate
		if !s.life {
			out.Applied = figure(float64(did.done) / time.Since(c0.at).Seconds())
		}
	}
	return out, nil
}

// settled waits until n events are applied, if the peer applies any.
func (p *peer) settled(ctx context.Context, length time.Duration, n int) error {
	if p.settle == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*length+10*time.Second)
	defer cancel()
	if err := p.settle(ctx, n); err != nil {
		return fmt.Errorf("delivering: %w", err)
	}
	return nil
}

// count is how many statements were executed for the peer.
func (p *peer) count(ctx context.Context) (int, error) {
	if p.executed == nil {
		return 0, errGone
	}
	return p.executed(ctx)
}

func (p *peer) allocated(ctx context.Context) (heap, error) {
	if p.heap == nil {
		return heap{}, errGone
	}
	return p.heap(ctx)
}

// broken is a sample of which nothing is known but why.
func broken(err error) sample {
	return sample{
		Failed: 1, first: err, Rate: unknown, P50: unknown, P99: unknown, CPU: unknown, Upstream: unknown, Client: unknown,
		Mallocs: unknown, Bytes: unknown, RSS: unknown, Applied: unknown, Others: unknown, Stolen: unknown,
		Store: unknown, Statements: unknown,
	}
}

func summarize(s scenario, did driven, c0, c1 clocks) sample {
	out := broken(did.first)
	out.Calls, out.Failed = did.done, did.failed
	wall := c1.at.Sub(c0.at)
	all := wall * time.Duration(runtime.NumCPU())
	ours := (c1.peer - c0.peer) + (c1.upstream - c0.upstream) + (c1.client - c0.client) + (c1.store - c0.store)
	out.Others = figure(max(0, float64(c1.busy-c0.busy-ours)/float64(all)))
	out.Stolen = figure(float64(c1.stolen-c0.stolen) / float64(all))
	if did.done == 0 {
		return out
	}
	units := float64(did.done) * s.each
	each := func(d time.Duration) figure { return figure(float64(d.Nanoseconds()) / 1e3 / units) }
	out.Rate = figure(units / did.elapsed.Seconds())
	out.P50, out.P99 = quantile(did.took, 0.50), quantile(did.took, 0.99)
	out.CPU, out.Upstream, out.Client = each(c1.peer-c0.peer), each(c1.upstream-c0.upstream), each(c1.client-c0.client)
	if c1.store > 0 {
		out.Store = each(c1.store - c0.store)
	}
	return out
}

// quantile is in milliseconds, of sorted times, by nearest rank.
func quantile(sorted []time.Duration, q float64) figure {
	if len(sorted) == 0 {
		return unknown
	}
	at := max(0, int(math.Ceil(q*float64(len(sorted))))-1)
	return figure(float64(sorted[at].Nanoseconds()) / 1e6)
}

// median of the figures that are known.
func median(of []figure) figure {
	of = slices.DeleteFunc(slices.Clone(of), func(f figure) bool { return !f.known() })
	if len(of) == 0 {
		return unknown
	}
	slices.Sort(of)
	half := len(of) / 2
	if len(of)%2 == 1 {
		return of[half]
	}
	return (of[half-1] + of[half]) / 2
}
