package main

// comparing is what a ratio is made of.
type comparing string

const (
	byCPU   comparing = "CPU"        // less is better
	byRate  comparing = "throughput" // more is better
	byAdded comparing = "added p50"  // over direct; less is better
	// byWhole is the peer's and PostgreSQL's CPU together; less is better. It is steadier than throughput.
	byWhole comparing = "CPU with PostgreSQL"
	byLives comparing = "lives/s" // ended per second; more is better
	// byStatements is no ratio but the count per event, which no load of the machine changes; less is better.
	byStatements comparing = "statements"
	// byClaims is no ratio either: thousands of claims per second; more is better.
	byClaims comparing = "1000 claims/s"
	// byMoreCPU and byMoreAllocs are differences: microseconds of CPU and allocations per call; less is better.
	byMoreCPU    comparing = "CPU us more"
	byMoreAllocs comparing = "allocs more"
)

// comparison is one ratio and what is aimed at; 0 is no aim.
type comparison struct {
	Scenario  string    `json:"scenario"`
	What      comparing `json:"what"`
	Peer      string    `json:"peer"`
	Versus    string    `json:"versus"`
	Goal      float64   `json:"goal,omitempty"`
	Excellent float64   `json:"excellent,omitempty"`
	Stretch   float64   `json:"stretch,omitempty"`
	Median    figure    `json:"median"`
	Least     figure    `json:"least"`
	Most      figure    `json:"most"`
}

