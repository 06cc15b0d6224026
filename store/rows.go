package store

import (
	"database/sql"
	"math/bits"
	"strings"
)

// maxRows is how many rows one statement takes: with the widest that is under a sixth
// of the variables that SQLite allows.
const maxRows = 256

// rowsSQL is a statement on as many rows as there are: head, row for each, tail. It
// is made OR FAIL: an error undoes the whole transaction anyway, and SQLite need not
// keep what the pages were before the statement, which costs a fifth of it.
type rowsSQL struct{ head, row, tail string }

// rowsText names the text of a statement on so many rows.
type rowsText struct {
	head string
	n    int
}

// text is the statement on n rows.
func (w *session) text(q *rowsSQL, n int) string {
	key := rowsText{q.head, n}
	text := w.texts[key]
	if text == "" {
		text = q.head + strings.Repeat(q.row+", ", n-1) + q.row + q.tail
		if w.texts == nil {
			w.texts = map[rowsText]string{}
		}
		w.texts[key] = text
	}
	return text
}

// fewRows is up to how many rows there is a statement for each number of them, and
// someRows is up to how many there is one for each fourth number. Each is kept, compiled,
// and takes some hundred bytes a row.
const (
	fewRows  = 16
	someRows = 64
)

// portion is how many of n rows the next statement takes: all if they are few, all but
// three at most if they are some, or else a power of two, or one and a half, so that few
// statements have to be prepared and few are needed.
func portion(n int) int {
	switch {
	case n <= fewRows:
		return n
	case n <= someRows:
		return n &^ 3
	}
	n = min(n, maxRows)
	p := 1 << (bits.Len(uint(n)) - 1)
	if p+p/2 <= n {
		return p + p/2
	}
	return p
}

// rows makes q of n rows, in their order. bind appends the variables of the ith; scan
// is called for every row that comes back, if it is not nil. It returns how many rows
// were changed, if nothing comes back.
func (t *tx) rows(q *rowsSQL, n int, bind func(to []any, i int) []any, scan func(*sql.Rows) error) (changed int64, err error) {
	for at := 0; at < n; {
		size := portion(n - at)
		args := t.w.args[:0]
		for i := range size {
			args = bind(args, at+i)
		}
		query := t.w.text(q, size)
		if scan != nil {
			err = t.each(scan, query, args...)
		} else {
			var n int64
			n, err = t.change(query, args...)
			changed += n
		}
		clear(args) // they hold bodies
		t.w.args = args
		if err != nil {
			return changed, err
		}
		at += size
	}
	return changed, nil
}
