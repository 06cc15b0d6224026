package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// decided is a kind of provider that the rows need, once without keys and once with them.
const decided = `
provider "KIND-plain" {
  hosts    = ["KIND-plain.test"]
  upstream = "UPSTREAM"
  credential "header" {
    name  = "X-Key"
    value = VALUES
  }
  retry {
    attempts = ATTEMPTS
    budget   = 1
    buffer   = "BUFFER"
    on       = ON
    verdict  = response.header["X-Retry"]
    backoff {
      first = "1ms"
      max   = "1ms"
    }
  }
  cooldown { mode = "observe" } # each trial stands alone
  timeout {
    connect = "PATIENCE"
    attempt = "HASTE"
  }
  outcome "rate_limited" { when = response.header["X-Class"] == "rate_limited" }
  outcome "quota_exhausted" { when = response.header["X-Class"] == "quota_exhausted" }
  outcome "server_error" { when = response.header["X-Class"] == "server_error" }
}
`

// kindOf is a policy with the defaults of all rows, changed by pairs of placeholder and value.
func kindOf(kind, upstream string, changes ...string) string {
	keyed := strings.Replace(strings.ReplaceAll(decided, "-plain", "-keyed"), "  retry {", `  idempotency {
    header  = "Idempotency-Key"
    methods = ["POST", "PATCH"]
    final   = FINAL
  }
  retry {`, 1)
	pairs := append(changes, "KIND", kind, "UPSTREAM", upstream, "VALUES", `env("ONE")`, "ATTEMPTS", "2", "BUFFER", "8MiB",
		"ON", `["rate_limited", "server_error", "timeout", "unreachable"]`, "HASTE", "10s", "PATIENCE", "10s", "FINAL", "[]")
	return strings.NewReplacer(pairs...).Replace(decided + keyed)
}

// A trial is how a row of docs/retries.md is brought about.
type trial struct {
	kind   string // of provider; "" is base
	steps  []faults.Step
	body   int  // bytes
	before int  // attempts before the one that the row is about
	h2     bool // over HTTP/2 only
}

func answering(list ...int) (all []trial) {
	for _, s := range list {
		all = append(all, trial{steps: []faults.Step{faults.Answer(s, "")}})
	}
	return all
}

func afterEach(steps ...faults.Step) (all []trial) {
	for _, s := range steps {
		all = append(all, trial{steps: []faults.Step{s}, body: 5})
	}
	return all
}

func oneOf(kind string, before int, steps ...faults.Step) []trial {
	return []trial{{kind: kind, steps: steps, before: before}}
}

func over2(list []trial) []trial {
	for i := range list {
		list[i].h2 = true
	}
	return list
}

