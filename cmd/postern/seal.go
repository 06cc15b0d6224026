package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/postern-proxy/postern/seal"
)

// errUnsealed says that something has to be sealed and there is no key.
var errUnsealed = errors.New("what Postern keeps for accounts is stored sealed, and there is no key: run `postern secrets keygen`, keep what it prints as a secret, and name it in the policy, such as seal { keys = [file(\"/run/secrets/seal\")] }")

// vault is the keys that are in force, and where they are from.
type vault struct {
	held atomic.Pointer[seal.Ring] // nil while there is none
	file string                    // of the key beside the database, "" if it has none
	made bool                      // in this process
}

// ring is what seals and opens, or an error that says how to have it. It stays
// the same when keys change.
func (v *vault) ring() (*seal.Ring, error) {
	if r := v.held.Load(); r != nil {
		return r, nil
	}
	return nil, errUnsealed
}

// use puts the keys of a configuration in force. Those who hold the ring have
// them at once.
func (v *vault) use(r *seal.Ring) {
	if now := v.held.Load(); now != nil && r != nil {
		now.Replace(r)
		return
	}
	v.held.Store(r)
}

// keys reads the keys of a configuration: those it names, or the one beside an
// SQLite database, which is made if it is not there.
func (g *gate) keys(l *loaded) (err error) {
	if l.Seal != nil {
		l.ring, err = l.Seal.Ring()
		return err
	}
	if g.vault.file == "" {
		return nil
	}
	k, err := seal.ReadFile(g.vault.file)
	if errors.Is(err, fs.ErrNotExist) {
		if k, err = seal.CreateFile(g.vault.file); err == nil {
			g.vault.made = true
			g.tel.Transition(slog.LevelInfo, "made a seal key: keep a copy of it, apart from backups of the store", slog.String("key", k.ID()), slog.String("file", g.vault.file))
		}
	}
	if err == nil {
		l.ring, err = seal.NewRing(k)
	}
	return err
}

// keyFile is where the key of a store is if the policy names none, "" if there
// is no such place.
func keyFile(where string) string {
	if path, ok := strings.CutPrefix(where, "sqlite:"); ok {
		return path + ".seal"
	}
	return ""
}

// announceSeal says which key seals, and where it is.
func (g *gate) announceSeal(w io.Writer, l *loaded) {
	if l.ring == nil {
		return
	}
	ids := l.ring.IDs()
	fmt.Fprintf(w, "  seal      key %s", ids[0])
	switch {
	case l.Seal != nil && len(ids) > 1:
		fmt.Fprintf(w, " of seal.keys; %s opens what was sealed before\n", strings.Join(ids[1:], ", "))
	case l.Seal != nil:
		fmt.Fprintln(w, " of seal.keys")
	case g.vault.made:
		fmt.Fprintf(w, " in %s, made now: keep a copy of it, apart from backups of the store\n", g.vault.file)
	default:
		fmt.Fprintf(w, " in %s\n", g.vault.file)
	}
}

// besideBackup says where the keys are that a backup does not hold.
func besideBackup(w io.Writer, c *seal.Config, where string) {
	if c != nil {
		var names []string
		for _, s := range c.Keys {
			names = append(names, s.String())
		}
		fmt.Fprintf(w, "The seal keys are not in it: %s. Without them what is sealed in it cannot be read.\n", strings.Join(names, ", "))
		return
	}
	file := keyFile(where)
	if k, err := seal.ReadFile(file); err == nil {
		fmt.Fprintf(w, "The seal key %s is not in it: keep a copy of %s, apart from the backups. Without it what is sealed in them cannot be read.\n", k.ID(), filepath.Clean(file))
	}
}
