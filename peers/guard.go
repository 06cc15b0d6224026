package peers

import (
	"fmt"
	"io"
	"os/exec"
)

// A guard ends a peer when our process has ended without doing so. It is a shell that reads a pipe of which we alone hold
// the other end: a line says which process to watch, the end of the pipe says that we are gone, be it by SIGKILL.
//
// PR_SET_PDEATHSIG would not do: it fires when the thread that forked ends, it would need a thread and a goroutine for
// good, and it does not reach the processes of a paused PostgreSQL.
type guard struct {
	cmd  *exec.Cmd
	tell io.WriteCloser
}

// watcher reads process ids, an empty line for none. Its only argument is the folder to remove, or is empty. What was
// killed may still be writing for a moment, hence the second try.
const watcher = `trap '' HUP INT QUIT TERM
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
	kill -STOP "$pid"
	kill -KILL "$pid" $(cat "/proc/$pid/task/$pid/children" || pgrep -P "$pid")
fi
[ -z "$1" ] && exit
for try in 1 2 3 4 5; do
	rm -rf "$1" && exit
	sleep 1
done`

func newGuard(f *folder) (*guard, error) {
	remove := ""
	if f.own {
		remove = f.path
	}
	cmd := exec.Command("sh", "-c", watcher, "guard", remove)
	cmd.SysProcAttr = ownGroup()
	tell, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	return &guard{cmd: cmd, tell: tell}, nil
}

// watch names the process that shall not outlive ours; 0 is none.
func (g *guard) watch(pid int) {
	line := "\n"
	if pid != 0 {
		line = fmt.Sprintln(pid)
	}
	_, _ = io.WriteString(g.tell, line)
}

// close ends the guard, which removes the folder. No peer may run.
func (g *guard) close() {
	_ = g.tell.Close()
	_ = g.cmd.Wait()
}
