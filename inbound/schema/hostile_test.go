package schema

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// hostile are texts of about 8 MiB that cost a decoder many times their size.
var hostile = map[string]func() string{
	"objects":         func() string { return "[" + strings.Repeat("{},", 8<<20/3) + "{}]" },
	"arrays":          func() string { return "[" + strings.Repeat("[],", 8<<20/3) + "[]]" },
	"one member":      func() string { return "[" + strings.Repeat(`{"a":1},`, 1<<20) + "0]" },
	"numbers":         func() string { return "[" + strings.Repeat("1,", 4<<20) + "1]" },
	"huge numbers":    func() string { return "[" + strings.Repeat("1e400,", 8<<20/6) + "1]" },
	"huge exponents":  func() string { return "[" + strings.Repeat("1e999999,", 8<<20/9) + "1]" },
	"one long number": func() string { return strings.Repeat("9", 8<<20) },
	"escapes":         func() string { return `["` + strings.Repeat(`\u0000`, 8<<20/6) + `"]` },
	"lone surrogates": func() string { return `["` + strings.Repeat(`\ud800`, 8<<20/6) + `"]` },
	"NUL":             func() string { return `"` + strings.Repeat("\x00", 8<<20) + `"` },
	"long strings":    func() string { return `[` + strings.Repeat(`"`+strings.Repeat("x", 1000)+`",`, 8<<10) + `1]` },
	"one long string": func() string { return `{"a":"` + strings.Repeat("x", 8<<20) + `"}` },
	"depth":           func() string { return strings.Repeat("[", 4<<20) + strings.Repeat("]", 4<<20) },
	"depth 10,000":    func() string { return strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) },
	"members":         func() string { return "{" + many(400_000, `"k%07d":"value%d",`) + `"z":1}` },
	"same member":     func() string { return "{" + strings.Repeat(`"a":1,`, 8<<20/6) + `"a":1}` },
	"folded members":  func() string { return `{"amount":1,"AMOUNT":"x","Amount":null}` },
	"white space":     func() string { return "[" + strings.Repeat(" ", 8<<20) + "1]" },
	"real":            func() string { return `{"data":[` + many(30_000, realItem) + `{}]}` },
	"many misfits": func() string {
		return `{"strings":[` + many(100_000, `{"a":%d,"b":"a longer text that stands here, %d"},`) + `1]}`
	},
}

const realItem = `{"object":"customer","id":"cus_%07d","description":"a customer of ours who has bought a lot, and will again","email":"customer%d@example.com",` +
	`"address":{"line1":"1 Main Street","city":"Springfield","postal_code":"12345","country":"US"},"livemode":true,"balance":12345},`

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i, i)
	}
	return b.String()
}

// asks looks into everything, and finds much to object to.
const asks = `{"$ref":"#/$defs/any","$defs":{"any":{
  "type":["object","array","string","number","boolean","null"], "items":{"$ref":"#/$defs/any"},
  "properties":{"a":{"type":"number"},"strings":{"items":{"type":"string"}}},"additionalProperties":{"$ref":"#/$defs/any"}}}}`

// TestC43HostileJSON: no hostile text takes more than ten times its size of
// memory, or long, or ends the process. Each has a process of its own, so that what
// others left behind does not count.
func TestC43HostileJSON(t *testing.T) {
	if name := os.Getenv("HOSTILE"); name != "" {
		measure(name)
		return
	}
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: it takes a process for each text")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(self, "-test.run=^TestC43HostileJSON$")
			cmd.Env = append(os.Environ(), "HOSTILE="+name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			var peak, took int64
			var verdict string
			if _, err := fmt.Sscanf(string(out), "%d %d %q", &peak, &took, &verdict); err != nil {
				t.Fatalf("%v: %.500s", err, out)
			}
			size := int64(len(text()))
			t.Logf("%d bytes: %.1f times as much memory, %v, %s", size, float64(peak)/float64(size), time.Duration(took), verdict)
			if most := max(10*size, floor+1<<20); peak > most {
				t.Errorf("%d bytes took %d bytes, %.1f times as much", size, peak, float64(peak)/float64(size))
			}
			if time.Duration(took) > 30*time.Second {
				t.Errorf("it took %v", time.Duration(took))
			}
			if fine := name == "real" || name == "long strings"; fine && verdict != "" {
				t.Errorf("it does not fit: %s", verdict)
			}
		})
	}
}

// measure judges one text and prints the most that the heap has grown by, what it
// took, and the verdict.
func measure(name string) {
	s, err := Compile(os.DevNull+"/s.json", Options{Read: func(string) ([]byte, error) { return []byte(asks), nil }})
	if err != nil {
		panic(err)
	}
	body := []byte(hostile[name]())
	debug.SetGCPercent(10)
	runtime.GC()
	before := live()
	peak, done, ended := uint64(0), make(chan struct{}), make(chan struct{})
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
	start := time.Now()
	m := s.Judge(body)
	took := time.Since(start)
	close(done)
	<-ended
	verdict := ""
	if m != nil {
		verdict = m.String()
	}
	fmt.Printf("%d %d %q\n", int64(max(peak, before)-before), took, verdict)
	runtime.KeepAlive(body)
	os.Exit(0)
}

func live() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
