package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const compose = "../compose"

// TestCompose loads the file as Compose does, the schema included, and checks
// what its README promises.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(compose, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string, env types.Mapping) (*types.Project, error) {
		return loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir: compose, Environment: env,
			ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
		})
	}
	token := types.Mapping{"APP_TOKEN": "t0ken"}
	p, err := load(string(text), token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(string(text), nil); err == nil || !strings.Contains(err.Error(), "APP_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	if _, err := load(strings.Replace(string(text), "read_only:", "readonly:", 1), token); err == nil {
		t.Error("a wrong name is taken")
	}

	app, postern := p.Services["app"], p.Services["postern"]
	for service, needs := range map[string][]string{"app": {"postern"}, "postern": {"postgres", "redis"}} {
		for _, need := range needs {
			if d := p.Services[service].DependsOn[need]; d.Condition != types.ServiceConditionHealthy || p.Services[need].HealthCheck == nil {
				t.Errorf("%s does not wait for %s: %+v", service, need, d)
			}
		}
	}
	if !postern.ReadOnly || postern.User != "65532:65532" || !slices.Equal(postern.CapDrop, []string{"ALL"}) || !slices.Contains(postern.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("Postern may too much: %+v", postern)
	}
	if grace := postern.StopGracePeriod; grace == nil || time.Duration(*grace) < 29*time.Second {
		t.Errorf("it is killed after %v", grace)
	}
	for _, v := range app.Volumes {
		if v.Source != "trust" || !v.ReadOnly {
			t.Errorf("the application mounts %+v", v)
		}
	}
	for name := range app.Networks {
		if !p.Networks[name].Internal {
			t.Errorf("the application is on %s, by which it leaves", name)
		}
	}
	if _, out := postern.Networks["outside"]; !out || bool(p.Networks["outside"].Internal) {
		t.Error("Postern cannot leave")
	}
	var named []string
	for _, s := range postern.Secrets {
		named = append(named, "/run/secrets/"+s.Source)
	}
	files, _ := filepath.Glob(compose + "/policy/*.hcl")
	for _, name := range files {
		policy, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(policy), `file("`)[1:] {
			if secret, _, _ := strings.Cut(part, `"`); !slices.Contains(named, secret) {
				t.Errorf("%s wants %s, and Postern has %v", name, secret, named)
			}
		}
	}
	// docker compose reads the application's variables from the file and then from
	// `environment`; a blank in the file would be an empty proxy.
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if v := app.Environment[name]; v == nil || *v != "http://app:t0ken@postern:8080" {
			t.Errorf("%s is %v", name, v)
		}
	}
}
