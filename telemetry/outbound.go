package telemetry

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/policy"
)

// Call is what became of a call, beside what its exchange knows.
type Call struct {
	Status   int // sent to the application
	Source   policy.AnswerSource
	Outcome  policy.Outcome
	Code     policy.Code     // of a refusal or failure made here, else ""
	Executed policy.Executed // on every failure, whoever made it
	Hint     string          // what to do next, on every failure
	In, Out  int64           // body bytes from and to the application
	Duration time.Duration   // until the last byte was out
	Overhead time.Duration   // spent here until response headers: neither upstream nor waiting
	Err      error           // the cause
}

// Outbound takes note of a call that has ended.
func (t *Telemetry) Outbound(x *policy.Exchange, c Call) {
	t.m.call(x, &c)
	level := levelOf(&c)
	if !t.Log.Enabled(context.Background(), level) {
		return
	}
	var l line
	l.add(slog.String("log", kindOutbound))
	l.identify(x.Trace, x.ID)
	l.caller(x)
	l.add(slog.Int("status", c.Status))
	l.str("outcome", string(c.Outcome))
	l.str("source", string(c.Source))
	l.add(slog.Int("attempts", x.Attempts))
	if len(x.Trail) > 1 || len(x.Trail) == 1 && x.Trail[0].Known != "" {
		l.str("trail", trail(&l.made, x.Trail))
	}
	l.str("key", x.Keys)
	l.seconds("waited", x.Waited)
	l.seconds("duration", c.Duration)
	l.seconds("overhead", c.Overhead)
	l.str("provider_request_id", x.ProviderRequestID)
	l.str("provider_code", x.ProviderCode)
	l.str("provider_message", short(x.ProviderMessage))
	l.str("code", string(c.Code))
	l.str("executed", string(c.Executed))
	l.str("hint", c.Hint)
	l.add(slog.Int64("bytes_in", c.In))
	l.add(slog.Int64("bytes_out", c.Out))
	l.str("notes", notes(&l.made, x.Notes))
	l.str("tags", x.Tags)
	l.err(c.Err)
	l.write(t, level, "call")
}

// longestMessage is how much of a provider's own words about a failure stands in a
// line, in bytes.
const longestMessage = 300

// short cuts a text between two characters.
func short(s string) string {
	if len(s) <= longestMessage {
		return s
	}
	end := longestMessage
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// caller adds what the call was.
func (l *line) caller(x *policy.Exchange) {
	if x.Plan != nil {
		l.str("provider", x.Plan.Provider)
		l.str("endpoint", x.Endpoint)
	} else {
		l.str("host", x.Request.Host)
	}
	l.str("account", x.Account)
	l.str("client", x.Client)
	l.str("method", x.Request.Method)
}

// levelOf is warn for what somebody should look at.
func levelOf(c *Call) slog.Level {
	switch c.Outcome {
	case policy.Auth, policy.RateLimited, policy.QuotaExhausted, policy.ServerError, policy.Unreachable, policy.Timeout, policy.Denied:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// trail is "unreachable (nothing sent) then 50ms, 200 ok": what became of each
// attempt, and how far one without an answer got, with the wait before the next.
// It is put together in b.
func trail(b *strings.Builder, tries []policy.Try) string {
	from := b.Len()
	for i, try := range tries {
		if i > 0 {
			b.WriteString(", ")
		}
		if try.Status != 0 {
			b.WriteString(strconv.Itoa(try.Status))
			b.WriteByte(' ')
		}
		b.WriteString(string(try.Outcome))
		if try.Known != "" {
			b.WriteString(" (")
			b.WriteString(try.Known)
			b.WriteByte(')')
		}
		if try.Wait > 0 {
			b.WriteString(" then ")
			b.WriteString(try.Wait.Round(time.Millisecond).String())
		}
	}
	return b.String()[from:]
}

// notes is "stage.key=value; stage.key=value", put together in b. The stage
// "credential" is called auth: what stands behind its name is masked.
func notes(b *strings.Builder, list []policy.Note) string {
	from := b.Len()
	for i, n := range list {
		if i > 0 {
			b.WriteString("; ")
		}
		if n.Stage == "credential" {
			n.Stage = "auth"
		}
		b.WriteString(n.Stage)
		b.WriteByte('.')
		b.WriteString(n.Key)
		b.WriteByte('=')
		b.WriteString(n.Value)
	}
	return b.String()[from:]
}

// Passage is traffic for a host that no provider names.
type Passage struct {
	Start    time.Time
	Client   string
	Host     string // host:port
	In, Out  int64  // bytes from and to the application
	Duration time.Duration
	Err      error // why it could not be opened, or broke off
}

// Passed takes note of a passage that has ended.
func (t *Telemetry) Passed(p Passage) {
	t.m.tunnels.Inc()
	if !t.Log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	var l line
	l.add(slog.String("log", kindOutbound))
	l.identify("", newID())
	l.str("host", p.Host)
	l.str("client", p.Client)
	l.seconds("duration", p.Duration)
	l.add(slog.Int64("bytes_in", p.In))
	l.add(slog.Int64("bytes_out", p.Out))
	l.err(p.Err)
	l.write(t, slog.LevelInfo, "passed through unseen")
}
