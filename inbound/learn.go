package inbound

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxLearned = 512 // bytes of a secret that a provider sends

// learn puts the secret that a handshake brings into a file, from which the policy
// reads it. It is on disk before the handshake is answered. A file that holds another
// secret is left alone: whoever may give one must not be able to replace it.
func learn(secret, name string) *met {
	if len(secret) < minToken || len(secret) > maxLearned || strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return refused("what it gives as a secret is none: from %d to %d printable characters are taken", minToken, maxLearned)
	}
	switch err := create(name, secret); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrExist):
		return &met{result: Unavailable, err: fmt.Errorf("keep the secret of a handshake: %w", err)}
	}
	there, err := os.ReadFile(name)
	if err != nil {
		return &met{result: Unavailable, err: fmt.Errorf("read the secret of an earlier handshake: %w", err)}
	}
	if !known(strings.TrimSuffix(string(there), "\n"), secret) {
		return refused("%s holds another secret already: to take a new one, remove it first", name)
	}
	return nil
}

// create writes a file that is not there yet, as a whole or not at all.
func create(name, text string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".postern-*") // readable by its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
