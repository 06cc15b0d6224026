package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// inBubbles runs each function in a bubble of its own, where time is virtual.
// The only door into a bubble is the testing package's, so this process plays
// the part of "go test": testing.MainStart is outside of Go's promise of
// compatibility, and this is the one place to mend should it change.
func inBubbles(fs []func()) error {
	ran := 0
	var tests []testing.InternalTest
	for i, f := range fs {
		tests = append(tests, testing.InternalTest{
			Name: fmt.Sprintf("test-%d", i),
			F: func(t *testing.T) {
				ran++
				synctest.Test(t, func(*testing.T) { f() })
			},
		})
	}
	m := testing.MainStart(runner{}, tests, nil, nil, nil)
	if err := flag.CommandLine.Parse(nil); err != nil {
		return fmt.Errorf("prepare virtual time: %w", err)
	}
	stdout := os.Stdout // Run prints PASS or FAIL; the report is ours
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("prepare virtual time: %w", err)
	}
	defer null.Close()
	os.Stdout = null
	code := m.Run()
	os.Stdout = stdout
	if ran != len(fs) || code != 0 {
		return fmt.Errorf("virtual time failed: %d of %d tests ran, code %d", ran, len(fs), code)
	}
	return nil
}

// runner is what package testing asks of "go test"; only matching is used.
type runner struct{}

var errUnused = errors.New("not used by postern test")

func (runner) ImportPath() string                          { return "postern" }
func (runner) ModulePath() string                          { return "postern" }
func (runner) MatchString(string, string) (bool, error)    { return true, nil }
func (runner) SetPanicOnExit0(bool)                        {}
func (runner) StartCPUProfile(io.Writer) error             { return errUnused }
func (runner) StopCPUProfile()                             {}
func (runner) StartTestLog(io.Writer)                      {}
func (runner) StopTestLog() error                          { return nil }
func (runner) WriteProfileTo(string, io.Writer, int) error { return errUnused }
func (runner) CheckCorpus([]any, []reflect.Type) error     { return errUnused }
func (runner) ResetCoverage()                              {}
func (runner) SnapshotCoverage()                           {}

// corpusEntry is testing's own, which is an alias of an unnamed type.
type corpusEntry = struct {
	Parent     string
	Path       string
	Data       []byte
	Values     []any
	Generation int
	IsSeed     bool
}

func (runner) CoordinateFuzzing(time.Duration, int64, time.Duration, int64, int, []corpusEntry, []reflect.Type, string, string) error {
	return errUnused
}
func (runner) RunFuzzWorker(func(corpusEntry) error) error { return errUnused }
func (runner) ReadCorpus(string, []reflect.Type) ([]corpusEntry, error) {
	return nil, errUnused
}

func (runner) InitRuntimeCoverage() (string, func(string, string) (string, error), func() float64) {
	return "", nil, nil
}
