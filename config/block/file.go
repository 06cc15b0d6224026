package block

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A file with a secret is replaced while Postern runs: by a rename, by a link
// that is swapped, by truncating and writing. Each loading of the configuration
// reads it once. One that is written in place is waited for until it was left
// alone for a moment. One that cannot be read, or is empty, has its last good
// value for a short grace; then that is given up, also by the configurations
// that have it already: a secret that was deleted is not used for long.
const (
	maxSecret = 64 << 10               // bytes
	quiet     = 500 * time.Millisecond // without a change, and a file counts as written
	patience  = 2 * time.Second        // with one that is written on and on
	grace     = 10 * time.Second
)

var (
	errNothing   = errors.New("it is empty: nothing was put into it yet")
	errWithdrawn = errors.New("it was deleted or emptied, and its last value is not used any more")
)

// file is what is known of one file beyond one loading.
type file struct {
	withdrawn atomic.Int64 // how often its value was given up

	mu    sync.Mutex  // held while it is read
	value string      // the last good one, "" if there is none
	info  fs.FileInfo // of what it was read from
	lost  time.Time   // since when it cannot be read, or is empty; zero if it can
}

// held is what one loading found in a file.
type held struct {
	value     string
	err       error
	withdrawn int64 // of the file by then
}

// file is the content of a file as this loading found it, unless that was given
// up meanwhile.
func (c *Context) file(name string) (string, error) {
	c.mu.Lock()
	h, ok := c.held[name]
	c.mu.Unlock()
	if !ok {
		h = c.Secrets.look(name)
		c.mu.Lock()
		c.held[name] = h
		c.mu.Unlock()
	}
	if h.err == nil && c.Secrets.entry(name).withdrawn.Load() != h.withdrawn {
		return "", errWithdrawn
	}
	return h.value, h.err
}

// reread reads a file again, and reports whether it has another content.
func (c *Context) reread(name string) bool {
	h := c.Secrets.look(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := h.err == nil && h.value != c.held[name].value
	if changed {
		c.held[name] = h
	}
	return changed
}

// Files lists the files that were looked for, to be watched.
func (s *Secrets) Files() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.AppendSeq(slices.Collect(maps.Keys(s.files)), maps.Keys(s.plain))
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Secrets) secretFiles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.files))
}

// maxPlain is how large a file may be that is part of a policy, in bytes.
const maxPlain = 1 << 20

// ReadFile reads a file that is part of a policy and no secret. It is watched
// from now on, also if it is not there yet.
func (c *Context) ReadFile(name string) ([]byte, error) {
	s := c.Secrets
	s.mu.Lock()
	s.plain[name] = true
	s.mu.Unlock()
	text, _, err := readRegular(name, maxPlain)
	switch p := (*fs.PathError)(nil); {
	case errors.As(err, &p):
		return nil, p.Err
	case err != nil:
		return nil, err
	case len(text) > maxPlain:
		return nil, errors.New("it is larger than 1 MiB")
	}
	return text, nil
}

// Look reads all files again, for the sake of those that are gone: a loading
// that is refused may not have come to them. It returns when the next value is
// to be given up; zero is never.
func (s *Secrets) Look() (next time.Time) {
	for _, name := range s.secretFiles() {
		s.look(name)
		f := s.entry(name)
		f.mu.Lock()
		if end := f.lost.Add(grace); !f.lost.IsZero() && (next.IsZero() || end.Before(next)) {
			next = end
		}
		f.mu.Unlock()
	}
	return next
}

func (s *Secrets) entry(name string) *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[name] == nil {
		s.files[name] = new(file)
	}
	return s.files[name]
}

// changed is when a file was, zero if it cannot be read.
func (s *Secrets) changed(name string) time.Time {
	f := s.entry(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.info == nil {
		return time.Time{}
	}
	return f.info.ModTime()
}

// look reads a file.
func (s *Secrets) look(name string) held {
	f := s.entry(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	ref := reference{kind: "file", name: name}.String()
	value, info, err := f.read(name)
	if err == nil && value == "" {
		err = errNothing
	}
	switch now := time.Now(); {
	case err == nil:
		if !f.lost.IsZero() {
			s.tell(Change{Ref: ref})
		}
		f.value, f.info, f.lost = value, info, time.Time{}
	case f.value == "": // there is nothing to go on with
	case f.lost.IsZero():
		f.lost = now
		s.tell(Change{Ref: ref, Err: err, Kept: true, Till: now.Add(grace)})
		err = nil
	case now.Before(f.lost.Add(grace)):
		err = nil
	default:
		f.value, f.info, f.lost = "", nil, time.Time{}
		f.withdrawn.Add(1)
		s.gen.Add(1)
		s.tell(Change{Ref: ref, Err: err})
	}
	return held{f.value, err, f.withdrawn.Load()}
}

// read reads a file when nobody is at writing it.
func (f *file) read(name string) (value string, info fs.FileInfo, err error) {
	for end := time.Now().Add(patience); ; {
		value, info, err = readSecret(name)
		left := f.unsettled(info)
		if err != nil || left <= 0 || time.Now().After(end) {
			return value, info, err
		}
		time.Sleep(left)
	}
}

// unsettled is how long a file that is being written in place has to be left
// alone before its content counts.
func (f *file) unsettled(info fs.FileInfo) time.Duration {
	if f.info == nil || info == nil || !os.SameFile(f.info, info) || f.info.ModTime().Equal(info.ModTime()) && f.info.Size() == info.Size() {
		return 0
	}
	if age := time.Since(info.ModTime()); age >= 0 {
		return quiet - age
	}
	return 0
}

// readSecret reads a regular file of up to 64 KiB, following symbolic links as
// Kubernetes makes them, and trims one trailing newline.
func readSecret(name string) (string, fs.FileInfo, error) {
	for _, special := range []string{"/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(filepath.Clean(name)+"/", special) {
			return "", nil, errors.New("it is not a place for secrets")
		}
	}
	text, info, err := readRegular(name, maxSecret)
	switch p := (*fs.PathError)(nil); {
	case errors.As(err, &p):
		return "", nil, fmt.Errorf("it cannot be read: %w", p.Err)
	case err != nil:
		return "", nil, err
	case len(text) > maxSecret:
		return "", nil, errors.New("it is larger than 64 KiB")
	}
	v := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(v, "\r"), info, nil
}

func readRegular(name string, most int64) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(name) // before it is opened: that of a pipe would wait
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, nil, err
	}
	info, err = f.Stat() // of the very file that was read, after it was
	return text, info, err
}
