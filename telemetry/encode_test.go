package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// afterTime is a line without its time, which is one.
func afterTime(t *rapid.T, line string) string {
	head, rest, _ := strings.Cut(line, `","level":`)
	at, ok := strings.CutPrefix(head, `{"time":"`)
	if _, err := time.Parse(time.RFC3339Nano, at); !ok || err != nil {
		t.Fatalf("no time begins %q: %v", line, err)
	}
	return `{"level":` + rest
}

func decoded(t *rapid.T, line string) (m map[string]any) {
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return m
}

const canary = `canary-"4711"-välue`

// texts draws what a line may have to carry.
func texts() *rapid.Generator[string] {
	names := slices.Sorted(maps.Keys(writings))
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune("az09 \"\\/<>&'%=:;{}\n\r\t\x00\x1b\x7f\u0085\u200b\u2028\u2029\u202e\ufeff\ufffdé\U0001F511\U000E0001"))),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")) }),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.String().Draw(t, "before") + " " + writings[rapid.SampledFrom(names).Draw(t, "writing")](canary) + " " + rapid.String().Draw(t, "after")
		}),
		rapid.SampledFrom([]string{"INFO", "call", "password=hunter2; x=y", "Authorization: Bearer abc", `{"token":"abc"}`, strings.Repeat("é", maxText), strings.Repeat("a", maxText+1)}),
	)
}

func attrs() *rapid.Generator[slog.Attr] {
	keys := rapid.OneOf(rapid.SampledFrom([]string{"id", "provider", "notes", "error", "duration", "time", "status", "api_token", "Set-Cookie", "n", "", canary}), texts())
	value := rapid.OneOf(
		rapid.Map(texts(), slog.StringValue),
		rapid.Map(texts(), func(s string) slog.Value { return slog.AnyValue(errors.New(s)) }),
		rapid.Map(texts(), func(s string) slog.Value { return slog.AnyValue([]string{s}) }),
		rapid.Map(texts(), func(s string) slog.Value { return slog.GroupValue(slog.String("in", s), slog.Int("token", 1)) }),
		rapid.Map(rapid.Int64(), slog.Int64Value),
		rapid.Map(rapid.Uint64(), slog.Uint64Value),
		rapid.Map(rapid.Float64(), slog.Float64Value),
		rapid.Map(rapid.Int64Range(0, 1e12), func(n int64) slog.Value { return slog.Float64Value(float64(n) / 1e6) }),
		rapid.Map(rapid.Bool(), slog.BoolValue),
		rapid.Map(rapid.Int64(), func(n int64) slog.Value { return slog.DurationValue(time.Duration(n)) }),
		rapid.Map(rapid.Int64Range(-60e9, 250e9), func(n int64) slog.Value { return slog.TimeValue(time.Unix(n, n).UTC()) }),
		rapid.SampledFrom([]slog.Value{
			{},
			slog.AnyValue(slog.LevelWarn), slog.AnyValue(error((*broken)(nil))), slog.AnyValue(make(chan int)), slog.AnyValue(fits("x")),
			slog.Float64Value(1e-7), slog.Float64Value(1e21), slog.Float64Value(nan), slog.Float64Value(1 / zero), slog.Float64Value(-1 / zero),
		}),
	)
	return rapid.Custom(func(t *rapid.T) slog.Attr {
		a := slog.Attr{Key: keys.Draw(t, "key"), Value: value.Draw(t, "value")}
		if a.Value.Kind() == slog.KindGroup {
			a.Key = "group" // groups are named in code
		}
		return a
	})
}

var (
	zero float64
	nan  = zero / zero
)

// fits is a text that is made when it is logged.
type fits string

func (f fits) LogValue() slog.Value { return slog.StringValue(string(f) + canary) }

// TestC55LineIsAsSlogWritesIt: lines of the encoder are those of slog's handler,
// byte for byte and so in meaning, whatever they hold.
func TestC55LineIsAsSlogWritesIt(t *testing.T) {
	var by, old bytes.Buffer
	tel := New(Options{Output: &by, Format: JSON, Secrets: fixed{canary, "INFO", "call"}, Replica: "gate-7f3a"})
	logger := slog.New(newHandler(Options{Output: &old, Format: JSON, Replica: "gate-7f3a"}, tel.Redactor))
	rapid.Check(t, func(t *rapid.T) {
		by.Reset()
		old.Reset()
		level := slog.Level(rapid.IntRange(0, 12).Draw(t, "level"))
		msg := texts().Draw(t, "msg")
		var l line
		for _, a := range rapid.SliceOfN(attrs(), 0, 6).Draw(t, "attrs") {
			l.add(a)
		}
		l.write(tel, level, msg)
		logger.LogAttrs(t.Context(), level, msg, l.attrs[:l.n]...)
		got, want := afterTime(t, by.String()), afterTime(t, old.String())
		if got != want || !reflect.DeepEqual(decoded(t, got), decoded(t, want)) {
			t.Fatalf("\n got %q\nwant %q", got, want)
		}
		if strings.Contains(got, "canary") || strings.Count(got, "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(got, "\n"), unfit) {
			t.Fatalf("unfit: %q", got)
		}
	})
}

// TestLineIsCheap: what every call pays for.
func TestLineIsCheap(t *testing.T) {
	tel := New(Options{Output: &inTurn{to: new(bytes.Buffer)}, Format: JSON, Secrets: manySecrets})
	x, call := aCall()
	if n := testing.AllocsPerRun(1000, func() { tel.Outbound(x, call) }); n > 1 {
		t.Errorf("a line costs %v allocations", n)
	}
}

// TestLinesNeverInterleave: both writers of lines take turns, before and after
// the log is closed. The buffer takes no lock of its own.
func TestLinesNeverInterleave(t *testing.T) {
	for _, gather := range []bool{false, true} {
		var out bytes.Buffer
		tel := New(Options{Output: &out, Format: JSON, Gather: gather})
		x, call := aCall()
		const writers, each = 4, 100
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for i := range each {
					tel.Outbound(x, call)
					tel.Log.Info("another", "i", i)
				}
			})
		}
		tel.Close()
		all.Wait()
		kinds := map[any]int{}
		for text := range strings.Lines(out.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			kinds[m["msg"]]++
		}
		if want := map[any]int{"call": writers * each, "another": writers * each}; !maps.Equal(kinds, want) {
			t.Errorf("gather %t: %v, want %v", gather, kinds, want)
		}
	}
}

// FuzzAppendText: any text is read back as it was, with U+FFFD for each byte that
// is no UTF-8, and neither ends the line nor has what JavaScript takes for an end.
func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", `a"b\`, "\x00\x1b\n\t\x7f\xff", "\u2028", "\u2029\u202e", "é\ufffd\U0001F511"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := string(appendText(nil, s))
		var back string
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != string([]rune(s)) {
			t.Errorf("%q is written %q and read %q: %v", s, text, back, err)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == '\u2028' || c == '\u2029' }) {
			t.Errorf("%q is written %q", s, text)
		}
	})
}
