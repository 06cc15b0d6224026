package policy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
)

// chunk is how much of a spool is sealed at a time, in bytes.
const chunk = 64 << 10

var errSpoolClosed = errors.New("the spool is closed")

// spool keeps what of a body is not kept in memory, in a temporary file that has
// no name and holds no plain text: chunks under AES-256-GCM with a key that is
// nowhere but in this process's memory. Each chunk is written once, under its
// number as nonce; the last one stays in memory until it is full. Bytes are only
// appended.
//
// It is closed without waiting for anybody: who still reads gets an error.
type spool struct {
	mu     sync.Mutex
	file   *os.File
	name   string // to be removed in the end, "" if that is done
	seal   cipher.AEAD
	sealed int64  // chunks that are in the file
	tail   []byte // what comes after them
	open   []byte // a chunk that was read back
	which  int64  // its number, if there is one
	closed bool
}

// opener makes a temporary file. The name is what to remove in the end, "" if it
// has none.
type opener func() (f *os.File, name string, err error)

// newSpool takes the file that open makes, and closes it in the end.
func newSpool(open opener) (*spool, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails, or ends the program
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	f, name, err := open()
	if err != nil {
		return nil, fmt.Errorf("make a temporary file for the request body: %w", err)
	}
	return &spool{file: f, name: name, seal: seal, tail: make([]byte, 0, chunk+seal.Overhead())}, nil
}

// temporary makes a file that only this process can open, and that is gone with
// it: mode 0600, and no name from the beginning, where the system allows that.
func temporary() (f *os.File, name string, err error) {
	if f, err = os.CreateTemp("", "postern-body-"); err != nil {
		return nil, "", err
	}
	if os.Remove(f.Name()) != nil { // as on Windows, while it is open
		name = f.Name()
	}
	return f, name, nil
}

// size is how many bytes it holds.
func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed*chunk + int64(len(s.tail))
}

// append keeps all of p, or fails: then it is of no more use.
func (s *spool) append(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errSpoolClosed
	}
	for len(p) > 0 {
		n := min(len(p), chunk-len(s.tail))
		s.tail, p = append(s.tail, p[:n]...), p[n:]
		if len(s.tail) < chunk {
			break
		}
		out := s.seal.Seal(s.tail[:0], s.nonce(s.sealed), s.tail, nil)
		if _, err := s.file.WriteAt(out, s.sealed*int64(len(out))); err != nil {
			return fmt.Errorf("keep the request body in a temporary file: %w", err)
		}
		s.tail = s.tail[:0]
		s.sealed++
	}
	return nil
}

// read reads what is at an offset below size, up to the end of a chunk.
func (s *spool) read(p []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, from := at/chunk, at%chunk
	switch {
	case s.closed:
		return 0, fmt.Errorf("%w: %w", ErrCopy, errSpoolClosed)
	case n == s.sealed:
		return copy(p, s.tail[from:]), nil
	}
	if err := s.load(n); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCopy, err)
	}
	return copy(p, s.open[from:]), nil
}

// load makes open chunk n. Called with mu held.
func (s *spool) load(n int64) error {
	if len(s.open) > 0 && s.which == n {
		return nil
	}
	whole := chunk + s.seal.Overhead()
	if cap(s.open) < whole {
		s.open = make([]byte, whole)
	}
	s.open = s.open[:whole]
	if _, err := s.file.ReadAt(s.open, n*int64(whole)); err != nil {
		s.open = s.open[:0]
		return err
	}
	plain, err := s.seal.Open(s.open[:0], s.nonce(n), s.open, nil)
	s.open, s.which = plain, n
	return err
}

func (s *spool) nonce(n int64) []byte {
	nonce := make([]byte, s.seal.NonceSize())
	binary.BigEndian.PutUint64(nonce[len(nonce)-8:], uint64(n))
	return nonce
}

// close gives the file and the memory back.
func (s *spool) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.file.Close()
		if s.name != "" {
			os.Remove(s.name)
		}
		clear(s.tail)
		clear(s.open)
		s.tail, s.open, s.seal = nil, nil, nil
	}
}
