//go:build linux

package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stageVariable = "POSTERN_CHECK_STAGE"
	stageToken    = "t0ken-of-sixteen-bytes"
)

func TestMain(m *testing.M) {
	text := os.Getenv(stageVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var s stage
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = s.play()
	}
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play is what happens inside of the namespaces.
func (s *stage) play() error {
	runtime.LockOSThread() // what is given up below, this thread gives up
	if err := s.close(); err != nil {
		return err
	}
	delivered, err := peers()
	if err != nil {
		return err
	}
	if err := giveUp(); err != nil {
		return err
	}
	for _, p := range s.Init {
		if out, err := s.command(p).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", p.Args, err, out)
		}
	}
	var log bytes.Buffer
	cmd := s.command(s.Main)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if s.Post != nil {
		var out []byte
		if out, err = s.command(*s.Post).CombinedOutput(); err != nil {
			err = fmt.Errorf("%v: %w: %s", s.Post.Args, err, out)
		}
	}
	if err == nil {
		err = s.acts(cmd.Process.Pid, ended, delivered)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case end := <-ended:
		err = errors.Join(err, end)
	case <-time.After(35 * time.Second):
		err = errors.Join(err, errors.New("it does not end"))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, &log)
	}
	return nil
}

// close makes the tree read-only but for its volumes, and the network one of
// loopback.
func (s *stage) close() error {
	steps := []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""),
	}
	for _, path := range s.Tmpfs { // as the kubelet makes them, with fsGroup or without
		steps = append(steps, unix.Mount("tmpfs", filepath.Join(s.Root, path), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=2777,size=64m,gid=65532"))
	}
	steps = append(steps, unix.Mount("", s.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""))
	if err := errors.Join(steps...); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("the tree can be written: %v", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// giveUp makes children unable to gain anything: allowPrivilegeEscalation is
// false, and all capabilities are dropped.
func giveUp() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// command is the binary as user 65532, with the tree as its root.
func (s *stage) command(p process) *exec.Cmd {
	cmd := exec.Command("/postern", p.Args...)
	cmd.Env, cmd.Dir = append([]string{}, p.Env...), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.Root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// acts is the life of the pod: ready, a call, a webhook.
func (s *stage) acts(pid int, ended <-chan error, delivered <-chan string) error {
	start := time.Now()
	for {
		resp, err := http.Get(s.Startup)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(start) > 30*time.Second {
			return fmt.Errorf("it is not started: %v", err)
		}
	}
	started := time.Since(start)
	// Started means that the application may start: the certificates are there.
	for _, name := range s.Writable {
		if _, err := os.Stat(filepath.Join(s.Root, name)); err != nil {
			return fmt.Errorf("it says it has started: %w", err)
		}
	}
	if shared, err := os.ReadFile(filepath.Join(s.Root, "/run/secrets/postern-ca/tls.crt")); err == nil {
		if own, err := os.ReadFile(filepath.Join(s.Root, s.Trust, "ca.pem")); err != nil || !bytes.Equal(own, shared) {
			return fmt.Errorf("the authority is not that of all replicas: %v", err)
		}
	}
	if err := powerless(pid); err != nil {
		return err
	}
	if err := s.call(); err != nil {
		return fmt.Errorf("a call: %w", err)
	}
	if err := s.webhook(delivered); err != nil {
		return fmt.Errorf("a webhook: %w", err)
	}
	fmt.Printf("started in %v, made a call, took and delivered a webhook\n", started.Round(time.Millisecond))
	return nil
}

// powerless reads what the kernel says of the process.
func powerless(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for _, must := range []string{
		"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "Groups:\t \n", "NoNewPrivs:\t1\n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
	} {
		if !bytes.Contains(status, []byte(must)) {
			return fmt.Errorf("there is no %q in\n%s", must, status)
		}
	}
	return nil
}