// trials has every row, by its first cell.
func trials() map[string][]trial {
	answer := faults.Answer
	class := func(status int, c string) faults.Step { return answer(status, "{}", "X-Class", c) }
	return map[string][]trial{
		"no connection: the name, the network, or nobody listens":                            oneOf("closed", 0),
		"no connection in time":                                                              oneOf("stalled", 0),
		"a connection on which TLS does not come about":                                      oneOf("garbled", 0),
		"a certificate that is not trusted, or a TLS alert":                                  oneOf("untrusted", 0),
		"the connection ends before a byte of the request is written":                        nil, // needs a socket that fails at one moment: TestP19NothingWritten of proxy/upstream
		"HTTP/2: `REFUSED_STREAM`, or `GOAWAY` with a last stream below this one":            over2(afterEach(faults.RefuseStream(), faults.GoAway())),
		"HTTP/2: another `RST_STREAM`, or `GOAWAY` that includes this stream, and no answer": over2(afterEach(faults.ResetStream(), faults.GoAwayAfter())),
		"the connection ends while the request is being written":                             {{steps: []faults.Step{faults.ResetPart()}, body: 4 << 20}},
		"the connection ends after the request, before an answer":                            afterEach(faults.ResetRead(), faults.CloseRead()),
		"a kept-alive connection turns out to be dead":                                       afterEach(faults.ResetUnread(), faults.CloseUnread()),
		"the answer breaks off within its headers, or is no HTTP":                            afterEach(faults.ResetHead(), faults.Garbage()),
		"no answer in time": oneOf("hasty", 0, faults.Hang()),
		"2xx":               answering(200, 204),
		"3xx":               answering(301, 303, 307),
		"400, 422":          answering(400, 422),
		"401":               answering(401),
		"403":               answering(403),
		"404, 410":          answering(404, 410),
		"408":               answering(408),
		"409":               answering(409),
		"421":               answering(421),
		"425":               answering(425),
		"429":               answering(429),
		"another 4xx":       answering(402, 418),
		"500":               answering(500),
		"502, 503, 504":     answering(502, 503, 504),
		"whatever an `outcome` rule calls `rate_limited`":    afterEach(class(200, "rate_limited"), class(403, "rate_limited"), class(503, "rate_limited")),
		"whatever an `outcome` rule calls `quota_exhausted`": afterEach(class(200, "quota_exhausted"), class(429, "quota_exhausted")),
		"2xx that an `outcome` rule calls `server_error`":    afterEach(class(200, "server_error")),
		"`verdict` says no, of a 503":                        afterEach(answer(503, "", "X-Retry", "false")),
		"`verdict` says no, of a 429":                        afterEach(answer(429, "", "X-Retry", "false")),
		"`verdict` says yes, of a 409":                       afterEach(answer(409, "", "X-Retry", "true")),
		"`verdict` says yes, of a 500":                       afterEach(answer(500, "", "X-Retry", "true")),
		"`verdict` says yes, of `quota_exhausted`":           afterEach(answer(429, "", "X-Retry", "true", "X-Class", "quota_exhausted")),
		"`on` does not name `server_error`, of a 503":        oneOf("narrow", 0, answer(503, "")),
		"`on` names `conflict`, of a 409":                    oneOf("wide", 0, answer(409, "")),
		"the status is one of `final`, of a 500":             oneOf("final", 0, answer(500, "")),
		"a credential has a fresh value, of a 401":           oneOf("rotating", 0, answer(401, "")),
		"a second 421, or a second 425":                      append(oneOf("three", 1, answer(421, ""), answer(421, "")), oneOf("three", 1, answer(425, ""), answer(425, ""))...),
		"an attempt before may have had an effect, of a 429": oneOf("three", 1, answer(503, ""), answer(429, "")),
		"there is no copy of the body, of a 429":             {{kind: "small", steps: []faults.Step{answer(429, "")}, body: 2000}},
		"no attempts are left, of a 429":                     oneOf("", 1, answer(429, ""), answer(429, "")),
	}
}

// A decision is a row of docs/retries.md.
type decision struct {
	what, class, executed string // the latter two only in the first table
	cells                 []string
}

func decisions(t *testing.T) (rows []decision) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(harness.Root(), "..", "docs", "retries.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?s)<!-- (\w+): made by policy/retry -->\n\n(.*?)\n<!-- end -->`).FindAllStringSubmatch(string(src), -1) {
		for _, line := range strings.Split(strings.TrimSpace(m[2]), "\n")[2:] {
			c := strings.Split(strings.Trim(line, "| "), " | ")
			if m[1] == "decisions" {
				rows = append(rows, decision{c[0], strings.Trim(c[1], "`"), strings.Trim(c[2], "`"), c[3:]})
			} else {
				rows = append(rows, decision{c[0], "", "", c[1:]})
			}
		}
	}
	return rows
}

// speechless are upstreams on which nothing can be sent.
func speechless(t *testing.T) (closed, stalled, garbled string) {
	t.Helper()
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if serve == nil {
			l.Close()
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { c.Close() })
				serve(c)
			}
		}()
		return l.Addr().String()
	}
	return "http://" + listen(nil), "https://" + listen(func(net.Conn) {}), "https://" + listen(func(c net.Conn) {
		c.Write([]byte("220 mail.example.com ESMTP\r\n"))
		c.Close()
	})
}

