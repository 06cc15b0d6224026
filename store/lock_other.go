//go:build !unix

package store

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock two processes could use one database.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("the SQLite store needs file locks, which are not built for this system")
}
