package clientenv

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func read(t *testing.T, elem ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// tree lists every file under dir with its mode and its identity.
func tree(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	files := make(map[string]fs.FileInfo)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(dir, path)
		files[name] = info
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWriteTrust(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	ca, _ := throwawayCA(t)
	if err := WriteTrust(dir, append([]byte("a comment\n"), ca...)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, dir, CAFile), ca) {
		t.Error("ca.pem is not just the CA")
	}
	if !bytes.Equal(read(t, dir, NodeHook), Hooks()[NodeHook]) || len(Hooks()[NodeHook]) == 0 {
		t.Error("the Node hook is not there")
	}
	roots := certificates(read(t, dir, BundleFile))
	if len(roots) < 50 || !bytes.Equal(roots[0], certificates(ca)[0]) {
		t.Errorf("bundle.pem has %d certificates, or the CA is not the first", len(roots))
	}
	if !x509.NewCertPool().AppendCertsFromPEM(read(t, dir, BundleFile)) {
		t.Error("Go reads no certificate from bundle.pem")
	}
	files := tree(t, dir)
	if len(files) != 3 {
		t.Errorf("the folder holds %v", files)
	}
	for name, info := range files {
		if info.Mode() != 0o644 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if mode(t, dir) != 0o755 || mode(t, filepath.Join(dir, "node")) != 0o755 {
		t.Error("the folders are not 0755")
	}
	if err := CheckTrust(dir); err != nil {
		t.Error(err)
	}
}

// Applications read these files at any time: what is right stays as it is, what changes is replaced, not rewritten.
func TestWriteTrustAgain(t *testing.T) {
	dir := t.TempDir()
	old, _ := throwawayCA(t)
	if err := WriteTrust(dir, old); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	reading, err := os.Open(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()

	if err := WriteTrust(dir, old); err != nil {
		t.Fatal(err)
	}
	for name, info := range tree(t, dir) {
		if !os.SameFile(info, before[name]) || !info.ModTime().Equal(before[name].ModTime()) {
			t.Errorf("%s was written again", name)
		}
	}

	next, _ := throwawayCA(t)
	if err := WriteTrust(dir, append(slices.Clone(next), old...)); err != nil {
		t.Fatal(err)
	}
	for name, info := range tree(t, dir) {
		if changed := !os.SameFile(info, before[name]); changed != (name != filepath.FromSlash(NodeHook)) {
			t.Errorf("%s: replaced is %v", name, changed)
		}
	}
	if got := certificates(read(t, dir, CAFile)); len(got) != 2 {
		t.Errorf("ca.pem has %d certificates while one CA replaces the other, want 2", len(got))
	}
	still := make([]byte, len(old)+1)
	if n, _ := reading.Read(still); !bytes.Equal(still[:n], old) {
		t.Error("a reader saw the file change under it")
	}
}

func TestWriteTrustMendsModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	ca, _ := throwawayCA(t)
	if err := WriteTrust(dir, ca); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(dir, CAFile), 0o600)
	os.Chmod(filepath.Join(dir, BundleFile), 0o666)
	os.Chmod(dir, 0o700)
	if err := WriteTrust(dir, ca); err != nil {
		t.Fatal(err)
	}
	if mode(t, dir) != 0o755 || mode(t, filepath.Join(dir, CAFile)) != 0o644 || mode(t, filepath.Join(dir, BundleFile)) != 0o644 {
		t.Error("the modes were not mended")
	}
}

// A link is replaced, not followed: what it points at is not ours to write.
func TestWriteTrustReplacesLinks(t *testing.T) {
	dir := t.TempDir()
	ca, _ := throwawayCA(t)
	elsewhere := writeTemp(t, "elsewhere", "precious")
	if err := os.Symlink(elsewhere, filepath.Join(dir, CAFile)); err != nil {
		t.Fatal(err)
	}
	if err := WriteTrust(dir, ca); err != nil {
		t.Fatal(err)
	}
	if string(read(t, elsewhere)) != "precious" || !bytes.Equal(read(t, dir, CAFile), ca) {
		t.Error("the link was followed")
	}
}

// C28: the key never gets into the shared folder, whatever is passed by mistake.
func TestC28WriteTrustRefuses(t *testing.T) {
	ca, leaf := throwawayCA(t)
	der, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	leafPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]})
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"key after", "PRIVATE KEY", append(slices.Clone(ca), key...)},
		{"key before", "PRIVATE KEY", append(slices.Clone(key), ca...)},
		{"leaf", "not a CA's", leafPEM},
		{"nothing", "no CA certificate", nil},
		{"noise", "not a PEM text", []byte("hello")},
		{"noise after", "not a PEM text", append(slices.Clone(ca), "hello"...)},
		{"damaged", "parse CA certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})},
	} {
		dir := filepath.Join(t.TempDir(), "trust")
		err := WriteTrust(dir, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was written", c.name)
		}
	}
}

func TestPublicRoots(t *testing.T) {
	first, _ := throwawayCA(t)
	second, leaf := throwawayCA(t)
	der, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	noise := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	a := writeTemp(t, "a.crt", "# roots\n"+string(first)+noise+string(first))
	b := writeTemp(t, "b.crt", string(second))
	empty := writeTemp(t, "empty.crt", noise)
	for _, c := range []struct {
		files []string
		want  []byte
	}{
		{[]string{a, b}, first},
		{[]string{"/nonexistent", empty, b, a}, second},
	} {
		if got := encode(publicRoots(c.files)); !bytes.Equal(got, c.want) {
			t.Errorf("%v: got\n%s", c.files, got)
		}
	}
	mozilla := publicRoots([]string{"/nonexistent", empty})
	if len(mozilla) < 100 {
		t.Errorf("without a system's bundle there are %d roots", len(mozilla))
	}
	for root := range bundle.Roots() {
		_, err := x509.ParseCertificate(root.Certificate)
		listed := slices.ContainsFunc(mozilla, func(der []byte) bool { return bytes.Equal(der, root.Certificate) })
		if err != nil || listed != (root.Constraint == nil) {
			t.Errorf("a root with a constraint: %v, listed: %v, error: %v", root.Constraint != nil, listed, err)
		}
	}
}

func TestCheckTrust(t *testing.T) {
	dir := t.TempDir()
	ca, _ := throwawayCA(t)
	if err := CheckTrust(dir); err == nil {
		t.Error("an empty folder passes")
	}
	if err := WriteTrust(dir, ca); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, BundleFile))
	if err := CheckTrust(dir); err == nil || !strings.Contains(err.Error(), BundleFile) {
		t.Errorf("got %v, want the missing file", err)
	}
}
