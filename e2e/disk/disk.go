// Package disk makes file systems that fill up and lose power, and system calls that fail. What a machine cannot do is
// skipped, and says so.
package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/postern-proxy/postern/e2e/harness"
)

// Disk is an ext4 file system of its own, in a file of the test's folder.
type Disk struct {
	Dir string // where it is mounted

	t     testing.TB
	image string
}

// New makes and mounts a file system of so many MiB. It ends with the test.
func New(t testing.TB, size int64) *Disk {
	t.Helper()
	mkfs := harness.NeedCommand(t, "mkfs.ext4")
	if os.Getuid() != 0 {
		harness.Missing(t, "a file system of the test's own needs root")
	}
	base := t.TempDir()
	d := &Disk{t: t, Dir: filepath.Join(base, "mnt"), image: filepath.Join(base, "image")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out, err := exec.Command(mkfs, "-q", "-m", "0", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := d.mount(); err != nil {
		harness.Missing(t, "this machine mounts no file: "+err.Error())
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", d.Dir).Run() })
	return d
}

func (d *Disk) mount() error {
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// noLogFlush is that of FS_IOC_SHUTDOWN: what is not on the disk is lost, the journal's last entries too.
const (
	ioctlShutdown = 0x8004587d // _IOR('X', 125, __u32)
	noLogFlush    = 2
)

// PowerOff is the end of power: nothing reaches the disk any more, and what was not flushed is lost.
func (d *Disk) PowerOff() {
	d.t.Helper()
	f, err := os.Open(d.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		harness.Missing(d.t, "a power cut of a file system: "+errno.Error())
	}
}

// PowerOn mounts what the disk holds. No process may use it.
func (d *Disk) PowerOn() {
	d.t.Helper()
	if out, err := exec.Command("umount", d.Dir).CombinedOutput(); err != nil {
		d.t.Fatalf("umount: %v: %s", err, out)
	}
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// Fill writes a file until there is no room, and returns its path: deleting it makes room.
func (d *Disk) Fill() (path string) {
	d.t.Helper()
	path = filepath.Join(d.Dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return path
}

// Inject makes system calls of a process fail, as strace's -e inject says. The result ends it.
func Inject(t testing.TB, pid int, calls, how string) (stop func()) {
	t.Helper()
	strace := harness.NeedCommand(t, "strace")
	report := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command(strace, "-f", "-o", report, "-p", fmt.Sprint(pid), "-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	ready, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	first := make([]byte, 4096)
	n, _ := ready.Read(first) // "Process N attached", or why not
	if !strings.Contains(string(first[:n]), "attached") {
		_ = cmd.Wait()
		harness.Missing(t, "strace cannot attach: "+strings.TrimSpace(string(first[:n])))
	}
	go func() {
		defer close(done)
		for {
			if _, err := ready.Read(first); err != nil {
				break
			}
		}
		_ = cmd.Wait()
	}()
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt) // it lets go of the process
		<-done
	}
	t.Cleanup(stop)
	return stop
}
