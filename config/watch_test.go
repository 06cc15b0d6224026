package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWatch: a file that comes late, in a folder that comes late, and a link
// anywhere in a path that is swapped, are changes. What nobody asked for is none.
func TestWatch(t *testing.T) {
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

	changed := make(chan struct{}, 16)
	w, err := NewWatcher(func() { changed <- struct{}{} })
	do(err)
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
	expect("a file behind the link", true, func() { write("v2/token") })
}
