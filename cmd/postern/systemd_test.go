//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A serviceManager does what systemd does for a unit with sockets and
// Type=notify: it keeps the sockets, hands them over, and is told things.
type serviceManager struct {
	t     *testing.T
	addrs []string
	files []*os.File
	names []string
	told  *net.UnixConn
	path  string
}

func newServiceManager(t *testing.T, names ...string) *serviceManager {
	t.Helper()
	m := &serviceManager{t: t, names: names, path: filepath.Join(t.TempDir(), "notify")}
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		m.addrs, m.files = append(m.addrs, l.Addr().String()), append(m.files, f)
		l.Close() // the file is another descriptor of the same socket
		t.Cleanup(func() { f.Close() })
	}
	var err error
	if m.told, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.told.Close() })
	return m
}

// begin starts a process as systemd does.
func (m *serviceManager) begin(dir string, env ...string) *life {
	env = append(env, "NOTIFY_SOCKET="+m.path, fmt.Sprintf("LISTEN_FDS=%d", len(m.files)), "LISTEN_FDNAMES="+strings.Join(m.names, ":"))
	return begin(m.t, dir, `LISTEN_PID=$$ exec "$@"`, m.files, env)
}

// await reads what is told until it begins with state.
func (m *serviceManager) await(state string) string {
	m.t.Helper()
	buf := make([]byte, 4096)
	_ = m.told.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		n, err := m.told.Read(buf)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", state, err)
		}
		if text := string(buf[:n]); strings.HasPrefix(text, state) {
			return text
		}
	}
}

// socketFiles is a configuration whose addresses are the sockets'.
func socketFiles(t *testing.T, m *serviceManager) string {
	dir := gateFiles(t, origin(t))
	put(t, filepath.Join(dir, "postern.hcl"), fmt.Sprintf("proxy { listen = %q }\ninbound { listen = %q }\nadmin { listen = %q }\n", m.addrs[0], m.addrs[1], m.addrs[2]))
	return dir
}

// TestRestartRefusesNobody restarts under load: with the sockets of the service
// manager no connection is refused or reset, and every request is answered.
func TestRestartRefusesNobody(t *testing.T) {
	m := newServiceManager(t, "proxy", "inbound", "admin")
	dir := socketFiles(t, m)
	l := m.begin(dir)
	m.await("READY=1")
	list, leave := senders(t, l, "r", true)
	var wg sync.WaitGroup
	for _, s := range list {
		wg.Go(s.run)
	}
	defer wg.Wait()
	defer leave()
	for range soak(3) {
		time.Sleep(150 * time.Millisecond)
		_ = l.Process.Signal(syscall.SIGTERM)
		m.await("STOPPING=1")
		if code := l.end(30 * time.Second); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		l = m.begin(dir)
		m.await("READY=1")
	}
	time.Sleep(150 * time.Millisecond)
	leave()
	wg.Wait()
	have, answers := stored(t, l.admins), map[int]int{}
	for i, s := range list {
		for status, n := range s.counts {
			answers[status] += n
		}
		if s.counts[200] == 0 {
			t.Errorf("sender %d got nothing", i)
		}
		for _, n := range s.came {
			if id := fmt.Sprintf("r-%d-%d", i, n); i < 6 && !have[id] {
				t.Errorf("%s was acknowledged and is lost", id)
			}
		}
	}
	t.Logf("answers by status %v", answers)
}

// TestServiceManagerIsTold: of reloads and their end, also where they are
// refused, and that the process is alive.
func TestServiceManagerIsTold(t *testing.T) {
	m := newServiceManager(t, "proxy", "inbound", "admin")
	dir := socketFiles(t, m)
	l := m.begin(dir, "WATCHDOG_USEC=300000")
	m.await("READY=1")
	m.await("WATCHDOG=1")
	put(t, filepath.Join(dir, "broken"), "x")
	_ = l.Process.Signal(syscall.SIGHUP)
	if text := m.await("RELOADING=1"); !strings.Contains(text, "\nMONOTONIC_USEC=") {
		t.Errorf("%q", text)
	}
	if text := m.await("READY=1"); !strings.HasSuffix(text, "STATUS=configuration 2 is in force") {
		t.Errorf("%q", text)
	}
	put(t, filepath.Join(dir, "broken.hcl"), "provider")
	_ = l.Process.Signal(syscall.SIGHUP)
	eventually(t, "the refusal is told", func() bool { return strings.Contains(m.await("READY=1"), "refused") })
	m.await("WATCHDOG=1")
	_ = l.Process.Signal(syscall.SIGTERM)
	m.await("STOPPING=1")
	l.end(30 * time.Second)
}