// comparisons are the ratios that are reported first, in this order.
func comparisons() []comparison {
	return []comparison{
		{Scenario: "get64", What: byCPU, Peer: "postern", Versus: "goproxy", Goal: 1.0, Excellent: 0.6, Stretch: 0.5},
		{Scenario: "get64", What: byCPU, Peer: "postern", Versus: "nginx", Excellent: 1.25, Stretch: 1.0},
		{Scenario: "post64", What: byCPU, Peer: "postern", Versus: "goproxy", Goal: 1.0, Excellent: 0.6, Stretch: 0.5},
		{Scenario: "post64", What: byCPU, Peer: "postern", Versus: "nginx", Excellent: 1.25, Stretch: 1.0},
		{Scenario: "fresh64", What: byCPU, Peer: "postern", Versus: "goproxy", Goal: 0.4, Excellent: 0.38, Stretch: 0.3},
		{Scenario: "fresh64", What: byCPU, Peer: "postern", Versus: "goproxy-rsa", Goal: 0.4, Excellent: 0.38, Stretch: 0.3},
		{Scenario: "fresh64", What: byCPU, Peer: "postern", Versus: "nginx"},
		{Scenario: "resume64", What: byCPU, Peer: "postern", Versus: "goproxy"},
		{Scenario: "resume64", What: byCPU, Peer: "postern", Versus: "goproxy-rsa"},
		{Scenario: "h2x64", What: byCPU, Peer: "postern", Versus: "goproxy", Goal: 0.7, Excellent: 0.6, Stretch: 0.3},
		{Scenario: "h2x64", What: byCPU, Peer: "postern", Versus: "nginx"},
		{Scenario: "down10m", What: byCPU, Peer: "postern", Versus: "goproxy", Excellent: 1.0, Stretch: 0.8},
		{Scenario: "up10m", What: byCPU, Peer: "postern", Versus: "goproxy", Excellent: 1.0, Stretch: 0.8},
		{Scenario: "get1", What: byAdded, Peer: "postern", Versus: "goproxy", Excellent: 0.8, Stretch: 0.6},
		{Scenario: "get1", What: byCPU, Peer: "postern", Versus: "goproxy"},
		{Scenario: "credential64", What: byCPU, Peer: "bearer-again", Versus: "bearer"},
		{Scenario: "credential64", What: byCPU, Peer: "oauth2_client_credentials", Versus: "bearer", Goal: 1.05},
		{Scenario: "credential64", What: byCPU, Peer: "oauth2", Versus: "bearer", Goal: 1.05},
		{Scenario: "credential64", What: byCPU, Peer: "hmac", Versus: "bearer"},
		{Scenario: "credential64", What: byCPU, Peer: "aws_sigv4", Versus: "bearer"},
		{Scenario: "credential64", What: byCPU, Peer: "http_signature", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreCPU, Peer: "oauth2_client_credentials", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreCPU, Peer: "oauth2", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreCPU, Peer: "hmac", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreCPU, Peer: "aws_sigv4", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreCPU, Peer: "http_signature", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreAllocs, Peer: "oauth2_client_credentials", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreAllocs, Peer: "oauth2", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreAllocs, Peer: "hmac", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreAllocs, Peer: "aws_sigv4", Versus: "bearer"},
		{Scenario: "credential64", What: byMoreAllocs, Peer: "http_signature", Versus: "bearer"},
		{Scenario: "keyed64", What: byCPU, Peer: "named-again", Versus: "named"},
		{Scenario: "keyed64", What: byCPU, Peer: "kept", Versus: "named"},
		{Scenario: "keyed64", What: byRate, Peer: "kept", Versus: "named"},
		{Scenario: "keyed64", What: byMoreCPU, Peer: "kept", Versus: "named"},
		{Scenario: "keyed64", What: byMoreAllocs, Peer: "kept", Versus: "named"},
		{Scenario: "inbound1", What: byRate, Peer: "postern", Versus: "sqlite"},
		{Scenario: "inbound1", What: byRate, Peer: "postern", Versus: "append", Goal: 0.7},
		{Scenario: "inbound1", What: byRate, Peer: "postern", Versus: "append-listener"},
		{Scenario: "inbound64", What: byRate, Peer: "postern", Versus: "sqlite", Goal: 5},
		{Scenario: "inbound64", What: byRate, Peer: "postern", Versus: "append", Goal: 0.7, Stretch: 0.85},
		{Scenario: "inbound64", What: byRate, Peer: "postern", Versus: "append-listener"},
		{Scenario: "inbound64", What: byCPU, Peer: "postern", Versus: "sqlite"},
		{Scenario: "inbound64", What: byCPU, Peer: "postern", Versus: "append"},
		{Scenario: "inbound64", What: byRate, Peer: "postern+deliver", Versus: "sqlite"},
		{Scenario: "inbound64", What: byRate, Peer: "append", Versus: "sqlite"},
		{Scenario: "inbound256", What: byRate, Peer: "postern", Versus: "sqlite", Goal: 5},
		{Scenario: "inbound256", What: byRate, Peer: "postern", Versus: "append", Goal: 0.7},
		{Scenario: "inbound256", What: byRate, Peer: "postern", Versus: "append-listener"},
		{Scenario: "life1", What: byRate, Peer: "postern+deliver", Versus: "append"},
		{Scenario: "life64", What: byRate, Peer: "postern+deliver", Versus: "append"},
		{Scenario: "life64", What: byRate, Peer: "postern+deliver", Versus: "sqlite"},
		{Scenario: "life64", What: byCPU, Peer: "postern+deliver", Versus: "append"},
		{Scenario: "life256", What: byRate, Peer: "postern+deliver", Versus: "append"},
		{Scenario: "storm64", What: byRate, Peer: "postern", Versus: "append"},
		{Scenario: "storm64", What: byCPU, Peer: "postern", Versus: "append"},
		{Scenario: "postgres-ack", What: byRate, Peer: "postern-1", Versus: "unnest", Goal: 0.7},
		{Scenario: "postgres-ack", What: byRate, Peer: "postern-2", Versus: "unnest", Goal: 0.7},
		{Scenario: "postgres-ack", What: byRate, Peer: "postern-4", Versus: "unnest", Goal: 0.7},
		{Scenario: "postgres-ack", What: byRate, Peer: "unnest-http", Versus: "unnest"},
		{Scenario: "postgres-ack", What: byRate, Peer: "postern-1", Versus: "unnest-http"},
		{Scenario: "postgres-ack", What: byWhole, Peer: "postern-1", Versus: "unnest-http"},
		{Scenario: "postgres-ack", What: byWhole, Peer: "postern-2", Versus: "unnest-http"},
		{Scenario: "postgres-ack", What: byWhole, Peer: "postern-4", Versus: "unnest-http"},
		{Scenario: "postgres-life", What: byRate, Peer: "postern-1", Versus: "unnest"},
		{Scenario: "postgres-life", What: byRate, Peer: "postern-2", Versus: "unnest"},
		{Scenario: "postgres-life", What: byRate, Peer: "postern-4", Versus: "unnest"},
		{Scenario: "postgres-life", What: byRate, Peer: "postern-2", Versus: "postern-1"},
		{Scenario: "postgres-life", What: byRate, Peer: "postern-4", Versus: "postern-1"},
		{Scenario: "postgres-life", What: byStatements, Peer: "postern-1", Goal: 3},
		{Scenario: "postgres-life", What: byStatements, Peer: "postern-2", Goal: 3},
		{Scenario: "postgres-life", What: byStatements, Peer: "postern-4", Goal: 3},
		{Scenario: "postgres-statements", What: byStatements, Peer: "postern-1", Goal: 3},
		{Scenario: "postgres-statements", What: byStatements, Peer: "postern-2", Goal: 3},
		{Scenario: "postgres-statements", What: byStatements, Peer: "postern-4", Goal: 3},
		{Scenario: "postgres-lanes", What: byClaims, Peer: "lanes", Goal: 15},
		{Scenario: "postgres-lanes", What: byRate, Peer: "lanes", Versus: "no-lanes"},
		{Scenario: "postgres-lanes", What: byRate, Peer: "lanes", Versus: "skip-locked"},
		{Scenario: "postgres-lanes", What: byLives, Peer: "lanes", Versus: "no-lanes"},
		{Scenario: "postgres-lanes", What: byLives, Peer: "lanes", Versus: "skip-locked"},
		{Scenario: "shared-limit", What: byRate, Peer: "leased", Versus: "x-time-rate"},
		{Scenario: "shared-limit", What: byRate, Peer: "leased", Versus: "local"},
		{Scenario: "shared-limit", What: byRate, Peer: "leased", Versus: "gathered"},
		{Scenario: "shared-limit", What: byRate, Peer: "leased", Versus: "redis"},
		{Scenario: "shared-limit", What: byRate, Peer: "gathered", Versus: "redis"},
	}
}

