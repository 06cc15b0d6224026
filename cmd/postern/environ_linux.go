package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func alone() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep other processes out of this one's memory: %w", err)
	}
	return nil
}

// environ is the memory that the kernel put the environment into when it
// started this process. Go has a copy of its own, and reads it no more.
type environ struct {
	mem  *os.File // of this process
	at   int64    // where the environment begins
	text []byte   // what it is: NAME=VALUE, each with a NUL behind it
}

// openEnviron returns nil where the environment cannot be reached: then it
// stays as it is.
func openEnviron() *environ {
	text, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return nil
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil
	}
	at, err := environmentAt(string(stat))
	if err != nil {
		return nil
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return &environ{mem, at, text}
}

// environmentAt reads env_start, the 50th field of /proc/PID/stat (proc_pid_stat(5)).
// The second is a name in parentheses, which may hold anything.
func environmentAt(stat string) (int64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 48 {
		return 0, errors.New("the place of the environment is not known")
	}
	return strconv.ParseInt(fields[47], 10, 64)
}

// conceal overwrites the values of the variables. It is for once.
func (e *environ) conceal(names []string) error {
	if e == nil {
		return nil
	}
	defer e.mem.Close()
	now := make([]byte, len(e.text))
	if _, err := e.mem.ReadAt(now, e.at); err != nil {
		return fmt.Errorf("read the environment in memory: %w", err)
	}
	if !bytes.Equal(now, e.text) {
		return errors.New("the environment is not where the kernel says")
	}
	at := 0
	for entry := range bytes.SplitSeq(e.text, []byte{0}) {
		name, value, _ := bytes.Cut(entry, []byte{'='})
		if slices.Contains(names, string(name)) {
			from := e.at + int64(at+len(name)+1)
			if _, err := e.mem.WriteAt(make([]byte, len(value)), from); err != nil {
				return fmt.Errorf("overwrite the environment: %w", err)
			}
		}
		at += len(entry) + 1
	}
	return nil
}