// TestSocketsAreChecked: what others can reach is no gift.
func TestSocketsAreChecked(t *testing.T) {
	tcp := func(s string) net.Addr { a, _ := net.ResolveTCPAddr("tcp", s); return a }
	g, _ := startGate(t, map[string]string{})
	for _, c := range []struct {
		name, configured string
		actual           net.Addr
		ok               bool
	}{
		{"proxy", "127.0.0.1:8080", tcp("127.0.0.1:8080"), true},
		{"proxy", "localhost:8080", tcp("127.0.0.1:8080"), true},
		{"proxy", "127.0.0.1:8080", tcp("127.0.0.1:9090"), true},
		{"proxy", "127.0.0.1:8080", tcp("[::1]:8080"), true},
		{"proxy", "127.0.0.1:8080", tcp("0.0.0.0:8080"), false},
		{"proxy", "localhost:8080", tcp("0.0.0.0:8080"), false},
		{"proxy", "127.0.0.1:8080", tcp("[::]:8080"), false},
		{"admin", "127.0.0.1:8082", tcp("10.0.0.1:8082"), false},
		{"stripe", "127.0.0.1:8091", tcp("10.0.0.1:8091"), false},
		{"admin", "0.0.0.0:8082", tcp("[::]:8082"), true},
		{"inbound", "127.0.0.1:8081", tcp("0.0.0.0:8081"), true},
		{"inbound", ":8081", tcp("[::]:8081"), true},
		{"inbound", "127.0.0.1:8081", &net.UnixAddr{Name: "/run/x", Net: "unix"}, false},
	} {
		if err := g.sockets.check(c.name, c.configured, c.actual); (err == nil) != c.ok {
			t.Errorf("%s configured %s, given %s: %v", c.name, c.configured, c.actual, err)
		}
	}
}

// TestSocketsAreGivenOnce: a provider that is called like one of the process's own
// listeners does not get its socket, or share it.
func TestSocketsAreGivenOnce(t *testing.T) {
	m := newServiceManager(t, "inbound", "stripe")
	s := &sockets{files: map[string]*os.File{"inbound": m.files[0], "stripe": m.files[1]}, own: map[string]bool{}}
	for _, c := range []struct {
		name, address, refusal string
	}{
		{"inbound", m.addrs[0], ""},
		{"inbound", m.addrs[0], `rename the provider "inbound"`},
		{"stripe", m.addrs[1], ""},
		{"stripe", m.addrs[1], ""}, // a reload may open it anew
	} {
		l, _, err := s.open(c.name, c.address)
		if l != nil {
			defer l.Close()
		}
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s: %v, want %q", c.name, err, c.refusal)
		}
	}
}

// TestUnitsVerify holds the units to systemd's own judgement.
func TestUnitsVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no systemd-analyze here")
	}
	dir := t.TempDir()
	units, err := filepath.Glob("../../deploy/systemd/postern*.s*")
	if err != nil || len(units) < 2 {
		t.Fatal(units, err)
	}
	args := []string{"verify", "--recursive-errors=no"}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed where the unit expects it.
		name := filepath.Join(dir, filepath.Base(unit))
		put(t, name, strings.ReplaceAll(string(text), "/usr/local/bin/postern", "/bin/true"))
		args = append(args, name)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", filepath.Join(dir, "postern.service")).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("%s", lines[len(lines)-1])
	if err != nil {
		t.Errorf("%v", err)
	}
	if !strings.Contains(lines[len(lines)-1], ": 1.") {
		t.Errorf("the exposure is not below 2:\n%s", out)
	}
}
