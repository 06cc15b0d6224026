package credential

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// TestP27RotationState: each value is given up once, all are refused at most
// once in a pause, and one that works starts afresh.
func TestP27RotationState(t *testing.T) {
	var r rotation
	keys := []*key{{value: "n"}, {value: "1"}, {value: "2"}}
	now := time.Now()
	turn := func() int {
		at, _ := r.current("n", 3)
		r.use(keys[at])
		return at
	}
	step := func(at int, want bool, then int) {
		t.Helper()
		if got := r.refused(keys[at], 3, rest, now); got != want || turn() != then {
			t.Errorf("refused(%d) = %v, then %d in use; want %v, %d", at, got, turn(), want, then)
		}
	}
	turn()
	step(0, true, 1)
	step(0, true, 1) // a call that was on its way with the one before
	step(1, true, 2)
	r.accepted(keys[2], 3)
	step(2, true, 0)
	step(0, true, 1)
	step(1, false, 0)
	step(0, false, 0)
	now = now.Add(rest + 1)
	step(0, true, 1)
	if at, _ := r.current("newer", 3); at != 0 {
		t.Error("a newer value does not start again")
	}
	one := &rotation{using: keys[0]}
	if one.refused(keys[0], 1, rest, now) {
		t.Error("one value alone is tried twice")
	}
	if !one.refused(keys[1], 1, rest, now) {
		t.Error("one that took its place is not tried")
	}
}

// TestP27RotateOn: what says nothing about a key spends none.
func TestP27RotateOn(t *testing.T) {
	for _, o := range policy.Outcomes() {
		err := (&Rotation{On: []policy.Outcome{o}}).Check()
		if good := o == policy.Auth || o == policy.RateLimited || o == policy.QuotaExhausted; (err == nil) != good {
			t.Errorf("rotate_on %s: %v", o, err)
		}
	}
	var r Rotation
	if r.Default(); len(r.On) != 1 || r.On[0] != policy.Auth {
		t.Errorf("by default %v", r.On)
	}
}

// TestKeysAreBounded: of keys that come and go only the last are remembered, and
// the one in use is.
func TestKeysAreBounded(t *testing.T) {
	var r rotation
	k := &Kind{Values: []block.Secret{block.Plaintext("x")}}
	first := r.know("[secret]", "first-value-0123456789", nil, k)
	r.use(first)
	var last *key
	for n := range 100 {
		last = r.know("[secret]", strconv.Itoa(1e15+n), nil, k)
		last.last.Store(int64(n + 1))
	}
	if len(r.known) > remembered+1 || !slices.Contains(r.known, first) || !slices.Contains(r.known, last) {
		t.Errorf("%d keys are known, the first and the last: %v %v", len(r.known), slices.Contains(r.known, first), slices.Contains(r.known, last))
	}
}
