package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
	fallbacks "github.com/postern-proxy/postern/policy/fallback"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/seal"
)

// errUnsealed says that something has to be sealed and there is no key.
var errUnsealed = errors.New("what Postern keeps for accounts, calls that it keeps, answers under idempotency keys and those for when a provider is down are stored sealed, and there is no key: run `postern secrets keygen`, keep what it prints as a secret, and name it in the policy, such as seal { keys = [file(\"/run/secrets/seal\")] }")

// vault is the keys that are in force, and where they are from.
type vault struct {
	held atomic.Pointer[seal.Ring] // nil while there is none
	file string                    // of the key beside the database, "" if it has none
	made bool                      // in this process
	lost map[string]needs          // ids of keys that are needed and not there
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

// losses says which keys are missing, a sentence for each.
func (v *vault) losses() (all []string) {
	for _, id := range slices.Sorted(maps.Keys(v.lost)) {
		all = append(all, fmt.Sprintf("the key %s is missing, and %s sealed under it: put it back behind the first%s%s", id, v.lost[id].are(), v.known(id), v.lost[id].instead()))
	}
	return all
}

// known says where a key is if it is the one beside the database.
func (v *vault) known(id string) string {
	if k, err := seal.ReadFile(v.file); err == nil && k.ID() == id {
		return fmt.Sprintf(", as file(%q)", v.file)
	}
	return ""
}

// keepsAnswers reports whether a stage of a policy stores answers: those under
// idempotency keys, or those for when a provider is down.
func keepsAnswers(set *policy.Set) bool {
	for _, name := range set.Providers() {
		for _, plan := range set.Provider(name).Plans() {
			if slices.ContainsFunc(plan.Stages, stores) {
				return true
			}
		}
	}
	return false
}

func stores(st policy.PlannedStage) bool {
	switch st.Holds.(type) {
	case *idempotency.Live, *fallbacks.Kept:
		return true
	}
	return false
}

// unsealed says that on PostgreSQL there is no key for what a policy keeps, at
// the first block that keeps it. Where the URL is a reference nobody knows yet
// which store it is: then it is a warning.
func (l *loaded) unsealed() hcl.Diagnostics {
	if l.outbound == nil || l.Seal != nil {
		return nil
	}
	url, written := l.Store.URL.Literal()
	if written && strings.HasPrefix(url, "sqlite:") {
		return nil
	}
	at := l.keeps()
	if at == nil {
		return nil
	}
	d := &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Missing seal", Subject: at,
		Detail: "What this keeps is stored sealed, and on PostgreSQL no key is made: run `postern secrets keygen`, keep what it prints as a secret, and name it, such as seal { keys = [file(\"/run/secrets/seal\")] }.",
	}
	if !written {
		d.Severity, d.Detail = hcl.DiagWarning, d.Detail+" With SQLite it is not needed."
	}
	return hcl.Diagnostics{d}
}

// keeps is where the first block stands by which something is stored sealed, in
// the files if it can be, nil if there is none.
func (l *loaded) keeps() (at *hcl.Range) {
	for _, name := range l.outbound.Providers() {
		for _, plan := range l.outbound.Provider(name).Plans() {
			for _, st := range plan.Stages {
				_, grant := st.Holds.(*connection.Source)
				if !grant && !keepsCall(st) && !stores(st) {
					continue
				}
				for _, r := range slices.Backward(st.Ranges) {
					if l.Files[r.Filename] != nil {
						return &r
					}
					at = &r
				}
			}
		}
	}
	return at
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
	for _, loss := range g.vault.losses() {
		fmt.Fprintf(w, "  seal      %s\n", loss)
	}
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
