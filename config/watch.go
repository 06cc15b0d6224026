package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be quiet before a change counts: editors and
// Kubernetes write in several steps.
const settle = 200 * time.Millisecond

// A Watcher tells when some files may have changed. It watches folders, not
// files: a file that is replaced by a rename, or behind a symbolic link that is
// swapped, is seen too.
type Watcher struct {
	fs      *fsnotify.Watcher
	changed func()

	mu      sync.Mutex
	busy    []os.FileInfo // folders in which this process writes all the time
	looks   looks         // those of them that are watched
	folders map[string]bool
	files   map[string]bool // what counts in any folder
	policy  map[string]bool // folders in which every *.hcl counts
}

// NewWatcher returns a watcher that calls changed, one call at a time. In busy folders
// this process writes all the time, and not what is watched.
func NewWatcher(changed func(), busy ...string) (*Watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &Watcher{fs: fs, changed: changed, looks: looks{}, folders: map[string]bool{}, files: map[string]bool{}, policy: map[string]bool{}}
	for _, folder := range busy {
		if info, err := os.Stat(folder); err == nil {
			w.busy = append(w.busy, info)
		}
	}
	return w, nil
}

// Watch adds files: the name as it is, and every step of the links behind it.
// Where a file's folder does not exist, its appearance counts as a change.
func (w *Watcher) Watch(files ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range files {
		w.follow(filepath.Clean(f), maxLinks)
	}
}

// maxLinks is how many links in a row are followed.
const maxLinks = 8

// follow watches a file and the links that its path is made of.
func (w *Watcher) follow(name string, links int) {
	w.reach(name)
	for step := name; links > 0; step = filepath.Dir(step) {
		if to, err := os.Readlink(step); err == nil {
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(step), to)
			}
			w.reach(step)
			w.follow(filepath.Join(to, strings.TrimPrefix(name, step)), links-1)
		}
		if step == filepath.Dir(step) {
			return
		}
	}
}

// reach watches the folder of a file, or the nearest one above it that exists.
func (w *Watcher) reach(name string) {
	for {
		w.files[name] = true
		folder := filepath.Dir(name)
		if w.add(folder) || folder == name {
			return
		}
		name = folder
	}
}

// Folder adds a folder of configuration: a file that is new in it counts.
func (w *Watcher) Folder(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policy[filepath.Clean(name)] = true
	w.add(name)
}

func (w *Watcher) add(folder string) bool {
	folder = filepath.Clean(folder)
	if !w.folders[folder] {
		if w.isBusy(folder) {
			w.folders[folder] = w.looks.take(folder)
		} else {
			w.folders[folder] = w.fs.Add(folder) == nil
		}
	}
	return w.folders[folder]
}

func (w *Watcher) isBusy(folder string) bool {
	info, err := os.Stat(folder)
	return err == nil && slices.ContainsFunc(w.busy, func(b os.FileInfo) bool { return os.SameFile(b, info) })
}

// look looks through the busy folders, and reports whether something that counts has
// changed in them.
func (w *Watcher) look() (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks.again(func(name string) { changed = changed || w.counted(name) }, func(folder string) { delete(w.folders, folder) })
	return changed
}

// gone takes note that a folder is not watched any more: another one of that
// name would have to be added.
func (w *Watcher) gone(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.folders, filepath.Clean(name))
}

// counts reports whether a change of name matters. Kubernetes swaps the link
// ..data beside the files.
func (w *Watcher) counts(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counted(name)
}

func (w *Watcher) counted(name string) bool {
	name = filepath.Clean(name)
	return w.files[name] || filepath.Base(name) == "..data" || w.policy[filepath.Dir(name)] && strings.HasSuffix(name, ".hcl")
}

// Run reports changes until ctx ends or the watcher is closed.
func (w *Watcher) Run(ctx context.Context) {
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var looked <-chan time.Time
	if len(w.busy) > 0 {
		t := time.NewTicker(lookEvery)
		defer t.Stop()
		looked = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.gone(e.Name)
			}
			if e.Op != fsnotify.Chmod && w.counts(e.Name) {
				quiet.Reset(settle)
			}
		case _, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			quiet.Reset(settle) // events may be lost: look
		case <-looked:
			if w.look() {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			w.changed()
		}
	}
}

// Close stops watching.
func (w *Watcher) Close() error { return w.fs.Close() }
