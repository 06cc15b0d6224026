package main

import (
	"bytes"
	"fmt"
	"io"
)

const (
	small = 1024     // bytes of an ordinary request or answer
	large = 10 << 20 // bytes of a stream
	chunk = 64 << 10 // bytes a stream is written and checked by; divides large
)

// The number of a call stands in what is sent and in what is answered, so that an answer given to the wrong call is
// seen. It is numberLen digits at numberAt.
const (
	numberAt  = 7
	numberLen = 16
)

// document is a JSON document of size bytes for call 0.
func document(size int) []byte {
	const head, tail = `{"id":"0000000000000000","pad":"`, `"}`
	b := append([]byte(head), bytes.Repeat([]byte("x"), size-len(head)-len(tail))...)
	return append(b, tail...)
}

// number writes call n's number into b, numberLen digits.
func number(b []byte, n uint64) {
	for at := numberLen - 1; at >= 0; at-- {
		b[at] = byte('0' + n%10)
		n /= 10
	}
}

// numbered writes n into a document.
func numbered(b []byte, n uint64) { number(b[numberAt:numberAt+numberLen], n) }

// numberOf reads the number of a document or of a path's last segment.
func numberOf(b []byte) (uint64, error) {
	if len(b) != numberLen {
		return 0, fmt.Errorf("a number has %d digits, not %d", numberLen, len(b))
	}
	var n uint64
	for _, digit := range b {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("bad digit %q", digit)
		}
		n = n*10 + uint64(digit-'0')
	}
	return n, nil
}

// sameDocument says whether got is call n's document; want is document(len).
func sameDocument(got, want []byte, n uint64) error {
	if len(got) != len(want) {
		return fmt.Errorf("body has %d bytes, not %d", len(got), len(want))
	}
	answered, err := numberOf(got[numberAt : numberAt+numberLen])
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if answered != n {
		return fmt.Errorf("call %d got the answer of call %d", n, answered)
	}
	rest := numberAt + numberLen
	if !bytes.Equal(got[:numberAt], want[:numberAt]) || !bytes.Equal(got[rest:], want[rest:]) {
		return fmt.Errorf("body differs from what was sent")
	}
	return nil
}

// readStream reads a stream to its end and checks every byte against want, one chunk of it; b is a chunk to work in.
func readStream(r io.Reader, want, b []byte) error {
	total := 0
	for {
		n, err := r.Read(b)
		if !bytes.Equal(b[:n], want[:n]) {
			return fmt.Errorf("stream differs after %d bytes", total)
		}
		total += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("stream ended after %d bytes: %w", total, err)
		}
	}
	if total != large {
		return fmt.Errorf("stream has %d bytes, not %d", total, large)
	}
	return nil
}
