package telemetry

import (
	"strings"
	"sync"
	"sync/atomic"
)

// endings find texts by the bytes they end with: those of tokens are random,
// while their beginnings ("eyJ", "sk_live_") are often alike. Looking takes no
// lock and does not get slower with what is known; adding costs the same
// however much that is, on average. Of what is looked for no more than the
// secret is kept: its forms are made again where the ends agree.
//
// The zero value but for width is ready.
type endings struct {
	width int // bytes of an end that are looked at, at most 8

	mu    sync.Mutex // held while the rest changes
	table atomic.Pointer[table]
	live  int // entries
	stale int // entries removed since the filter was made
}

// A written is one form of one secret.
type written struct {
	secret string
	form   form
}

// A table has a chain of entries for every hash of an end, and a filter that
// says of most ends that there is none.
type table struct {
	filter []atomic.Uint64 // bits
	chains []atomic.Pointer[entry]
	bits   uint // of a hash that choose one of filter
	slots  uint // of a hash that choose one of chains
}

// An entry never changes.
type entry struct {
	end  uint64
	of   written
	next *entry
}

// leastSlots is the binary logarithm of the length of the first table's chains.
// There are 32 bits of the filter for each of them, 8 KiB at first.
const leastSlots, filterBits = 11, 5

func newTable(slots uint) *table {
	return &table{make([]atomic.Uint64, 1<<(slots+filterBits-6)), make([]atomic.Pointer[entry], 1<<slots), slots + filterBits, slots}
}

func (t *table) insert(end uint64, of written) {
	h := hash(end)
	c := &t.chains[h>>(64-t.slots)]
	c.Store(&entry{end, of, c.Load()})
	bit := h >> (64 - t.bits)
	t.filter[bit>>6].Or(1 << (bit & 63))
}

// hash spreads an end over the upper bits.
func hash(end uint64) uint64 { return end * 0x9e3779b97f4a7c15 }

// endOf is the number that find makes of a text's last bytes.
func (x *endings) endOf(text string) (n uint64) {
	for i := range x.width {
		n |= uint64(text[i]) << (8 * i)
	}
	return n
}

// add has a form looked for that ends with end. It may be added several times.
func (x *endings) add(end string, of written) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	switch {
	case t == nil:
		t = newTable(leastSlots)
		x.table.Store(t)
	case x.live == len(t.chains):
		t = x.rebuild(t.slots + 1)
	}
	t.insert(x.endOf(end), of)
	x.live++
}

// remove undoes one add.
func (x *endings) remove(end string, of written) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	if t == nil {
		return
	}
	n := x.endOf(end)
	c := &t.chains[hash(n)>>(64-t.slots)]
	for e := c.Load(); e != nil; e = e.next {
		if e.end != n || e.of != of {
			continue
		}
		c.Store(without(c.Load(), e))
		x.live--
		if x.stale++; x.stale > len(t.chains) {
			x.rebuild(t.slots) // or the filter would let everything through
		}
		return
	}
}

// without is the chain from first on without one entry.
func without(first, one *entry) *entry {
	if first == one {
		return one.next
	}
	return &entry{first.end, first.of, without(first.next, one)}
}

// rebuild makes a table of what there is, and puts it in place.
func (x *endings) rebuild(slots uint) *table {
	old, t := x.table.Load(), newTable(slots)
	for i := range old.chains {
		for e := old.chains[i].Load(); e != nil; e = e.next {
			t.insert(e.end, e.of)
		}
	}
	x.stale = 0
	x.table.Store(t)
	return t
}

// find appends where s holds a form.
func (x *endings) find(s string, hits []span) []span {
	t := x.table.Load()
	if t == nil || len(s) < x.width {
		return hits
	}
	var end uint64
	for i := range x.width - 1 {
		end = end>>8 | uint64(s[i])<<56
	}
	filter, shift, drop := t.filter, (64-t.bits)&63, uint(64-8*x.width)&63
	var last span
	for i := x.width - 1; i < len(s); i++ {
		end = end>>8 | uint64(s[i])<<56
		h := hash(end >> drop)
		if bit := h >> shift; filter[bit>>6].Load()>>(bit&63)&1 != 0 {
			hits, last = t.match(s, i+1, end>>drop, last, hits)
		}
	}
	return hits
}

// match appends the forms that end at to, where the text before is end. The
// Base64 text that the last one stood in is looked for once.
func (t *table) match(s string, to int, end uint64, last span, hits []span) ([]span, span) {
	for e := t.chains[hash(end)>>(64-t.slots)].Load(); e != nil; e = e.next {
		if e.end != end {
			continue
		}
		text := e.of.form.of(e.of.secret)
		if !strings.HasSuffix(s[:to], text) {
			continue
		}
		hit := span{to - len(text), to}
		if e.of.form.inBase64() {
			if hit.from < last.from || hit.to > last.to {
				last = stretch(s, hit)
			}
			hit = last
		}
		hits = append(hits, hit)
	}
	return hits, last
}
