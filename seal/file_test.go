package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db.seal")
	if _, err := ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	k, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for name, again := range map[string]func(string) (Key, error){"read": ReadFile, "made again": CreateFile} {
		if got, err := again(path); err != nil || got.ID() != k.ID() {
			t.Errorf("%s: %s, %v, want %s", name, got, err, k)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("beside it is %v", left)
	}
}

// TestFileMadeByMany: those that make one at once all get the same key.
func TestFileMadeByMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			k, err := CreateFile(path)
			if err != nil {
				t.Error(err)
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several keys: %v", ids)
		}
	}
}

func TestFileRefuses(t *testing.T) {
	whole := Generate() + "\n"
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"with a line of Windows": {strings.TrimSpace(whole) + "\r\n", 0o600, ""},
		"read-only":              {whole, 0o400, ""},
		"read by the group":      {whole, 0o640, "is open to other users (mode 0640); run: chmod 600 "},
		"read by everybody":      {whole, 0o604, "is open to other users (mode 0604); run: chmod 600 "},
		"written by the group":   {whole, 0o620, "is open to other users"},
		"empty":                  {"", 0o600, "it is no seal key"},
		"cut short":              {whole[:30], 0o600, "it is no whole seal key"},
		"two keys":               {whole + whole, 0o600, "it is no whole seal key"},
		"an empty line":          {whole + "\n", 0o600, "it is no whole seal key"},
		"something else":         {"hello\n", 0o600, "needs the key that was here before"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		for _, read := range []func(string) (Key, error){ReadFile, CreateFile} {
			k, err := read(path)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || k != (Key{})) {
				t.Errorf("%s: %v, %v", name, k, err)
			}
			if err != nil && strings.Contains(err.Error(), strings.TrimPrefix(whole, keyPrefix)[:10]) {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
		if text, _ := os.ReadFile(path); string(text) != c.text {
			t.Errorf("%s was written over", name)
		}
	}
	dir := t.TempDir()
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(filepath.Join(dir, "link")); err == nil {
		t.Error("a key was made behind a link that leads nowhere")
	}
	if _, err := CreateFile(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestFileOnAFullDisk: a key that cannot be written leaves nothing behind.
func TestFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: a small disk needs the right to mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "key")
	if k, err := CreateFile(path); err == nil {
		t.Fatalf("made %s", k)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(path); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
