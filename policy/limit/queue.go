package limit

import "time"

// A line is whose calls stand behind each other, first in first out. Lines take
// turns.
type line struct{ client, account string }

// levels is how many urgencies there are, those of RFC 9218 section 4.1: 0 comes
// first.
const levels = 8

// share is how many calls of the most urgent level go out before one of the
// others does, so that these never starve: a tenth is theirs.
const share = 9

// A queue holds those who wait for one thing. It is no clock and no lock: whoever
// owns it has those.
type queue struct {
	level [levels]ring
	n     int
	over  int // how often in a row the most urgent was let through before others
}

// ring holds the lines of one level, in the order of their turns.
type ring struct {
	of    map[line]*row
	first *row // whose turn is next; nil is nobody's
	n     int
}

// row is a line with somebody in it.
type row struct {
	line       line
	head, tail *waiter
	n          int
	prev, next *row // in the ring
}

// A waiter is a call that waits. It is in a queue or was given a place.
type waiter struct {
	urgency    int
	since      time.Time
	given      chan Place // a place; one that is not OK is a refusal. It has room for one
	row        *row       // nil once it has left the queue
	prev, next *waiter    // in the row
}

// push puts w at the end of its line.
func (q *queue) push(l line, w *waiter) {
	r := &q.level[w.urgency]
	o := r.of[l]
	if o == nil {
		o = &row{line: l}
		r.add(o)
	}
	w.row, w.prev = o, o.tail
	if o.tail != nil {
		o.tail.next = w
	} else {
		o.head = w
	}
	o.tail = w
	o.n, r.n, q.n = o.n+1, r.n+1, q.n+1
}

// pop takes out who is next; nil is nobody.
func (q *queue) pop() *waiter {
	top := q.urgent(0)
	if top < 0 {
		return nil
	}
	lower := q.urgent(top + 1)
	switch {
	case lower < 0:
		q.over = 0
	case q.over >= share:
		q.over, top = 0, q.eldest(lower)
	default:
		q.over++
	}
	r := &q.level[top]
	w := r.first.head
	r.first = r.first.next
	q.remove(w)
	return w
}

// urgent is the first level from l on where somebody waits, -1 if none is.
func (q *queue) urgent(l int) int {
	for ; l < levels; l++ {
		if q.level[l].n > 0 {
			return l
		}
	}
	return -1
}

// eldest is the level from l on whose next one has waited longest.
func (q *queue) eldest(l int) int {
	best := l
	for i := l + 1; i < levels; i++ {
		if q.level[i].n > 0 && q.level[i].first.head.since.Before(q.level[best].first.head.since) {
			best = i
		}
	}
	return best
}

// remove takes w out, wherever it stands.
func (q *queue) remove(w *waiter) {
	o, r := w.row, &q.level[w.urgency]
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		o.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		o.tail = w.prev
	}
	w.row, w.prev, w.next = nil, nil, nil
	o.n, r.n, q.n = o.n-1, r.n-1, q.n-1
	if o.n == 0 {
		r.drop(o)
	}
}

// evict takes out the last of the longest line among the least urgent, if that
// is a line that l, with a call of that urgency more, would not be as long as; nil
// if it is not. So whoever fills a queue keeps nobody else out of it.
func (q *queue) evict(l line, urgency int) *waiter {
	for i := levels - 1; i >= urgency; i-- {
		if q.level[i].n == 0 {
			continue
		}
		var longest *row
		for _, o := range q.level[i].of {
			if longest == nil || o.n > longest.n {
				longest = o
			}
		}
		if own := q.level[i].of[l]; i == urgency && (longest == own || own.len()+1 >= longest.n) {
			return nil
		}
		w := longest.tail
		q.remove(w)
		return w
	}
	return nil
}

// ahead is how many at least go before a call that joins now.
func (q *queue) ahead(l line, urgency int) (n int) {
	for i := range urgency {
		n += q.level[i].n
	}
	r := &q.level[urgency]
	own := r.of[l].len()
	n = min(n, share*(own+1)) + own
	if own == 0 || len(r.of) > 64 { // not worth the time
		return n
	}
	for _, o := range r.of {
		if o.line != l {
			n += min(o.n, own)
		}
	}
	return n
}

func (o *row) len() int {
	if o == nil {
		return 0
	}
	return o.n
}

// add puts o where its turn comes last.
func (r *ring) add(o *row) {
	if r.of == nil {
		r.of = map[line]*row{}
	}
	r.of[o.line] = o
	if r.first == nil {
		r.first, o.prev, o.next = o, o, o
		return
	}
	o.next, o.prev = r.first, r.first.prev
	o.prev.next, o.next.prev = o, o
}

func (r *ring) drop(o *row) {
	delete(r.of, o.line)
	switch {
	case o.next == o:
		r.first = nil
	case r.first == o:
		r.first = o.next
	}
	o.prev.next, o.next.prev = o.next, o.prev
}
