package config

import (
	"os"
	"path/filepath"
)

// lookEvery is how often folders are looked through in which this process itself
// writes all the time. The system would tell of every write there, which costs more
// than the write.
const lookEvery = settle

// looks is what was there at the last look, by folder and name.
type looks map[string]map[string]os.FileInfo

// take looks a folder through; false if it cannot be read.
func (l looks) take(folder string) bool {
	there := look(folder)
	if there != nil {
		l[folder] = there
	}
	return there != nil
}

// look lists a folder, nil if it cannot be read.
func look(folder string) map[string]os.FileInfo {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	there := make(map[string]os.FileInfo, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it has just gone
			there[filepath.Join(folder, e.Name())] = info
		}
	}
	return there
}

// again looks every folder through once more, and calls changed with each name that is
// new, gone or different, and gone with each folder that is.
func (l looks) again(changed, gone func(name string)) {
	for folder, before := range l {
		now := look(folder)
		l[folder] = now
		for name, info := range now {
			if old, ok := before[name]; !ok || !same(old, info) {
				changed(name)
			}
			delete(before, name)
		}
		for name := range before {
			changed(name)
		}
		if now == nil {
			delete(l, folder)
			gone(folder)
		}
	}
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode().Type() == b.Mode().Type() && a.ModTime().Equal(b.ModTime())
}
