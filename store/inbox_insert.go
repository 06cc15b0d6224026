package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// insertEvents leaves out what is known.
var insertEvents = rowsSQL{
	"INSERT OR FAIL INTO events (id, webhook, account, event_id, variant, weak, verified, type, key, lane, occurred, received, sha256, size, proof, parent, misfit, rank, items, horizon) VALUES ",
	"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	" ON CONFLICT (webhook, account, event_id, variant) DO NOTHING RETURNING seq, id",
}

var (
	insertBodies     = rowsSQL{"INSERT OR FAIL INTO bodies (seq, header, body) VALUES ", "(?, ?, ?)", ""}
	insertDeliveries = rowsSQL{"INSERT OR FAIL INTO deliveries (id, target, lane, state, due, fence, attempt, wait, origin, reason) VALUES ", "(?, ?, ?, ?, ?, 0, 0, 0, ?, ?)", ""}
)

// arriving is an event on its way into the store, and what came of it.
type arriving struct {
	inbound.Arrival        // not the caller's: the writer may come to it when nobody waits any more
	header, proof   string // as they are stored
	variant         int
	seq             int64 // 0 until it is stored
}

func (s inbox) Insert(ctx context.Context, all ...*inbound.Arrival) error {
	size, inserts := 0, make([]arriving, len(all))
	for i, a := range all {
		if err := checkPlacements(a.To); err != nil {
			return err
		}
		header, err := json.Marshal(a.Event.Header)
		if err != nil {
			return fmt.Errorf("encode the headers: %w", err)
		}
		size += len(a.Event.Body) + len(header)
		inserts[i] = arriving{Arrival: *a, header: string(header), proof: proofText(a.Event.Proof)}
	}
	if len(all) == 0 {
		return nil
	}
	if err := s.submit(ctx, &op{size: size, inserts: inserts}); err != nil {
		return err
	}
	for i := range inserts {
		in := &inserts[i]
		all[i].ID, all[i].What, all[i].Old, all[i].Backfilled = in.ID, in.What, in.Old, in.Backfilled
	}
	return nil
}

func checkPlacements(to []inbound.Placement) error {
	if len(to) > perEvent {
		return fmt.Errorf("%d targets are more than %d", len(to), perEvent)
	}
	for _, p := range to {
		switch p.State {
		case "", inbound.Received, inbound.Quarantined, inbound.Ignored:
		default:
			return fmt.Errorf("no delivery begins in state %s", p.State)
		}
	}
	return nil
}

// insertAll stores events in their order, each with its deliveries; between two
// copies, those whose key is known come after the others.
func (t *tx) insertAll(all []*arriving) error {
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(a *arriving) bool { return a.Anew })
		if n < 0 {
			n = len(all)
		}
		if err := t.insertSome(all[:n]); err != nil {
			return err
		}
		if n < len(all) {
			all[n].begin()
			if err := t.insertAnew(all[n]); err != nil {
				return err
			}
			n++
		}
		all = all[n:]
	}
	return nil
}

// begin forgets what an earlier try came to.
func (a *arriving) begin() {
	a.ID, a.What, a.Old, a.Backfilled, a.variant, a.seq = a.Event.ID, inbound.Stored, 0, false, 1, 0
}

// insertSome stores events that are no copies.
func (t *tx) insertSome(all []*arriving) error {
	for _, a := range all {
		a.begin()
	}
	if err := t.insertFresh(all); err != nil {
		return err
	}
	for _, a := range all {
		if a.seq != 0 {
			continue
		}
		if err := t.insertKnown(a); err != nil {
			return err
		}
	}
	return nil
}

// insertFresh stores those whose key is not known, and gives them their seq.
func (t *tx) insertFresh(all []*arriving) error {
	seqs := make(map[string]int64, len(all))
	err := t.insertEvents(all, func(seq int64, id string) { seqs[id] = seq })
	if err != nil {
		return err
	}
	stored := make([]*arriving, 0, len(all))
	for _, a := range all {
		if a.seq = seqs[a.Event.ID]; a.seq != 0 {
			delete(seqs, a.Event.ID) // who asks a second time is told what became of the first
			stored = append(stored, a)
		}
	}
	return t.insertRest(stored)
}

// insertEvents stores all whose key and variant is not there, and tells their seq.
func (t *tx) insertEvents(all []*arriving, stored func(seq int64, id string)) error {
	_, err := t.rows(&insertEvents, len(all), func(to []any, i int) []any {
		e := all[i].Event
		return append(to, e.ID, e.Webhook, e.Account, e.EventID, all[i].variant, e.Weak, e.Verified, e.Type, e.Key, e.Lane, micro(e.Occurred), micro(e.Received),
			e.SHA256[:], e.Size, all[i].proof, e.Parent, e.Misfit, string(e.Rank), e.Items, micro(e.Horizon))
	}, func(r *sql.Rows) error {
		var seq int64
		var id string
		err := r.Scan(&seq, &id)
		stored(seq, id)
		return err
	})
	return err
}

// insertKnown finds the event that a repeats, or stores it as a further variant of
// its key.
func (t *tx) insertKnown(a *arriving) error {
	known, last, err := t.known(a.Event)
	if err != nil || known.recognised(&a.Arrival) {
		return err
	}
	a.What = inbound.Conflicted
	return t.insertVariant(a, last+1)
}

