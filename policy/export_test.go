package policy

import "os"

// InFile has all but n bytes of a body go to files that open makes, or to the
// usual ones.
func (b *Body) InFile(n int64, open opener) *Body {
	if b.memory = n; open != nil {
		b.open = open
	}
	return b
}

// File is what a body's copy is in, nil if there is none.
func (b *Body) File() *os.File {
	if s := b.rest.Load(); s != nil {
		return s.file
	}
	return nil
}

// Opener makes a file as it is made for tests.
func Opener(f func() (*os.File, error)) func() (*os.File, string, error) {
	return func() (*os.File, string, error) {
		file, err := f()
		return file, "", err
	}
}

// Chunk is how much is sealed at a time.
const Chunk = chunk