// TestP19EveryRow brings about each row of the tables of docs/retries.md on the wire, for each method and with and
// without a key, and compares what Postern does and says with the cells.
func TestP19EveryRow(t *testing.T) {
	rows, how := decisions(t), trials()
	if len(rows) != len(how) {
		t.Errorf("docs/retries.md has %d rows, and %d are tried here", len(rows), len(how))
	}
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			cfg := faults.Config{NoH2: tr.noH2}
			ca := authority(t)
			if tr.tls {
				cfg.CA = ca
			}
			provider := upstream(t, cfg)
			url := provider.URL()
			closed, stalled, garbled := speechless(t)
			untrusted := upstream(t, faults.Config{CA: authority(t)})
			policy := kindOf("base", url) + kindOf("narrow", url, "ON", `["rate_limited"]`) + kindOf("wide", url, "ON", `["conflict"]`) +
				kindOf("final", url, "FINAL", "[500]") + kindOf("rotating", url, "VALUES", `[env("ONE"), env("TWO")]`) + kindOf("three", url, "ATTEMPTS", "3") +
				kindOf("small", url, "BUFFER", "1KiB") + kindOf("hasty", url, "HASTE", "250ms") +
				kindOf("closed", closed) + kindOf("stalled", stalled, "PATIENCE", "100ms") + kindOf("garbled", garbled) + kindOf("untrusted", untrusted.URL())
			p := harness.Start(t, harness.Files{"p.hcl": policy}, harness.Trusting(ca.File), harness.WithEnv("ONE", "one-one-one-one"), harness.WithEnv("TWO", "two-two-two-two"))
			c := p.Client(tr.tls && !tr.noH2)
			for _, row := range rows {
				list, there := how[row.what]
				if !there {
					t.Errorf("nobody tries %q", row.what)
				}
				for _, try := range list {
					if !try.h2 || tr.tls && !tr.noH2 {
						row.try(t, try, provider, c)
					}
				}
			}
		})
	}
}

// try makes the calls of one trial.
func (d *decision) try(t *testing.T, try trial, provider *faults.Server, c *http.Client) {
	if try.kind == "" {
		try.kind = "base"
	}
	speaks := len(try.steps) > 0
	for _, col := range []struct {
		method, keys string
		cell         int
	}{
		{"GET", "plain", 0},
		{"HEAD", "plain", 0},
		{"PUT", "plain", 0},
		{"DELETE", "plain", 0},
		{"OPTIONS", "plain", 0},
		{"POST", "plain", 1},
		{"PATCH", "plain", 1},
		{"POST", "keyed", 2},
		{"PATCH", "keyed", 2},
	} {
		host := "https://" + try.kind + "-" + col.keys + ".test/"
		provider.Forget()
		if speaks { // the connection is one from before
			call(t, c, http.MethodGet, host, "")
			provider.Forget()
		}
		provider.Script(try.steps...)
		a := call(t, c, col.method, host, strings.Repeat("x", try.body))
		if wrong := d.check(a, d.cells[col.cell], try, provider.Sends()); wrong != "" {
			t.Errorf("%s\n%s, %s, %v: %s: %d %v", d.what, col.method, col.keys, try.steps, wrong, a.Status, a.Header)
		}
	}
}

// check compares an answer with a cell; it says what is wrong.
func (d *decision) check(a harness.Answer, cell string, try trial, sends int) string {
	h := a.Header
	attempts, _ := strconv.Atoi(h.Get("Postern-Attempts"))
	why := strings.Trim(strings.TrimPrefix(cell, "no"), ": `")
	again := strings.HasPrefix(cell, "again")
	want := 1 + try.before
	if why == "unsafe" && try.before > 0 {
		want = 1 // it does not come to that
	} else if again {
		want++
	}
	switch {
	case attempts != want:
		return fmt.Sprintf("%d attempts, want %d", attempts, want)
	case len(try.steps) > 0 && sends != want:
		return fmt.Sprintf("%d requests arrived, want %d", sends, want)
	case again && len(try.steps) > 0:
		if a.Status != 200 || h.Get("Postern-Unretried") != "" {
			return "the other attempt did not succeed"
		}
		return ""
	case !again && h.Get("Postern-Unretried") != why:
		return fmt.Sprintf("unretried by %q, want %q", h.Get("Postern-Unretried"), why)
	case d.class != "" && h.Get("Postern-Outcome") != d.class:
		return "want class " + d.class
	case d.executed != "" && h.Get("Postern-Source") == "postern" && h.Get("Postern-Executed") != d.executed:
		return "want executed: " + d.executed
	}
	return ""
}