// insertAnew stores a copy, once.
func (t *tx) insertAnew(a *arriving) error {
	known, last := false, 0
	err := t.each(func(r *sql.Rows) error { known = true; return nil }, "SELECT 1 FROM events WHERE id = ?", a.Event.ID)
	if err != nil {
		return err
	}
	if known {
		a.What = inbound.Duplicate
		return nil
	}
	if _, last, err = t.known(a.Event); err != nil {
		return err
	}
	if err := t.insertVariant(a, last+1); err != nil {
		return err
	}
	trail := make([]step, len(a.To))
	for n, p := range a.To {
		trail[n] = step{a.seq*perEvent + int64(n), 0, inbound.Transition{At: time.Now(), To: placed(p, a.To, a.What).State, Reason: p.Reason, By: a.By}}
	}
	return t.trail(trail...)
}

// insertVariant stores an event as this variant of its key.
func (t *tx) insertVariant(a *arriving, variant int) error {
	a.variant = variant
	one := []*arriving{a}
	if err := t.insertEvents(one, func(seq int64, _ string) { a.seq = seq }); err != nil {
		return err
	}
	return t.insertRest(one)
}

// insertRest stores what belongs to events: bodies, deliveries and the block they are in.
func (t *tx) insertRest(all []*arriving) error {
	if err := t.fillBlocks(all); err != nil {
		return err
	}
	_, err := t.rows(&insertBodies, len(all), func(to []any, i int) []any {
		return append(to, all[i].seq, all[i].header, notNil(all[i].Event.Body))
	}, nil)
	if err != nil {
		return err
	}
	var free []placing // of no lane
	for _, a := range all {
		for n, p := range a.To {
			pl := placing{id: a.seq*perEvent + int64(n), lane: lane{p.Target, a.Event.Lane}, Placement: placed(p, a.To, a.What)}
			if a.Event.Lane == "" {
				pl.due = time.Now().UnixMicro()
				free = append(free, pl)
				continue
			}
			if err := t.placeInLane(a, pl); err != nil {
				return err
			}
		}
	}
	return t.insertDeliveries(free)
}

// placing is a delivery on its way into the store.
type placing struct {
	inbound.Placement
	lane    lane
	id, due int64
}

// placeInLane stores a delivery of a lane.
func (t *tx) placeInLane(a *arriving, p placing) (err error) {
	if p.Placement, err = t.ranked(&a.Arrival, p.Placement); err != nil {
		return err
	}
	var settle bool
	if p.due, settle, err = t.place(p.lane, p.State); err != nil {
		return err
	}
	if err = t.insertDeliveries([]placing{p}); err != nil || !settle {
		return err
	}
	return t.settle(p.lane, time.Now().UnixMicro())
}

// insertDeliveries stores deliveries, due when their placement says so.
func (t *tx) insertDeliveries(all []placing) error {
	_, err := t.rows(&insertDeliveries, len(all), func(to []any, i int) []any {
		p := &all[i]
		if p.State.Open() && !p.Due.IsZero() {
			p.due += time.Until(p.Due).Microseconds()
		}
		t.count(p.Target, p.State, 1)
		return append(to, p.id, p.Target, p.lane.name, string(p.State), p.due, string(p.Origin), p.Reason)
	}, nil)
	return err
}

// placed fills in what a placement, one of all, leaves out. What a conflict is not for
// stays as it is, so that a release brings it to nobody else; one that is for nobody
// is a conflict all the same.
func placed(p inbound.Placement, all []inbound.Placement, what inbound.Insertion) inbound.Placement {
	p.State, p.Origin = cmp.Or(p.State, inbound.Received), cmp.Or(p.Origin, inbound.Push)
	if what == inbound.Conflicted && (p.State != inbound.Ignored || !slices.ContainsFunc(all, func(p inbound.Placement) bool { return p.State != inbound.Ignored })) {
		p.State, p.Reason = inbound.Conflict, ""
	}
	return p
}

// proofText writes a proof as it is stored.
func proofText(p inbound.Proof) string {
	if p == (inbound.Proof{}) {
		return ""
	}
	text, _ := json.Marshal(p) // of strings, a time and flags
	return string(text)
}

// readProof reads it again. What cannot be read is no proof.
func readProof(text string) (p inbound.Proof) {
	if json.Unmarshal([]byte(text), &p) != nil {
		return inbound.Proof{}
	}
	return p
}

// notNil makes an empty body an empty BLOB rather than NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// repeated is what comes of storing e when the event with this id and variant
// has its key and body. One that has e's id is e: its caller did not learn that
// it was stored, and asks again.
func repeated(e *inbound.Event, id string, variant int) inbound.Insertion {
	switch {
	case id != e.ID:
		return inbound.Duplicate
	case variant > 1:
		return inbound.Conflicted
	}
	return inbound.Stored
}

// known returns what is stored under the key of e, and its last variant.
func (t *tx) known(e *inbound.Event) (k variants, last int, err error) {
	err = t.each(func(r *sql.Rows) error {
		var id, proof string
		var sum []byte
		if err := r.Scan(&id, &last, &sum, &proof); err != nil {
			return err
		}
		k.see(e, id, last, sum, proof)
		return nil
	}, "SELECT id, variant, sha256, proof FROM events WHERE webhook = ? AND account = ? AND event_id = ? ORDER BY variant", e.Webhook, e.Account, e.EventID)
	return k, last, err
}
