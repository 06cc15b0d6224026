package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postern-proxy/postern/e2e/canary"
	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// bank is a provider that wants client certificates, with two that it is shown: a good one and a stranger's.
type bank struct {
	policy  string
	trusted string // PEM file of all whom Postern has to trust
	files   map[string]string
	calls   atomic.Int64
}

func (l *leak) bank(ca *faults.CA) *bank {
	b := &bank{files: map[string]string{}}
	roots := x509.NewCertPool()
	for _, name := range []string{"good", "stranger"} {
		cert, key := clientPair(l, name)
		b.files["secrets/"+name+".pem"], b.files["secrets/"+name+"-key.pem"] = cert, key
		if name == "good" {
			roots.AppendCertsFromPEM([]byte(cert))
		}
		line := strings.Split(key, "\n")[2] // the first one of its text is the same in all keys
		l.secrets["key of "+name] = canary.Known("key of "+name, line)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.calls.Add(1)
		l.echo(w, r)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	srv.StartTLS()
	l.t.Cleanup(srv.Close)
	theirs, err := os.ReadFile(ca.File)
	if err != nil {
		l.t.Fatal(err)
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	b.trusted = filepath.Join(l.t.TempDir(), "trusted.pem")
	if err := os.WriteFile(b.trusted, append(theirs, own...), 0o600); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"good", "stranger"} {
		host := map[string]string{"good": "bank", "stranger": "stranger"}[name]
		b.policy += fmt.Sprintf(`
provider %q {
  hosts    = ["%s.test"]
  upstream = %q
  credential "mtls" {
    cert = file("secrets/%s.pem")
    key  = file("secrets/%s-key.pem")
  }
}
`, host, host, srv.URL, name, name)
	}
	return b
}

func (b *bank) write(p *harness.Postern) {
	for name, text := range b.files {
		p.Write(name, text)
	}
}

func clientPair(l *leak, name string) (cert, key string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		l.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// certificates makes calls with client certificates: a good one, one that is refused, and one whose key does not fit any
// more, with which the last good one goes on.
func (l *leak) certificates(b *bank) {
	call := func(host string) {
		l.call(http.MethodPost, "https://"+host+".test/v1/things", `{"a":1}`, "Content-Type", "application/json")
	}
	call("bank")
	call("stranger")
	if n := b.calls.Load(); n != 1 {
		l.t.Errorf("the bank had %d calls, want the one of whom it knows", n)
	}
	l.p.Write("secrets/good-key.pem", b.files["secrets/stranger-key.pem"])
	l.await("does not match", func() {
		if err := l.p.Signal(syscall.SIGHUP); err != nil {
			l.t.Error(err)
		}
	})
	call("bank")
	if n := b.calls.Load(); n != 2 {
		l.t.Errorf("the bank had %d calls, want one more with the last good certificate", n)
	}
	l.p.Write("secrets/good-key.pem", b.files["secrets/good-key.pem"])
}

// await does something until the log says what.
func (l *leak) await(what string, do func()) {
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(l.p.Stderr(), what); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Errorf("the log does not say %q", what)
			return
		}
		do()
	}
}

// echoes has providers repeat credentials in compressed answers, and wants to hear of it.
func (l *leak) echoes() {
	before := l.p.Metric("postern_credential_echoes_total", `provider="query"`)
	for _, host := range []string{"bearer", "basic", "header", "query", "path", "body"} {
		l.call(http.MethodPost, "https://"+host+".test/v1/things?say=gzip", `{"a":1}`, "Content-Type", "application/json", "Accept-Encoding", "br, gzip")
	}
	if after := l.p.Metric("postern_credential_echoes_total", `provider="query"`); before == 0 || after != before+1 {
		l.t.Errorf("%v echoes of a query were counted before, and %v after one that was compressed", before, after)
	}
	if !strings.Contains(l.p.Stderr(), "the provider sent the credential back; it was masked") || strings.Contains(l.p.Stderr(), "the application was given it") {
		l.t.Error("the log does not say that echoes were masked, all of them")
	}
}

// underWay makes calls that their provider does not answer.
func (l *leak) underWay(provider *faults.Server) *sync.WaitGroup {
	hosts := []string{"basic", "header", "query", "path", "body"}
	provider.Script(faults.Hang(), faults.Hang(), faults.Hang(), faults.Hang(), faults.Hang())
	before, wg := provider.Sends(), new(sync.WaitGroup)
	for _, host := range hosts {
		wg.Go(func() {
			_, _ = harness.Do(l.c, http.MethodPost, "https://"+host+".test/v1/hangs", `{"a":1}`, "Content-Type", "application/json")
		})
	}
	if err := provider.WaitSends(before+len(hosts), 30*time.Second); err != nil {
		l.t.Error(err)
	}
	return wg
}

// profiles collects all that pprof has, while calls are under way.
func (l *leak) profiles() {
	for _, path := range []string{
		"heap", "heap?debug=1", "heap?gc=1", "allocs?debug=1", "goroutine?debug=1", "goroutine?debug=2", "threadcreate?debug=1", "block?debug=1", "mutex?debug=1",
		"profile?seconds=1", "trace?seconds=1",
	} {
		status, body, err := l.p.Get("/debug/pprof/" + path)
		if err != nil || status != http.StatusOK || body == "" {
			l.t.Errorf("pprof %s: %d, %d bytes, %v", path, status, len(body), err)
		}
		l.texts["pprof "+path] = unzipped(body)
	}
	if !strings.Contains(l.texts["pprof goroutine?debug=2"], "credential") {
		l.t.Error("positive control: no stage of a credential is on a stack")
	}
}

// process collects what the system shows of the process.
func (l *leak) process() {
	for _, name := range []string{"environ", "cmdline", "limits", "status"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", l.p.Pid(), name))
		if err != nil && !os.IsPermission(err) {
			l.t.Error(err)
		}
		l.texts["/proc/PID/"+name] = string(b)
	}
	if env := l.texts["/proc/PID/environ"]; env != "" && !strings.Contains(env, "BEARER_NEW=\x00") {
		l.t.Errorf("positive control: the environment is %q", env)
	}
	for line := range strings.Lines(l.texts["/proc/PID/limits"]) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && (f[4] != "0" || f[5] != "0") {
			l.t.Errorf("core dumps are on: %s", line)
		}
	}
}

// unzipped is text, or what it holds if it is compressed.
func unzipped(text string) string {
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		return text
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, z); err != nil {
		return text + err.Error()
	}
	return b.String()
}
