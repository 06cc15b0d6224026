package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// A group is what one write and one fsync carry at most.
const (
	groupEvents = 256
	groupBytes  = 4 << 20
)

// appendRole is the cheapest durable inbox there can be: records appended to a file, one fsync for all that wait. It
// has no table, no index and no notion of a duplicate.
func appendRole(args []string) error {
	return serveInbox(args, func(dir string) (keep, func() (int, error), error) {
		a, err := newAppender(filepath.Join(dir, "baseline.log"))
		if err != nil {
			return nil, nil, err
		}
		return func(e event) error { return a.add(record(e)) }, a.count, nil
	})
}

type waiting struct {
	record []byte
	done   chan error
}

type appender struct {
	file   *os.File
	queue  chan waiting
	synced atomic.Int64
}

func newAppender(path string) (*appender, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	a := &appender{file: file, queue: make(chan waiting, groupEvents)}
	go a.write()
	return a, nil
}

// add returns once a record is on disk.
func (a *appender) add(record []byte) error {
	w := waiting{record: record, done: make(chan error, 1)}
	a.queue <- w
	return <-w.done
}

// count is how many records are on disk.
func (a *appender) count() (int, error) { return int(a.synced.Load()), nil }

// write takes one, drains what waits, writes and syncs them together.
func (a *appender) write() {
	var buffer bytes.Buffer
	group := make([]waiting, 0, groupEvents)
	for first := range a.queue {
		group = append(group[:0], first)
		buffer.Reset()
		buffer.Write(first.record)
	drain:
		for len(group) < groupEvents && buffer.Len() < groupBytes {
			select {
			case next := <-a.queue:
				group = append(group, next)
				buffer.Write(next.record)
			default:
				break drain
			}
		}
		_, err := a.file.Write(buffer.Bytes())
		if err == nil {
			err = a.file.Sync()
		}
		if err == nil {
			a.synced.Add(int64(len(group)))
		}
		for _, w := range group {
			w.done <- err
		}
	}
}

// record is an event as the file keeps it: its length, what an inbox needs of it, and the body.
func record(e event) []byte {
	return written(e.Created, e.received, e.body, e.ID, e.Type, e.Account, e.Data.Object.ID, e.header, string(digest(e.body)))
}

func written(occurred int64, received time.Time, body []byte, fields ...string) []byte {
	out := make([]byte, 4, 512+len(body))
	for _, field := range fields {
		out = binary.AppendUvarint(out, uint64(len(field)))
		out = append(out, field...)
	}
	out = binary.AppendVarint(out, occurred)
	out = binary.AppendVarint(out, received.UnixMicro())
	out = append(out, body...)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

func digest(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:]
}