// find is the row of a peer in a scenario.
func find(rows []*row, scenario, peer string) *row {
	for _, r := range rows {
		if r.scenario.name == scenario && r.peer.name == peer {
			return r
		}
	}
	return nil
}

// compare divides round by round, so that what slowed a round slows both sides of its ratio, and takes the median.
func compare(rows []*row, c comparison) comparison {
	var of []figure
	a, b, direct := find(rows, c.Scenario, c.Peer), find(rows, c.Scenario, c.Versus), find(rows, c.Scenario, "direct")
	if c.absolute() {
		b = a
	}
	if a != nil && b != nil {
		for at := range min(len(a.samples), len(b.samples)) {
			var ratio figure
			switch c.What {
			case byCPU:
				ratio = a.samples[at].CPU / b.samples[at].CPU
			case byRate:
				ratio = a.samples[at].Rate / b.samples[at].Rate
			case byWhole:
				ratio = (a.samples[at].CPU + a.samples[at].Store) / (b.samples[at].CPU + b.samples[at].Store)
			case byLives:
				ratio = a.samples[at].Applied / b.samples[at].Applied
			case byStatements:
				ratio = a.samples[at].Statements
			case byClaims:
				ratio = a.samples[at].Rate / 1000
			case byMoreCPU:
				ratio = a.samples[at].CPU - b.samples[at].CPU
			case byMoreAllocs:
				ratio = a.samples[at].Mallocs - b.samples[at].Mallocs
			case byAdded:
				base := direct.samples[at].P50
				ratio = (a.samples[at].P50 - base) / (b.samples[at].P50 - base)
			}
			if ratio.known() {
				of = append(of, ratio)
			}
		}
	}
	c.Median, c.Least, c.Most = median(of), unknown, unknown
	for _, f := range of {
		if !c.Least.known() || f < c.Least {
			c.Least = f
		}
		if !c.Most.known() || f > c.Most {
			c.Most = f
		}
	}
	return c
}

// reached says whether the median keeps an aim.
func (c comparison) reached(aim float64) bool {
	if c.more() {
		return float64(c.Median) >= aim
	}
	return float64(c.Median) <= aim
}

// more says whether more is better.
func (c comparison) more() bool { return c.What == byRate || c.What == byLives || c.What == byClaims }

// absolute says whether it is a figure of one peer and no ratio.
func (c comparison) absolute() bool { return c.Versus == "" }

// in says whether both sides are among the rows.
func (c comparison) in(rows []*row) bool {
	return find(rows, c.Scenario, c.Peer) != nil && (c.absolute() || find(rows, c.Scenario, c.Versus) != nil)
}
