package credential

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// A key is one alternative as it is injected, and what follows from it. Only
// when it was used last changes.
type key struct {
	value string
	also  []string
	echo  *echo
	ref   string            // where it comes from
	print string            // its fingerprint
	token *connection.Token // that it was made of, if it is one of the keeper's
	last  atomic.Int64
}

// remembered is how many keys are known beside those of the policy: some were in
// use until a moment ago, and before one is revoked at the provider somebody wants
// to see that it is used no more.
const remembered = 8

// know returns the key of these values, and makes it if it is new.
func (r *rotation) know(ref, value string, also []string, k *Kind) *key {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.known {
		if known.value == value && slices.Equal(known.also, also) {
			return known
		}
	}
	made := &key{value: value, also: also, ref: ref, print: k.print(value, also), echo: k.echo(value, also)}
	r.known = append(r.known, made)
	if over := len(r.known) - len(k.Values) - remembered; over > 0 {
		slices.SortStableFunc(r.known, func(a, b *key) int { return cmp.Compare(a.last.Load(), b.last.Load()) })
		r.known = slices.DeleteFunc(r.known, func(o *key) bool {
			drop := over > 0 && o != made && o != r.using
			if drop {
				over--
			}
			return drop
		})
	}
	return made
}

// echo is what to look for in answers.
func (k *Kind) echo(value string, also []string) *echo {
	if k.Echo != nil {
		return newEcho(k.Echo(value, also)...)
	}
	return newEcho(append([]string{value}, also...)...)
}

// print is the fingerprint of what is secret in these values.
func (k *Kind) print(value string, also []string) string {
	prints := []string{block.Fingerprint(value)}
	for i, v := range also {
		if _, literal := k.beside(0)[i].Literal(); !literal {
			prints = append(prints, block.Fingerprint(v))
		}
	}
	return strings.Join(slices.DeleteFunc(prints, func(p string) bool { return p == "" }), "+")
}

// states says how the keys of k stand.
func (r *rotation) states(k *Kind, route string) (list []policy.KeyState) {
	newest, _ := k.Values[0].Reveal()
	at, _ := r.current(newest, len(k.Values))
	var current []*key
	for i, s := range k.Values {
		state := policy.KeyState{Kind: k.Name, Route: route, Ref: s.String(), State: policy.KeyStandby}
		if i == at {
			state.State = policy.KeyInUse
		}
		if values, err := k.reveal(i); err != nil {
			state.State = policy.KeyMissing
		} else {
			known := r.know(s.String(), values[0], values[1:], k)
			current = append(current, known)
			state.Fingerprint, state.LastUsed = known.print, known.used()
		}
		list = append(list, state)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := len(list)
	for _, old := range r.known {
		if used := old.used(); !slices.Contains(current, old) && !used.IsZero() {
			list = append(list, policy.KeyState{Kind: k.Name, Route: route, Ref: old.ref, Fingerprint: old.print, State: policy.KeyReplaced, LastUsed: used})
		}
	}
	slices.SortFunc(list[kept:], func(a, b policy.KeyState) int { return b.LastUsed.Compare(a.LastUsed) })
	return list
}

// used is when a key was sent last, zero if it was not since this process began.
func (k *key) used() time.Time {
	if at := k.last.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// spent is what one call knows of its keys once one was refused: none is tried
// twice.
type spent struct {
	keys []*key
	next *key
}

func (s *spent) has(k *key) bool { return slices.Contains(s.keys, k) }
