package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// full is a file on a disk that has room for so many bytes.
type full struct {
	*os.File
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:min(len(p), f.room)])
	if f.room -= n; err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

// TestExportToAFullDisk: of a page that does not fit nothing stays, so that it is
// there once when the export goes on.
func TestExportToAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.ndjson")
	f, err := continued(path, false)
	if err != nil {
		t.Fatal(err)
	}
	out := paged{&full{f, 12}}
	if _, err := out.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("3\nfour\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a page on a full disk: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = continued(path, true); err != nil {
		t.Fatal(err)
	}
	if _, err := (paged{f}).Write([]byte("3\nfour\n")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one\ntwo\n3\nfour\n" || f.Close() != nil {
		t.Errorf("%q, %v", text, err)
	}
}
