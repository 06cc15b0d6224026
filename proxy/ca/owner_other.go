//go:build !unix

package ca

import "io/fs"

// owner is not known here.
func owner(fs.FileInfo) (uid int, ok bool) { return 0, false }
