package block

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// peakOf is the most that the heap grows by while f runs. On a machine that is busy,
// garbage may be left lying for a while: it is the least of three runs.
func peakOf(f func()) int64 { return min(peakOnce(f), peakOnce(f), peakOnce(f)) }

func peakOnce(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	live := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before, peak := live(), uint64(0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Microsecond):
				peak = max(peak, live())
			}
		}
	}()
	f()
	close(done)
	<-ended
	return int64(max(peak, before) - before)
}

// TestC43ExpressionsOverHostileJSON: what an expression reads of a hostile body
// costs at most ten times its size, whichever way it is evaluated. What would cost
// more is null.
func TestC43ExpressionsOverHostileJSON(t *testing.T) {
	for name, body := range map[string]string{
		"objects": `{"x":[` + strings.Repeat("{},", 1<<20) + `{}]}`,
		"numbers": `{"x":[` + strings.Repeat("1,", 1<<20) + `1]}`,
		"members": `{"x":[` + strings.Repeat(`{"a":1},`, 1<<18) + `1]}`,
		"huge":    `{"x":[` + strings.Repeat(`1e400,`, 1<<18) + `1]}`,
		"string":  `{"x":["` + strings.Repeat(`y`, 4<<20) + `"]}`,
	} {
		v := JSONValue([]byte(body), "x")
		peak := peakOf(func() {
			_ = toCty(JSONValue([]byte(body), "x"))
			if equal(v, Value{Kind: JSON, Str: "[1]"}) {
				t.Errorf("%s: equal to another", name)
			}
		})
		if _, err := jsonDecode.Call([]cty.Value{cty.StringVal(v.Str)}); (err == nil) != affordable(v.Str) {
			t.Errorf("%s: jsondecode: %v", name, err)
		}
		t.Logf("%s: %d bytes, %.1f times as much", name, len(body), float64(peak)/float64(len(body)))
		if peak > max(10*int64(len(body)), costFree+1<<20) {
			t.Errorf("%s: %d bytes took %d, %.1f times as much", name, len(body), peak, float64(peak)/float64(len(body)))
		}
	}
}

// TestC43VastNumbers: a number whose digits would fill the memory is none.
func TestC43VastNumbers(t *testing.T) {
	for text, none := range map[string]bool{
		"1e400": false, "1E-400": false, "12": false, "1e0000400": false, "1e99999999": true, "-1E-99999999": true, "1e+1000000": true,
	} {
		if v := toCty(Value{Kind: Number, Str: text}); v.IsNull() != none {
			t.Errorf("%s: %#v", text, v)
		}
		if v := toCty(Value{Kind: JSON, Str: `{"true":true,"s":"e99999","n":[` + text + `]}`}); v.IsNull() != none {
			t.Errorf("%s in a text: %#v", text, v)
		}
	}
}
