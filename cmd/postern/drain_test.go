//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/peers"
)

// A life is one process of postern run.
type life struct {
	*exec.Cmd
	t                      *testing.T
	proxy, inbound, admins string
	ended                  chan struct{} // closed after Wait
}

// begin starts a process in dir by way of command, which runs "$@", and returns
// when it has said where it listens.
func begin(t *testing.T, dir, command string, files []*os.File, env []string, args ...string) *life {
	t.Helper()
	l := &life{t: t, Cmd: exec.Command("sh", append([]string{"-c", command, "sh", "postern", "-c", dir, "run"}, args...)...), ended: make(chan struct{})}
	l.Env, l.ExtraFiles = append(os.Environ(), env...), files
	var log strings.Builder
	l.Stderr = &log
	out, err := l.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	at := regexp.MustCompile(`^  (outbound|inbound|admin)  +http://(\S+)`)
	for l.admins == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			_ = l.Wait()
			t.Fatalf("it ended before it listened: %s", log.String())
		}
		if m := at.FindStringSubmatch(line); m != nil {
			*map[string]*string{"outbound": &l.proxy, "inbound": &l.inbound, "admin": &l.admins}[m[1]] = m[2]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines); _ = l.Wait(); close(l.ended) }()
	t.Cleanup(func() {
		_ = l.Process.Kill()
		<-l.ended
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	return l
}

// end waits for the process to end by itself.
func (l *life) end(within time.Duration) (code int) {
	l.t.Helper()
	select {
	case <-l.ended:
		return l.ProcessState.ExitCode()
	case <-time.After(within):
		l.t.Fatalf("it still runs after %v", within)
	}
	return -1
}

const exact = `exec "$@"`

// gateFiles writes the configuration of a gate with a webhook and a provider.
func gateFiles(t *testing.T, upstream string) (dir string) {
	dir = t.TempDir()
	put(t, filepath.Join(dir, "postern.hcl"), "proxy { listen = \"127.0.0.1:0\" }\ninbound { listen = \"127.0.0.1:0\" }\nadmin { listen = \"127.0.0.1:0\" }\n")
	put(t, filepath.Join(dir, "p.hcl"), fmt.Sprintf("provider \"p\" {\n  hosts = [\"p.example\"]\n  upstream = %q\n}\nwebhook \"w\" {\n  path = \"/w\"\n  verify \"none\" {}\n  event { id = body.id }\n  deliver { to = %q }\n}\n", upstream, upstream+"/app"))
	return dir
}

// A sender sends requests over one connection after the other, and knows what
// each became.
type sender struct {
	t       *testing.T
	addr    string
	request func(n int) (head, body string)
	leave   chan struct{}
	patient bool // tries again when nobody listens
	came    []int
	counts  map[int]int
}

func (s *sender) run() {
	for n := 0; ; {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) || s.patient {
				s.t.Errorf("dial: %v", err)
			}
			return
		}
		more := s.talk(c, &n)
		c.Close()
		select {
		case <-s.leave:
			return
		default:
		}
		if !more {
			return
		}
	}
}

