//go:build unix

package peers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PostgreSQL's "fast" and "immediate" shutdown.
const (
	sigFast      = syscall.SIGINT
	sigImmediate = syscall.SIGQUIT
	sigTerm      = syscall.SIGTERM
)

// ownGroup keeps a child away from what a terminal sends to our group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func runAs(as *account) *syscall.SysProcAttr {
	attr := ownGroup()
	if as != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return attr
}

// peerAccount is postgres or else nobody for root, and nil for everybody else.
func peerAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("finding a user for the peer: %w", err)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &account{uid, gid}, errors.Join(err1, err2)
}

// signalTree stops a process and all its children and, if asked, kills them. The parent is stopped first and starts no
// more; the list is read until it holds nobody new, because it may miss some while others end.
func signalTree(pid int, kill bool) error {
	if err := stop(pid); err != nil && !kill {
		return err
	}
	var known []int
	for {
		list := children(pid)
		fresh := slices.DeleteFunc(slices.Clone(list), func(c int) bool { return slices.Contains(known, c) })
		if len(fresh) == 0 {
			break
		}
		for _, c := range fresh {
			_ = stop(c) // it may have just ended
		}
		known = append(known, fresh...)
	}
	if !kill {
		return nil
	}
	for _, c := range known {
		_ = syscall.Kill(c, syscall.SIGKILL)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// stop stops a process, and returns when it has stopped: what it is at in the kernel,
// such as starting another one, it ends first. A system that has no /proc is not asked.
func stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(text), ") ") // its name may hold anything else
		if err != nil || state == "" || strings.ContainsRune("TtZX", rune(state[0])) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// resumeTree lets a process and its children go on.
func resumeTree(pid int) error {
	for _, c := range children(pid) {
		_ = syscall.Kill(c, syscall.SIGCONT)
	}
	return syscall.Kill(pid, syscall.SIGCONT)
}

// children lists the processes that pid has started and that have not ended.
func children(pid int) (list []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		text, _ = exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	}
	for field := range strings.FieldsSeq(string(text)) {
		if c, err := strconv.Atoi(field); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// free is how many bytes of a file system are free, 0 if it is not there.
func free(path string) uint64 {
	var st syscall.Statfs_t
	if syscall.Statfs(path, &st) != nil {
		return 0
	}
	return uint64(st.Bavail) * uint64(st.Bsize)
}
