package harness

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Files is a configuration folder: names to contents. "PROXY", "INBOUND", "ADMIN" and "CONNECT" in a content stand for the
// listeners' addresses. Without a postern.hcl, Main is written.
type Files map[string]string

// Main is the process configuration of a test that has no wishes: three loopback listeners, all else by default.
const Main = `
proxy { listen = "PROXY" }
inbound { listen = "INBOUND" }
admin { listen = "ADMIN" }
`

// Postern is one configuration folder and the process that runs it, dead or alive.
type Postern struct {
	Dir     string // the configuration folder; the process's data is created in it
	Proxy   string // host:port of each listener, the same over restarts
	Inbound string
	Admin   string
	Connect string // listened on where a content says so

	AdminToken string // that Get shows; "" is none

	t      testing.TB
	binary string
	env    []string
	home   string
	log    capture
	proc   *process
}

// Option changes how a Postern is started.
type Option func(*Postern)

// WithEnv adds a variable to Postern's own environment, which no application shares.
func WithEnv(name, value string) Option {
	return func(p *Postern) { p.env = append(p.env, name+"="+value) }
}

// Trusting makes Postern trust the upstream certificates signed by the CA in file, and no others.
func Trusting(file string) Option { return WithEnv("SSL_CERT_FILE", file) }

// New writes the folder and picks the ports, and starts nothing.
func New(t testing.TB, files Files, options ...Option) *Postern {
	t.Helper()
	base := t.TempDir()
	p := &Postern{
		t: t, binary: Binary(t), Dir: filepath.Join(base, "conf"), home: filepath.Join(base, "home"),
		Proxy: freeAddr(t), Inbound: freeAddr(t), Admin: freeAddr(t), Connect: freeAddr(t),
	}
	for _, dir := range []string{p.Dir, p.home} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.env = p.BaseEnv()
	for _, o := range options {
		o(p)
	}
	files = maps.Clone(files)
	if _, ok := files["postern.hcl"]; !ok {
		files["postern.hcl"] = Main
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p.Write(name, files[name])
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("postern's stderr, its end:\n%s", tail(p.log.err.String(), 2500))
		}
	})
	return p
}

// Start is New, and the process running and ready.
func Start(t testing.TB, files Files, options ...Option) *Postern {
	t.Helper()
	p := New(t, files, options...)
	p.Run()
	return p
}

// Write puts a file into the folder, with the placeholders of Files replaced.
func (p *Postern) Write(name, content string) {
	p.t.Helper()
	content = strings.NewReplacer(`"PROXY"`, quote(p.Proxy), `"INBOUND"`, quote(p.Inbound), `"ADMIN"`, quote(p.Admin), `"CONNECT"`, quote(p.Connect)).Replace(content)
	path := filepath.Join(p.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// BaseEnv is the environment of everything the harness starts: a path, an empty home, no proxy, no secret.
func (p *Postern) BaseEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "LANG=C.UTF-8", "TMPDIR=" + p.home}
}

const (
	lowestPort = 20000 // of those that are handed out
	ports      = 12000
)

// handed counts the ports that this process has handed out, from firstPort on: somewhere, because other test processes
// hand out ports too.
var (
	handed    atomic.Int64
	firstPort = rand.Int64N(ports)
)

// freeAddr picks a loopback port below the range from which outgoing connections take theirs, so that nothing takes it
// while the process is down. No two are the same: who has one may not listen on it yet.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", lowestPort+(firstPort+handed.Add(1))%ports)
		ln, err := net.Listen("tcp4", addr)
		if err != nil {
			continue
		}
		ln.Close()
		return addr
	}
	t.Fatal("no free port")
	return ""
}

func quote(s string) string { return `"` + s + `"` }

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
