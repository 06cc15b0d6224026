//go:build linux

package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	core "k8s.io/api/core/v1"
)

// A stage is one pod, put on a stage of its own: a root file system with the
// binary and what the manifest mounts, to be run in namespaces of its own.
type stage struct {
	Root     string
	Init     []process // run to their end, one after the other
	Main     process
	Post     *process // the postStart hook
	Startup  string   // URL of the startup probe
	Tmpfs    []string // what may be written: emptyDirs and volumes
	Inbound  string   // where webhooks go
	Proxy    string   // for HTTPS_PROXY, with name and token
	Trust    string   // folder of the certificates
	Writable []string // files that have to be there in the end, below the root
}

type process struct {
	Args []string
	Env  []string
}

// mock takes the place of the provider and of the application: everything else
// of the policy is that of the manifest.
const mock = `
provider "stripe" {
  catalog  = "stripe"
  upstream = "http://127.0.0.1:12111"
  credential "bearer" { token = file("/run/secrets/postern/stripe") }
}

webhook "mock" {
  path = "/mock"
  verify "token" {
    header  = "X-Token"
    secrets = [file("/run/secrets/postern/mock")]
  }
  deliver { to = "http://127.0.0.1:3000/hook" }
}
`

// TestRestricted runs the real binary as each manifest says: as user 65532,
// without any capability, with no way to gain one, in a tree of which only the
// declared volumes can be written to. It has to become ready, make a call, take
// and deliver a webhook, and drain.
func TestRestricted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: the security contexts; namespaces need root")
	}
	probe := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^$")
	probe.SysProcAttr = namespaces()
	if err := probe.Run(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the security contexts; this machine gives no namespaces: %v", err)
	}
	for folder, ports := range map[string][2]string{
		"sidecar":         {"http://127.0.0.1:8780", "http://127.0.0.1:8781"},
		"sidecar/classic": {"http://127.0.0.1:8780", "http://127.0.0.1:8781"},
		"gateway":         {"https://billing:" + stageToken + "@127.0.0.1:8080", "http://127.0.0.1:8081"},
		"inbox":           {"http://127.0.0.1:8080", "http://127.0.0.1:8081"},
		"inbox/sqlite":    {"http://127.0.0.1:8080", "http://127.0.0.1:8081"},
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			s := staged(t, built(t, filepath.Join(kubernetes, folder)))
			s.Proxy, s.Inbound = ports[0], ports[1]
			perform(t, s)
		})
	}
}

// namespaces of mounts, network and processes: what is started in them ends with
// the test, and its ports are its own.
func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
}

// perform runs TestMain of this binary again, on the stage.
func perform(t *testing.T, s *stage) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), stageVariable+"="+string(text))
	cmd.SysProcAttr = namespaces()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// staged builds the root file system of the pod that runs Postern.
func staged(t *testing.T, all objects) *stage {
	t.Helper()
	var spec core.PodSpec
	volumes := map[string]string{} // by name: what kind
	files := map[string]map[string]string{}
	for _, o := range all {
		if p, ok := pod(o); ok {
			spec = p
		}
		if c, ok := o.(*core.ConfigMap); ok {
			files[c.Name] = c.Data
		}
	}
	main := postern(t, spec)
	s := &stage{Root: filepath.Join(t.TempDir(), "root")}
	mkdir(t, s.Root)
	install(t, binary(t), filepath.Join(s.Root, "postern"))
	for _, v := range spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			volumes[v.Name] = "config " + v.ConfigMap.Name
		case v.Secret != nil:
			volumes[v.Name] = "secret " + v.Secret.SecretName
		default:
			volumes[v.Name] = "empty"
		}
	}
	mounts := slices.Clone(main.VolumeMounts)
	for _, c := range spec.InitContainers {
		if c.Name != "postern" {
			s.Init = append(s.Init, process{c.Args, stageEnv(c)})
			mounts = append(mounts, c.VolumeMounts...)
		}
	}
	for _, m := range mounts {
		at := filepath.Join(s.Root, m.MountPath)
		mkdir(t, at)
		kind, name, _ := strings.Cut(volumes[m.Name], " ")
		switch {
		case kind == "config":
			data := map[string]string{"mock.hcl": mock}
			for name, text := range files[name] {
				if !strings.Contains(text, `provider "stripe"`) {
					data[name] = text
				}
			}
			asVolume(t, at, data)
		case kind == "secret":
			asVolume(t, at, stageSecret(t, name))
		case m.ReadOnly:
			t.Fatalf("%s can never be written", m.Name)
		case !slices.Contains(s.Tmpfs, m.MountPath):
			s.Tmpfs = append(s.Tmpfs, m.MountPath)
		}
	}
	s.Main = process{main.Args, stageEnv(main)}
	if l := main.Lifecycle; l != nil {
		if command := l.PostStart.Exec.Command; command[0] == "/postern" {
			s.Post = &process{command[1:], s.Main.Env}
		}
	}
	s.Trust = "/var/lib/postern/trust"
	s.Writable = []string{"/var/lib/postern/trust/ca.pem", "/var/lib/postern/key/ca/ca-key.pem"}
	port := main.StartupProbe.HTTPGet.Port
	for _, p := range main.Ports {
		if p.Name == port.String() {
			s.Startup = "http://127.0.0.1:" + stringOf(p.ContainerPort) + main.StartupProbe.HTTPGet.Path
		}
	}
	return s
}

// stageEnv is a container's environment; PostgreSQL is played by SQLite in a
// place that may be written.
func stageEnv(c core.Container) (env []string) {
	for _, e := range c.Env {
		switch {
		case e.Name == "DATABASE_URL":
			env = append(env, "DATABASE_URL=sqlite:/var/lib/postern/key/postern.db")
		case e.Name == "POSTERN_DRAIN_DELAY": // nobody has to hear of it here
			env = append(env, "POSTERN_DRAIN_DELAY=100ms")
		case e.ValueFrom == nil:
			env = append(env, e.Name+"="+e.Value)
		}
	}
	return env
}

func stringOf(n int32) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// asVolume writes files as the kubelet does: ..data is a link to a folder of
// one generation, and each name a link through it.
func asVolume(t *testing.T, at string, data map[string]string) {
	t.Helper()
	mkdir(t, filepath.Join(at, "..2026_01_01"))
	if err := os.Symlink("..2026_01_01", filepath.Join(at, "..data")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	for name, text := range data {
		write(t, filepath.Join(at, "..2026_01_01", name), text)
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(at, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
