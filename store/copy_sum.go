package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
	"time"
)

// Summary is what two databases have in common.
type Summary struct {
	Events, Deliveries, Moves, Bytes      int64    // Bytes of bodies
	Connections, ConnectionMoves, Tickets int64    // Tickets that nobody has taken
	Answers                               int64    // calls with an idempotency key
	Calls, CallMoves                      int64    // of the outbox
	Marks                                 int64    // of lanes
	Keys                                  int64    // of deleted events
	Watches, Listed                       int64    // of reconciliation, silence and subscriptions
	SHA256                                [32]byte // of everything
}

func (s *Summary) add(w *whole) {
	s.Events++
	s.Bytes += int64(len(w.event.Body))
	s.Deliveries += int64(len(w.deliveries))
	for i := range w.deliveries {
		s.Moves += int64(len(w.deliveries[i].trail))
	}
}

// compare reads both databases to their ends. The first event or connection
// that is not the same in both is an error.
func compare(ctx context.Context, source, dest copyable, total int64, told func(Progress)) (sum Summary, err error) {
	everything := sha256.New()
	for after := int64(0); ; {
		told(Progress{"verifying", sum.Events, total})
		var got []whole
		var destErr error
		var both sync.WaitGroup
		both.Go(func() { got, destErr = dest.export(ctx, after) })
		want, err := source.export(ctx, after)
		both.Wait()
		if err != nil {
			return sum, fmt.Errorf("the source %s: %w", source.Where(), err)
		}
		if destErr != nil {
			return sum, fmt.Errorf("the destination %s: %w", dest.Where(), destErr)
		}
		if len(want) != len(got) {
			return sum, fmt.Errorf("%w: %d events follow the first %d, not %d: empty the destination and begin anew", ErrCopy, len(got), sum.Events, len(want))
		}
		if len(want) == 0 && sum.Events != total {
			return sum, fmt.Errorf("%w: of %d events %d could be read: the source is damaged", ErrCopy, total, sum.Events)
		}
		if len(want) == 0 {
			for _, part := range copyParts() {
				if err := part.compare(ctx, source, dest, &sum, everything); err != nil {
					return sum, err
				}
			}
			everything.Sum(sum.SHA256[:0])
			return sum, nil
		}
		for i := range want {
			a, b := want[i].digest(), got[i].digest()
			if a != b {
				return sum, fmt.Errorf("%w: event %s differs; if the source was used since the copy began, empty the destination and begin anew", ErrCopy, want[i].event.ID)
			}
			everything.Write(a[:])
			sum.add(&want[i])
		}
		after = want[len(want)-1].seq
	}
}

// fields writes values so that different ones never look alike.
type fields struct {
	hash.Hash
	buf [8]byte
}

func (f *fields) number(n int64) {
	binary.BigEndian.PutUint64(f.buf[:], uint64(n))
	f.Write(f.buf[:])
}

func (f *fields) bytes(b []byte) {
	f.number(int64(len(b)))
	f.Write(b)
}

func (f *fields) texts(all ...string) {
	for _, s := range all {
		f.bytes([]byte(s))
	}
}

func (f *fields) flag(b bool) {
	if b {
		f.number(1)
	} else {
		f.number(0)
	}
}

// time writes what every database can keep of a time.
func (f *fields) time(t time.Time) {
	if m := moment(t); m != nil {
		f.number(m.UnixMicro())
	} else {
		f.number(0)
	}
}

// digest is that of everything that is kept of an event.
func (w *whole) digest() (sum [32]byte) {
	f := &fields{Hash: sha256.New()}
	e := &w.event
	f.number(w.seq)
	f.texts(e.ID, e.Webhook, e.Account, e.EventID, e.Type, e.Key, e.Lane, proofText(e.Proof), e.Parent, e.Misfit, string(e.Rank))
	f.number(int64(e.Variant))
	f.number(int64(e.Items))
	f.time(e.Horizon)
	f.time(e.Emptied)
	f.flag(e.Weak)
	f.flag(e.Verified)
	f.time(e.Occurred)
	f.time(e.Received)
	f.bytes(e.SHA256[:])
	f.number(int64(e.Size))
	f.bytes(e.Body)
	f.number(int64(len(e.Header)))
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		f.texts(name)
		f.number(int64(len(e.Header[name])))
		f.texts(e.Header[name]...)
	}
	f.number(int64(len(w.deliveries)))
	for i := range w.deliveries {
		w.deliveries[i].write(f)
	}
	f.Sum(sum[:0])
	return sum
}

func (d *wholeDelivery) write(f *fields) {
	f.texts(d.Target, string(d.State), string(d.Origin), d.Reason)
	f.number(int64(d.Attempt))
	f.number(int64(d.Stand))
	f.time(d.Due)
	f.flag(d.waits)
	f.number(d.fence)
	f.number(d.wait.Microseconds())
	f.number(int64(len(d.trail)))
	for i := range d.trail {
		m := &d.trail[i]
		f.number(m.fence)
		f.time(m.At)
		f.texts(string(m.From), string(m.To), m.Reason, m.Detail, m.By, m.Replica)
		f.number(int64(m.Attempt))
		f.number(int64(m.Status))
		f.number(m.Took.Microseconds())
	}
}
