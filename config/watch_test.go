package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWatch: a file that comes late, in a folder that comes late, and a link
// anywhere in a path that is swapped, are changes. What nobody asked for is none. That
// is so, too, in folders in which this process writes all the time.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string][]string{"quiet": nil, "busy": {"", "v1", "v2"}, "not there": {"nowhere"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watch(t, busy)
		})
	}
}

func watch(t *testing.T, busy []string) {
	dir := t.TempDir()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string) { t.Helper(); do(os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600)) }
	for _, d := range []string{"v1", "v2"} {
		do(os.Mkdir(filepath.Join(dir, d), 0o700))
		write(d + "/token")
	}
	link := func(to, name string) {
		t.Helper()
		do(os.Symlink(to, filepath.Join(dir, name+".new")))
		do(os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
	}
	link("v1", "current")

	for i, folder := range busy {
		busy[i] = filepath.Join(dir, folder)
	}
	changed := make(chan struct{}, 16)
	w, err := NewWatcher(func() { changed <- struct{}{} }, busy...)
	do(err)
	w.Folder(dir)
	if told := slices.Contains(w.fs.WatchList(), dir); told == slices.Contains(busy, dir) {
		t.Errorf("the system tells of every write: %v", told)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	defer func() { stop(); <-ended; do(w.Close()) }()
	files := []string{filepath.Join(dir, "late", "deep", "key"), filepath.Join(dir, "current", "token")}
	expect := func(what string, want bool, act func()) {
		t.Helper()
		w.Watch(files...)
		act()
		wait := 10 * time.Second
		if !want {
			wait = 3 * settle
		}
		select {
		case <-changed:
			if !want {
				t.Errorf("%s counts", what)
			}
		case <-time.After(wait):
			if want {
				t.Errorf("%s is not noticed", what)
			}
		}
	}
	expect("another file", false, func() { write("other") })
	expect("the first folder", true, func() { do(os.Mkdir(filepath.Join(dir, "late"), 0o700)) })
	expect("the second folder", true, func() { do(os.Mkdir(filepath.Join(dir, "late", "deep"), 0o700)) })
	expect("the file", true, func() { write("late/deep/key") })
	expect("the folder's end", true, func() { do(os.RemoveAll(filepath.Join(dir, "late"))) })
	expect("its return", true, func() { do(os.MkdirAll(filepath.Join(dir, "late", "deep"), 0o700)) })
	expect("the file's return", true, func() { write("late/deep/key") })
	expect("a swapped link in the path", true, func() { link("v2", "current") })
	expect("a file behind the link", true, func() { do(os.WriteFile(filepath.Join(dir, "v2", "token"), []byte("y"), 0o600)) })
	expect("a policy", true, func() { write("acme.hcl") })
	expect("its replacement", true, func() { link("v1/token", "acme.hcl") })
	expect("what is written beside it", false, func() {
		for range 50 {
			write("postern.db-wal")
			time.Sleep(time.Millisecond)
		}
	})
	expect("its end", true, func() { do(os.Remove(filepath.Join(dir, "acme.hcl"))) })
}
