//go:build unix

package peers

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test binary the process that is killed while its peers run.
func TestMain(m *testing.M) {
	if os.Getenv("PEERS_VICTIM") != "" {
		victim()
	}
	goleak.VerifyTestMain(m) // while the shared PostgreSQL runs
}

// victim starts peers, pauses one of each two, says who they are and where, and waits to be killed.
func victim() {
	var line []any
	for i := range 2 {
		p, err := StartPostgres("", PostgresOptions{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		r, err := StartRedis("", RedisOptions{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for _, s := range []*server{&p.server, &r.server} {
			if i == 1 {
				_ = s.Pause()
			}
			for _, pid := range append(children(s.Pid()), s.Pid()) {
				line = append(line, pid)
			}
			line = append(line, s.folder.path)
		}
	}
	fmt.Println(line...)
	select {}
}

// TestNothingOutlivesUs kills a process by SIGKILL. Its peers and their folders go, those that are paused, too.
func TestNothingOutlivesUs(t *testing.T) {
	_, err := postgresPrograms()
	need(t, err)
	_, err = find("redis-server")
	need(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PEERS_VICTIM=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	left := strings.Fields(line)
	if err != nil || len(left) < 10 {
		t.Errorf("the victim said %q, %v", line, err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for deadline := time.Now().Add(stopWithin); len(left) > 0; time.Sleep(10 * time.Millisecond) {
		if !there(left[0]) {
			left = left[1:]
		} else if time.Now().After(deadline) {
			t.Fatalf("still there: %v", left)
		}
	}
}

// there reports whether a folder is there or a process runs; one that has ended has no working folder any more.
func there(name string) bool {
	if strings.HasPrefix(name, "/") {
		_, err := os.Stat(name)
		return err == nil
	}
	_, err := os.Readlink("/proc/" + name + "/cwd")
	return err == nil
}
