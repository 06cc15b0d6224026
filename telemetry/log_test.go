package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
)

// logged returns a telemetry and what reads the lines it has logged since.
func logged(t *testing.T, secrets ...string) (*Telemetry, func() []map[string]any) {
	t.Helper()
	var out bytes.Buffer
	tel := New(Options{Output: &out, Secrets: fixed(secrets), Level: slog.LevelDebug})
	return tel, func() (lines []map[string]any) {
		t.Helper()
		for text := range strings.Lines(out.String()) {
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			lines = append(lines, line)
		}
		out.Reset()
		return lines
	}
}

func TestC55LogInjection(t *testing.T) {
	nasty := "a\nlevel=ERROR b\r\x1b[2K\u202ec\u2028d\u2029e\u200bf\x00g\x7fh\u0085i\ufeffj\xffk"
	for _, format := range []Format{JSON, Text} {
		var out bytes.Buffer
		tel := New(Options{Output: &out, Format: format})
		tel.Log.Info(nasty, nasty, nasty, "any", []string{nasty}, "err", errors.New(nasty), slog.Group("g", "in", nasty))
		tel.Log.With("with", nasty).WithGroup("g").Info("x", "y", nasty)
		text := out.String()
		if n := strings.Count(text, "\n"); n != 2 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s: %d lines, want 2: %q", format, n, text)
		}
		if at := strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), unfit); at >= 0 {
			t.Errorf("%s: unfit %q in %q", format, text[at:min(at+8, len(text))], text)
		}
		if format == JSON {
			for line := range strings.Lines(text) {
				if !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %q", line)
				}
			}
		}
	}
}

// TestReplicaInEveryLine: whoever reads the logs of several processes can tell
// them apart, whichever way a line is written.
func TestReplicaInEveryLine(t *testing.T) {
	for _, format := range []Format{JSON, Text} {
		var out bytes.Buffer
		tel := New(Options{Output: &out, Format: format, Replica: "gate-7f3a"})
		tel.Transition(slog.LevelInfo, "one")
		tel.Log.Info("two")
		x, call := aCall()
		tel.Outbound(x, call)
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, `"replica":"gate-7f3a"`) && !strings.Contains(line, " replica=gate-7f3a") {
				t.Errorf("%s: %q", format, line)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%s: %d lines", format, n)
		}
	}
}

type broken struct{}

func (*broken) Error() string { panic("broken") }

func TestC51SecretsInAnyValue(t *testing.T) {
	const canary = `canary-"4711"-value`
	tel, lines := logged(t, canary)
	tel.Log.Info("about "+canary,
		"s", canary, "err", fmt.Errorf("get: %w", &url.Error{Op: "Get", URL: "https://x/?q=" + url.QueryEscape(canary), Err: errors.Join(errors.New(canary))}),
		"any", map[string]string{canary: canary}, "list", []string{canary}, "bytes", []byte(canary), "stringer", &url.URL{Path: canary},
		slog.Group("group", "in", canary, slog.Group("deeper", "in", canary)), canary, 1,
		"api_token", "not known by value", "Set-Cookie", []string{"not known"}, "password", 12345678,
	)
	tel.Log.With("with", canary).Info("x")
	all := lines()
	text, _ := json.Marshal(all)
	for _, leak := range []string{"canary", "4711", "not known", "12345678", "Y2FuYXJ5"} {
		if strings.Contains(string(text), leak) {
			t.Errorf("%q stands in %s", leak, text)
		}
	}
	if len(all) != 2 || all[0]["s"] != mask || all[0]["msg"] != "about "+mask {
		t.Errorf("%s", text)
	}
	var missing *broken
	tel.Log.Info("still there", "nil", nil, "err", error(missing), "chan", make(chan int), "func", slog.AnyValue(struct{ F func() }{}), "level", slog.LevelWarn, "nothing", error(nil))
	if got := lines(); len(got) != 1 || got[0]["msg"] != "still there" {
		t.Errorf("%v", got)
	}
}

func TestLogValues(t *testing.T) {
	tel, lines := logged(t)
	tel.Log.Warn("m", "d", 1500*time.Millisecond, "n", 3, "b", true, "f", 0.25, "t", time.Unix(0, 0).UTC())
	got := lines()[0]
	for key, want := range map[string]any{"level": "WARN", "msg": "m", "d": 1.5, "n": 3.0, "b": true, "f": 0.25, "t": "1970-01-01T00:00:00Z"} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	tel.Log.Info("long", "s", strings.Repeat("é", maxText))
	if s := lines()[0]["s"].(string); len(s) > maxText+64 || !strings.HasSuffix(s, "bytes more)") {
		t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-32:])
	}
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]Format{"json": JSON, "text": Text, "auto": Auto, "": Auto} {
		var f Format
		if err := f.UnmarshalText([]byte(in)); err != nil || f != want {
			t.Errorf("%q: %q, %v", in, f, err)
		}
	}
	if err := new(Format).UnmarshalText([]byte("xml")); err == nil {
		t.Error("xml is taken for a format")
	}
	if New(Options{}).Log == nil || terminal(io.Discard) {
		t.Error("no output is no log, or a terminal")
	}
	var level slog.LevelVar
	var out bytes.Buffer
	tel := New(Options{Output: &out, Format: Text, Level: &level})
	tel.Log.Debug("hidden")
	level.Set(slog.LevelDebug)
	tel.Log.Debug("shown")
	if s := out.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "msg=shown") {
		t.Error(s)
	}
}
