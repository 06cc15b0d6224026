package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// folder is where a peer lives, and as whom.
type folder struct {
	path string
	own  bool // made here, and removed at the end
	as   *account
}

// account is the user that a peer runs as when we are root, as which PostgreSQL and PgBouncer refuse to run. It is nil
// when we are not.
type account struct{ uid, gid int }

// newFolder takes dir, or makes a folder in memory, or below the system's temporary one, when dir is empty. As root, the peer's user
// gets the folder, and all folders above have to let it through.
func newFolder(dir, name string) (*folder, error) {
	as, err := peerAccount()
	if err != nil {
		return nil, err
	}
	f := &folder{path: dir, own: dir == "", as: as}
	if f.own {
		parent := temporary()
		if as != nil && !open(parent) {
			parent = "/tmp"
		}
		if f.path, err = os.MkdirTemp(parent, "peer-"+name+"-"); err != nil {
			return nil, fmt.Errorf("making a folder for %s: %w", name, err)
		}
	}
	if as == nil {
		return f, nil
	}
	if err := errors.Join(os.Chown(f.path, as.uid, as.gid), os.Chmod(f.path, 0o755)); err != nil {
		return nil, fmt.Errorf("giving the folder of %s away: %w", name, err)
	}
	if !open(f.path) {
		return nil, fmt.Errorf("the user of %s cannot reach %s", name, f.path)
	}
	return f, nil
}

// memory is where Linux has a file system in memory, and room what a peer may need of it.
const (
	memory = "/dev/shm"
	room   = 2 << 30
)

// temporary is where peers without a folder of their own live: in memory if there is room. They are killed, but the
// machine stays: what they sync is there afterwards, and nobody has to wait for a disk.
func temporary() string {
	if free(memory) > room {
		return memory
	}
	return os.TempDir()
}

// open reports whether everybody may pass through path and all that is above it.
func open(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

// command runs in the folder, as its user, with an environment that says nothing of ours.
func (f *folder) command(program string, args ...string) *exec.Cmd {
	return f.prepare(exec.Command(program, args...))
}

// tool runs such a command to its end and returns what it printed. The error holds what it said.
func (f *folder) tool(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := f.prepare(exec.CommandContext(ctx, program, args...))
	cmd.Stdin = strings.NewReader(stdin)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (f *folder) prepare(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = f.path
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.path, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = runAs(f.as)
	return cmd
}

// remove removes the folder if it was made here.
func (f *folder) remove() error {
	if !f.own {
		return nil
	}
	return os.RemoveAll(f.path)
}

// freeAddr is a loopback address on which nobody listens. It is below the ports that systems give to outgoing
// connections, so that none of those takes it while the peer is down.
func freeAddr() (string, error) {
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("finding a free port: %w", err)
}

// port is the port of an address of freeAddr.
func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
