package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/versity"
)

// s3Report is what node/s3.mjs prints.
type s3Report struct {
	Same   map[string]bool // what was read is what was put, by the name of the case
	Keys   []string        // that were put below dir/
	Listed []string        // and listed there
	Pages  int
	Left   int // objects after all were deleted
	Error  s3Error
}

// s3Error is what ended it, if anything did.
type s3Error struct {
	Name, Message string
	Status        int
}

// complete checks that all went well.
func (r s3Report) complete(t *testing.T) {
	t.Helper()
	if r.Error.Name != "" {
		t.Fatalf("the client ended with %+v after %v", r.Error, r.Same)
	}
	for name, same := range r.Same {
		if !same {
			t.Errorf("%s: what was read is not what was put", name)
		}
	}
	slices.Sort(r.Keys)
	slices.Sort(r.Listed)
	if len(r.Keys) == 0 || !slices.Equal(r.Keys, r.Listed) || r.Pages < 2 || r.Left != 0 || len(r.Same) < len(r.Keys)+5 {
		t.Errorf("%+v", r)
	}
}

// gateway starts an S3 server and its front door, which end with the test.
func gateway(t *testing.T, ca *faults.CA) (*versity.Gateway, *faults.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s3") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g, err := versity.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, upstream(t, faults.Config{CA: ca, Backend: g, NoH2: true})
}

func s3App(t *testing.T, r harness.Result) s3Report {
	t.Helper()
	var rep s3Report
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil {
		t.Fatalf("the application's report: %v: %v", err, r)
	}
	return rep
}

// TestS3Alone runs the client against the server without Postern: what fails here is not Postern's doing. And it shows
// that the server does check signatures.
func TestS3Alone(t *testing.T) {
	dir := harness.NeedNode(t, "@aws-sdk/client-s3")
	g, front := gateway(t, nil)
	call := func(access, secret string) s3Report {
		env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret}
		return s3App(t, harness.Run(t.Context(), env, t.TempDir(), "node", filepath.Join(dir, "s3.mjs"), "bucket-one", versity.Region, front.URL()))
	}
	call(g.Access, g.Secret).complete(t)
	if rep := call(g.Access, "wrong"+g.Secret); rep.Error.Name != "SignatureDoesNotMatch" || rep.Error.Status != 403 {
		t.Errorf("a wrong secret: %+v", rep)
	}
	if rep := call("AKIADUMMYDUMMYDUMMY0", g.Secret); rep.Error.Name != "XAdminUserNotFound" || rep.Error.Status != 404 {
		t.Errorf("a wrong key: %+v", rep)
	}
	modes := map[string]int{}
	for _, r := range front.Requests() {
		modes[r.Header.Get("X-Amz-Content-Sha256")]++
	}
	if modes["STREAMING-UNSIGNED-PAYLOAD-TRAILER"] == 0 || len(modes) < 5 {
		t.Errorf("the ways to sign a body: %v", modes)
	}
}

const s3Policy = `
provider "aws" {
  catalog  = "aws"
  hosts    = HOSTS
  upstream = "UPSTREAM"
  credential "aws_sigv4" {
    access_key_id     = env("AWS_KEY")
    secret_access_key = env("AWS_SECRET")
  }
}
`

// TestSDKS3: an unmodified client with a key that means nothing puts, lists, reads, copies and deletes, with every kind of
// key and body; the server knows one key, and Postern alone has it.
func TestSDKS3(t *testing.T) {
	dir := harness.NeedNode(t, "@aws-sdk/client-s3")
	ca := authority(t)
	g, front := gateway(t, ca)
	const dummy, dummySecret = "AKIADUMMYDUMMYDUMMY0", "the-application-does-not-know-better"
	start := func(t *testing.T, hosts, secret string) *harness.Postern {
		return harness.Start(t, harness.Files{"aws.hcl": strings.NewReplacer("UPSTREAM", front.URL(), "HOSTS", hosts).Replace(s3Policy)},
			harness.Trusting(ca.File), harness.WithEnv("AWS_KEY", g.Access), harness.WithEnv("AWS_SECRET", secret))
	}
	run := func(t *testing.T, p *harness.Postern, args ...string) s3Report {
		return s3App(t, p.Command([]string{"AWS_ACCESS_KEY_ID=" + dummy, "AWS_SECRET_ACCESS_KEY=" + dummySecret},
			slices.Concat([]string{"exec", "--", "node", filepath.Join(dir, "s3.mjs"), "bucket-two", versity.Region}, args)...))
	}
	check := func(t *testing.T, host string) {
		t.Helper()
		modes := map[string]int{}
		for _, r := range front.Requests() {
			modes[r.Header.Get("X-Amz-Content-Sha256")]++
			if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential="+g.Access+"/") || strings.Contains(auth, dummy) {
				t.Errorf("%s %s bears %q", r.Method, r.Target, auth)
			}
			if r.Host != host {
				t.Errorf("%s %s went to %s", r.Method, r.Target, r.Host)
			}
		}
		if modes["STREAMING-UNSIGNED-PAYLOAD-TRAILER"] == 0 || len(modes) < 5 {
			t.Errorf("the ways to sign a body: %v", modes)
		}
	}
	t.Run("proxy", func(t *testing.T) {
		run(t, start(t, `["*.amazonaws.com"]`, g.Secret)).complete(t)
		check(t, "bucket-two."+versity.Host)
	})
	t.Run("base URL", func(t *testing.T) {
		front.Forget()
		p := start(t, `["`+versity.Host+`"]`, g.Secret)
		run(t, p, "http://"+p.Proxy+"/p/aws").complete(t)
		check(t, versity.Host)
	})
	t.Run("a wrong secret", func(t *testing.T) {
		if rep := run(t, start(t, `["*.amazonaws.com"]`, "wrong"+g.Secret)); rep.Error.Name != "SignatureDoesNotMatch" || rep.Error.Status != 403 {
			t.Errorf("%+v", rep)
		}
	})
}
