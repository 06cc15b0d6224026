package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ready is the one line a role prints when it serves: its data address and its control address.
type ready struct {
	Addr    string `json:"addr"`
	Control string `json:"control"`
}

// child is a running peer.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
	log   string
}

// startRole starts this binary again as the role args[0] and waits until it serves.
func startRole(ctx context.Context, dir string, args ...string) (*child, ready, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, ready{}, err
	}
	cmd := exec.Command(self, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, ready{}, err
	}
	c, err := startChild(cmd, dir, strings.Join(args[:1], ""), nil)
	if err != nil {
		return nil, ready{}, err
	}
	stop := context.AfterFunc(ctx, c.stop)
	defer stop()
	var at ready
	if err := json.NewDecoder(stdout).Decode(&at); err != nil {
		c.stop()
		return nil, ready{}, fmt.Errorf("starting %s: %w: %s", args[0], err, c.tail())
	}
	return c, at, nil
}

// startChild starts cmd with a clean environment, its messages in a file, and its life bound to ours.
func startChild(cmd *exec.Cmd, dir, name string, env []string) (*child, error) {
	log, err := os.CreateTemp(logDir(dir), "postern-bench-"+name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		os.Remove(log.Name())
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c := &child{cmd: cmd, stdin: stdin, done: make(chan struct{}), log: log.Name()}
	go func() {
		_ = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// logDir keeps what peers log off the disk that the inbox scenarios fsync, where there is a memory file system.
func logDir(dir string) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return dir
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child: politely for three seconds, then not.
func (c *child) stop() {
	c.stdin.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(3 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	os.Remove(c.log)
}

// tail is the end of what the child said on standard error.
func (c *child) tail() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// forget empties the child's log, so that a line per call does not fill the memory file system.
func (c *child) forget() { _ = os.Truncate(c.log, 0) }

// heap is what a peer's allocator has done since it started.
type heap struct {
	Mallocs float64 `json:"mallocs"`
	Bytes   float64 `json:"bytes"`
}

// serveRole announces the role, serves its control address (/heap, /debug/pprof/profile and what control adds) and
// returns when standard input ends.
func serveRole(data net.Addr, control *http.ServeMux) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control.HandleFunc("GET /heap", func(w http.ResponseWriter, _ *http.Request) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		_ = json.NewEncoder(w).Encode(heap{Mallocs: float64(stats.Mallocs), Bytes: float64(stats.TotalAlloc)})
	})
	control.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	server := &http.Server{Handler: control}
	go func() { _ = server.Serve(listener) }()
	at := ready{Addr: data.String(), Control: listener.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, server.Close())
}

// freePort is a loopback address that nobody listened on a moment ago.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// fetchJSON reads one JSON document from a control address.
func fetchJSON(ctx context.Context, url string, into any) error {
	body, err := fetch(ctx, url)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// fetch reads a control or admin page; any status but 200 is an error.
func fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := controlClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// controlClient never goes through a proxy, whatever the environment says.
var controlClient = &http.Client{Transport: &http.Transport{}}
