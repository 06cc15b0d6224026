package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ReadFile reads the key in the file at path, which its owner alone may read.
// The error wraps [fs.ErrNotExist] if there is no file.
func ReadFile(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the seal key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("read the seal key: %w", err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return Key{}, fmt.Errorf("%s is no file with a seal key: move it away", path)
	case mode.Perm()&0o077 != 0:
		return Key{}, fmt.Errorf("%s holds the seal key and is open to other users (mode %04o); run: chmod 600 %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return Key{}, fmt.Errorf("read the seal key: %w", err)
	}
	k, err := Parse(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	if err != nil {
		return Key{}, fmt.Errorf("%s cannot be used: %w; a database that was sealed needs the key that was here before", path, err)
	}
	return k, nil
}

// CreateFile makes a new key in a file at path that its owner alone may read,
// whole and on disk, or not at all. It never writes over a file: of several that
// make one at once, all get the key of the first.
func CreateFile(path string) (Key, error) {
	if err := publish(path, Generate()+"\n"); err != nil {
		return Key{}, fmt.Errorf("make a seal key in %s: %w", path, err)
	}
	return ReadFile(path)
}

// publish makes text appear at path.
func publish(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
