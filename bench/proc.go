package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpuOf is the user and system time of a process and its direct children (nginx's workers).
func cpuOf(pid int) (time.Duration, error) {
	total, err := cpuOne(pid)
	if err != nil {
		return 0, err
	}
	for _, kid := range kids(pid) {
		more, err := cpuOne(kid)
		if err != nil {
			return 0, err
		}
		total += more
	}
	return total, nil
}

// cpuWithEnded is the same for a process whose children come and go: those that have ended count too.
func cpuWithEnded(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	total, err := parseTimes(text, 4)
	if err != nil {
		return 0, err
	}
	for _, kid := range kids(pid) {
		if more, err := cpuOne(kid); err == nil { // else it has just ended
			total += more
		}
	}
	return total, nil
}

func cpuOne(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(text)
}

// parseStat reads the user and system time of a process.
func parseStat(text []byte) (time.Duration, error) { return parseTimes(text, 2) }

// parseTimes sums n fields of proc_pid_stat(5) from the 14th: user and system time, then those of children that have
// ended. The command's name, field 2, may hold blanks and brackets.
func parseTimes(text []byte, n int) (time.Duration, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 11+n {
		return 0, fmt.Errorf("unexpected stat line %q", text)
	}
	var ticks int64
	for _, field := range fields[11 : 11+n] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

func kids(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, field := range strings.Fields(string(text)) {
		if kid, err := strconv.Atoi(field); err == nil {
			out = append(out, kid)
		}
	}
	return out
}

// residentOf is the resident memory in MiB of a process and its direct children; shared pages count in each.
func residentOf(pid int) float64 {
	var total float64
	for _, pid := range append(kids(pid), pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseFloat(fields[1], 64)
			total += pages * float64(os.Getpagesize()) / (1 << 20)
		}
	}
	return total
}

// cpuSelf is the load generator's own CPU time.
func cpuSelf() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// machine is the time all cores spent working since boot, and the time the hypervisor gave to others.
func machine() (busy, stolen time.Duration) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	for at, field := range fields {
		n, _ := strconv.ParseInt(field, 10, 64)
		switch at {
		case 1, 2, 3, 6, 7: // user nice system irq softirq
			busy += time.Duration(n) * tick
		case 8:
			stolen = time.Duration(n) * tick
		}
	}
	return busy, stolen
}

// onDisk says whether an fsync in dir can mean anything.
func onDisk(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return true
	}
	kind := uint32(fs.Type)
	return kind != tmpfs && kind != ramfs
}
