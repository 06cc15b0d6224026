package peers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// ErrMissing is in the error of a start on a machine that lacks the program.
var ErrMissing = errors.New("not installed")

// server is what all peers have in common: a folder, an address, a command and, while it runs, a process.
type server struct {
	name   string
	folder *folder
	addr   string
	argv   []string
	ready  func(pid int) error // nil when that very process serves
	polite os.Signal           // asks for an orderly end
	guard  *guard
	cmd    *exec.Cmd // nil when it does not run
	// alive ends when the last process of the tree has ended: all of them hold the other end of this pipe.
	alive *os.File
}

// newServer makes what a peer needs before it can start. The caller adds what to run.
func newServer(dir, name string) (*server, error) {
	f, err := newFolder(dir, name)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, errors.Join(err, f.remove())
	}
	g, err := newGuard(f)
	if err != nil {
		return nil, errors.Join(err, f.remove())
	}
	s := &server{name: name, folder: f, addr: addr, guard: g}
	s.ready = s.dial
	return s, nil
}

// Addr is the peer's address, "127.0.0.1:port". It stays the same over its restarts.
func (s *server) Addr() string { return s.addr }

// Pid is the main process, or 0 when the peer does not run.
func (s *server) Pid() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Start runs the peer again, on the same address and folder, and returns when it serves. The error shows the end of its log.
func (s *server) Start() error {
	if s.cmd != nil {
		return fmt.Errorf("%s already runs", s.name)
	}
	log, err := os.OpenFile(s.logName(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	defer log.Close()
	alive, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	defer held.Close()
	cmd := s.folder.command(s.argv[0], s.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held}
	if err := cmd.Start(); err != nil {
		alive.Close()
		return fmt.Errorf("starting %s: %w", s.name, err)
	}
	held.Close()
	s.cmd, s.alive = cmd, alive
	s.guard.watch(cmd.Process.Pid)
	return s.waitReady()
}

func (s *server) waitReady() error {
	for deadline := time.Now().Add(startWithin); ; {
		err := s.ready(s.Pid())
		switch {
		case s.ended(10 * time.Millisecond):
			s.reap()
			return fmt.Errorf("%s ended before it served; its log:\n%s", s.name, s.Log())
		case err == nil:
			return nil
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("%s does not serve after %s: %w; its log:\n%s", s.name, startWithin, err, s.Log()), s.Kill())
		}
	}
}

// ended waits at most that long for the end of all processes of the peer.
func (s *server) ended(within time.Duration) bool {
	if err := s.alive.SetReadDeadline(time.Now().Add(within)); err != nil {
		return false
	}
	_, err := s.alive.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// reap forgets a process that has ended. The guard is told before its id can become another's.
func (s *server) reap() {
	s.guard.watch(0)
	_ = s.cmd.Wait()
	s.alive.Close()
	s.cmd, s.alive = nil, nil
}

// Kill ends the peer as a crash does: SIGKILL to its whole tree, paused or not. It returns when all of it has ended, and
// does nothing when the peer does not run.
func (s *server) Kill() error {
	if s.cmd == nil {
		return nil
	}
	if err := signalTree(s.Pid(), true); err != nil {
		return fmt.Errorf("killing %s: %w", s.name, err)
	}
	return s.waitEnd()
}

// Stop ends the peer in an orderly way, after a pause if there is one, and returns when it has ended.
func (s *server) Stop() error { return s.end(s.polite) }

func (s *server) end(by os.Signal) error {
	if err := s.Continue(); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(by); err != nil {
		return fmt.Errorf("stopping %s: %w", s.name, err)
	}
	return s.waitEnd()
}

func (s *server) waitEnd() error {
	if !s.ended(stopWithin) {
		return fmt.Errorf("%s still runs after %s; its log:\n%s", s.name, stopWithin, s.Log())
	}
	s.reap()
	return nil
}

// Pause stops all processes of the peer: connections stay open, and nobody answers.
func (s *server) Pause() error {
	if s.cmd == nil {
		return fmt.Errorf("%s does not run", s.name)
	}
	if err := signalTree(s.Pid(), false); err != nil {
		return fmt.Errorf("pausing %s: %w", s.name, err)
	}
	return nil
}

// Continue ends a pause.
func (s *server) Continue() error {
	if s.cmd == nil {
		return fmt.Errorf("%s does not run", s.name)
	}
	if err := resumeTree(s.Pid()); err != nil {
		return fmt.Errorf("continuing %s: %w", s.name, err)
	}
	return nil
}

// Close kills the peer and removes its folder, if the package made it. The peer cannot be started again.
func (s *server) Close() error {
	err := s.Kill()
	s.guard.close()
	return errors.Join(err, s.folder.remove())
}

// Log is the end of what the peer has logged over all its runs.
func (s *server) Log() string {
	text, err := os.ReadFile(s.logName())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-4000):]))
}

func (s *server) logName() string { return filepath.Join(s.folder.path, "log") }

// dial reports whether somebody listens at the peer's address.
func (s *server) dial(int) error {
	conn, err := net.DialTimeout("tcp", s.addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