func (s *sender) talk(c net.Conn, n *int) (more bool) {
	r := bufio.NewReader(c)
	for first := true; ; first = false {
		*n++
		head, body := s.request(*n)
		_, werr := io.WriteString(c, head)
		if werr == nil && *n%3 == 0 {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		if werr == nil {
			_, werr = io.WriteString(c, body)
		}
		resp, err := http.ReadResponse(r, nil)
		if first && errors.Is(err, syscall.ECONNRESET) && !s.patient {
			return false // it was not accepted any more
		}
		if err != nil {
			s.t.Errorf("no answer: %v (writing: %v)", err, werr)
			return false
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			s.t.Errorf("half an answer: %v after %q", err, text)
			return false
		}
		s.counts[resp.StatusCode]++
		switch {
		case resp.StatusCode == http.StatusOK:
			s.came = append(s.came, *n)
		case resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "":
			s.t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
		}
		select {
		case <-s.leave:
			return false
		default:
		}
		if resp.Close {
			return true
		}
	}
}

// senders are six of webhooks, then four of calls.
func senders(t *testing.T, l *life, round string, patient bool) (list []*sender, leave func()) {
	stop := make(chan struct{})
	for i := range 10 {
		s := &sender{t: t, leave: stop, patient: patient, counts: map[int]int{}}
		s.addr, s.request = l.inbound, func(n int) (string, string) {
			body := fmt.Sprintf(`{"id":"%s-%d-%d"}`, round, i, n)
			return fmt.Sprintf("POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body)), body
		}
		if i >= 6 {
			s.addr, s.request = l.proxy, func(int) (string, string) {
				body := strings.Repeat("x", rand.IntN(5000))
				return fmt.Sprintf("POST http://p.example/ HTTP/1.1\r\nHost: p.example\r\nContent-Length: %d\r\n\r\n", len(body)), body
			}
		}
		list = append(list, s)
	}
	return list, sync.OnceFunc(func() { close(stop) })
}

// stored lists the provider's ids of all events.
func stored(t *testing.T, at string) map[string]bool {
	t.Helper()
	c, err := admin.NewClient(at, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events, err := listed(t.Context(), c, admin.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.EventID] = true
	}
	return ids
}

func soak(n int) int {
	if by, _ := strconv.Atoi(os.Getenv("POSTERN_SOAK")); by > 0 {
		return n * by
	}
	return n
}

// origin answers calls and takes webhooks, quickly.
func origin(t *testing.T) string {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(up.Close)
	return up.URL
}

// TestF40SIGTERM ends the process at random moments under load, over and over:
// every webhook and every call that was written whole gets a whole answer, or
// nobody listened; each webhook that was acknowledged is there at the next start.
func TestF40SIGTERM(t *testing.T) {
	dir := gateFiles(t, origin(t))
	acked := map[string]bool{}
	for round := range soak(4) {
		l := begin(t, dir, exact, nil, nil, "--drain-delay", []string{"0s", "150ms"}[round%2])
		name := strconv.Itoa(round)
		list, leave := senders(t, l, name, false)
		var wg sync.WaitGroup
		for _, s := range list {
			wg.Go(s.run)
		}
		time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond)
		if err := l.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := l.end(30 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
		leave()
		wg.Wait()
		counts := map[int]int{}
		for i, s := range list {
			for status, n := range s.counts {
				counts[status] += n
			}
			for _, n := range s.came {
				if i < 6 {
					acked[fmt.Sprintf("%s-%d-%d", name, i, n)] = true
				}
			}
		}
		t.Logf("round %d: answers by status %v", round, counts)
	}
	l := begin(t, dir, exact, nil, nil)
	have := stored(t, l.admins)
	for id := range acked {
		if !have[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	t.Logf("%d acknowledged, %d stored", len(acked), len(have))
}

// TestSecondSignalEndsNow: with a call that would keep the process for long.
func TestSecondSignalEndsNow(t *testing.T) {
	there, hold := make(chan bool, 1), make(chan bool)
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { there <- true; <-hold }))
	defer up.Close()
	defer close(hold)
	l := begin(t, gateFiles(t, up.URL), exact, nil, []string{"POSTERN_DRAIN_DELAY=1m"})
	go func() { _, _ = http.Get("http://" + l.proxy + "/p/p/") }()
	<-there
	start := time.Now()
	_ = l.Process.Signal(syscall.SIGTERM)
	eventually(t, "readiness ends", func() bool {
		code, err := probe(context.Background(), "http://"+l.admins+"/readyz")
		return err == nil && code == http.StatusServiceUnavailable
	})
	_ = l.Process.Signal(os.Interrupt)
	if code := l.end(10 * time.Second); code != exitFailure || time.Since(start) > 10*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(start))
	}
}

// TestF40StoreThatDoesNotAnswer: the drain ends in time all the same, and
// webhooks under way get a 503.
func TestF40StoreThatDoesNotAnswer(t *testing.T) {
	pg := peers.PostgresFor(t, peers.PostgresOptions{})
	dir := gateFiles(t, origin(t))
	put(t, filepath.Join(dir, "store.hcl"), fmt.Sprintf("store { url = %q }\n", pg.URL("postgres")))
	l := begin(t, dir, exact, nil, nil)
	post := func(id int) *http.Response {
		resp, err := http.Post("http://"+l.inbound+"/w", "", strings.NewReader(fmt.Sprintf(`{"id":"%d"}`, id)))
		if err != nil {
			t.Error(err)
			return &http.Response{Header: http.Header{}}
		}
		resp.Body.Close()
		return resp
	}
	if resp := post(0); resp.StatusCode != 200 {
		t.Fatal(resp)
	}
	if err := pg.Pause(); err != nil {
		t.Fatal(err)
	}
	defer pg.Continue()
	var wg sync.WaitGroup
	for id := range 4 {
		wg.Go(func() {
			if resp := post(id + 1); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
		})
	}
	time.Sleep(200 * time.Millisecond) // they are in; if not, they are refused below
	start := time.Now()
	_ = l.Process.Signal(syscall.SIGTERM)
	wg.Wait()
	l.end(30 * time.Second)
	t.Logf("it took %v", time.Since(start))
}

// TestDrainDelayKeepsServing: readiness ends at once, service does not.
func TestDrainDelayKeepsServing(t *testing.T) {
	l := begin(t, gateFiles(t, origin(t)), exact, nil, nil, "--drain-delay", "2s")
	_ = l.Process.Signal(syscall.SIGTERM)
	eventually(t, "readiness ends", func() bool {
		code, _ := probe(context.Background(), "http://"+l.admins+"/readyz")
		return code == http.StatusServiceUnavailable
	})
	resp, err := http.Post("http://"+l.inbound+"/w", "", strings.NewReader(`{"id":"1"}`))
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
	if resp, err := http.Get("http://" + l.proxy + "/p/p/"); err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v %v", resp, err)
	}
	if code := l.end(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainDelayIsRead refuses what is no duration.
func TestDrainDelayIsRead(t *testing.T) {
	t.Setenv("POSTERN_DRAIN_DELAY", "5s")
	if d, err := drainDelay(time.Second, true); d != time.Second || err != nil {
		t.Error(d, err)
	}
	if d, err := drainDelay(0, false); d != 5*time.Second || err != nil {
		t.Error(d, err)
	}
	for _, bad := range []string{"5", "-1s", "soon"} {
		t.Setenv("POSTERN_DRAIN_DELAY", bad)
		if _, err := drainDelay(0, false); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
