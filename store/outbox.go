package store

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/queue"
)

// The outbox is written once for all databases: its statements are in the SQL
// that they share, and each of them brings its own transactions and clock
// (outbox_sqlite.go, outbox_postgres.go). Read outbox.go for how calls are
// stored, outbox_claim.go for how they are claimed and moved, outbox_lane.go for
// their order, outbox_read.go for the rest.

// sqlStatements are what statements are made with, in a transaction or without.
// Parameters are $1, $2 and so on; texts, numbers and bytes.
type sqlStatements interface {
	// change returns how many rows were changed.
	change(query string, args ...any) (int64, error)
	// rows calls scan for every row.
	rows(scan func(into func(...any) error) error, query string, args ...any) error
}

// sqlBase is a database that the outbox is in.
type sqlBase interface {
	// transaction makes the changes of do, which are on disk when it returns; do
	// may be called again from the beginning.
	transaction(ctx context.Context, size int, do func(sqlStatements) error) error
	// reader reads outside of any transaction.
	reader(ctx context.Context) sqlStatements
	// clock is the time by which things are due, in microseconds.
	clock(sqlStatements) (int64, error)
	// skipping ends a SELECT of rows that are to be changed, so that two processes
	// do not wait for each other.
	skipping() string
	// who makes moves; announce tells other processes that something may be due.
	who() string
	announce()
}

type outboxStore struct{ sqlBase }

// openCall is the condition of partial indexes.
const openCall = "state IN ('accepted', 'sending', 'retrying')"

// callColumns are what [call.scan] reads, of the table o.
const callColumns = "o.seq, o.fence, o.turn, o.id, o.kind, o.of_id, o.provider, o.client, o.account, o.endpoint, o.method, o.target, o.lane, o.once, o.mark, o.print, " +
	"o.state, o.outcome, o.status, o.reason, o.attempt, o.wait, o.created, o.changed, o.due, o.expires, o.doubt, o.forced"

// call is a call with its place in the database.
type call struct {
	outbox.Call
	seq, fence, turn int64
}

func (c *call) scan(into func(...any) error, more ...any) error {
	var wait, created, changed, due, expires, doubt, forced int64
	err := into(append([]any{
		&c.seq, &c.fence, &c.turn, &c.ID, &c.Kind, &c.Of, &c.Provider, &c.Client, &c.Account, &c.Endpoint, &c.Method, &c.Target, &c.Lane, &c.Once, &c.Key, &c.Print,
		&c.State, &c.Outcome, &c.Status, &c.Reason, &c.Attempt, &wait, &created, &changed, &due, &expires, &doubt, &forced,
	}, more...)...)
	c.Wait = time.Duration(wait) * time.Microsecond
	c.Created, c.Changed, c.Expires, c.Doubt, c.Forced = fromMicro(created), fromMicro(changed), fromMicro(expires), fromMicro(doubt), forced != 0
	if due < waiting {
		c.Due = fromMicro(due)
	}
	for _, b := range []*[]byte{&c.Once, &c.Key, &c.Print} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	c.Client, c.Account, c.Reason = unescaped(c.Client), unescaped(c.Account), unescaped(c.Reason)
	return err
}

// find reads one call; false if there is none.
func findCall(q sqlStatements, condition string, arg any) (c call, found bool, err error) {
	err = q.rows(func(into func(...any) error) error {
		found = true
		return c.scan(into)
	}, "SELECT "+callColumns+" FROM postern_outbox o WHERE "+condition, arg)
	return c, found, err
}

func (s outboxStore) Add(ctx context.Context, c *outbox.Call) (stored *outbox.Call, err error) {
	if c.ID == "" || c.Kind == "" || c.Provider == "" || c.Target == "" || !c.State.Open() && !c.State.Waits() || c.State == outbox.Sending {
		return nil, fmt.Errorf("store a call: it has no id, kind, provider or target, or the state %q", c.State)
	}
	err = s.transaction(ctx, len(c.Request)+len(c.Result), func(q sqlStatements) error {
		known, err := s.known(q, c)
		if err != nil || known != nil {
			stored = known
			return err
		}
		now, err := s.clock(q)
		if err != nil {
			return err
		}
		stored, err = s.insert(q, c, now)
		if err == nil && stored == nil { // somebody else's, who was first
			if stored, err = s.known(q, c); err == nil && stored == nil {
				err = fmt.Errorf("store the call %s: another has its place", c.ID)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if stored.State.Open() {
		s.announce()
	}
	return stored, nil
}

// known is the call that c is already, nil if there is none.
func (s outboxStore) known(q sqlStatements, c *outbox.Call) (*outbox.Call, error) {
	found, is, err := findCall(q, "o.id = $1", c.ID)
	if err == nil && !is && len(c.Once) > 0 {
		found, is, err = findCall(q, "o.once = $1 AND length(o.once) > 0", c.Once)
	}
	if err != nil || !is {
		return nil, err
	}
	return &found.Call, nil
}

const insertCall = `INSERT INTO postern_outbox (id, kind, of_id, provider, client, account, endpoint, method, target, lane, turn, once, mark, print,
  state, outcome, status, reason, attempt, wait, created, changed, due, expires, doubt, forced, fence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0, 0, $19, $19, $20, $21, $22, 0, 0)
ON CONFLICT DO NOTHING RETURNING seq`

// insert stores a new call; nil if its id or key is taken.
func (s outboxStore) insert(q sqlStatements, c *outbox.Call, now int64) (*outbox.Call, error) {
	stored := *c
	stored.Created, stored.Changed, stored.Due = fromMicro(now), fromMicro(now), fromMicro(now)
	stored.Attempt, stored.Wait, stored.Forced = 0, 0, false
	due, turn := now, int64(0)
	if c.Lane != "" && c.State.Open() {
		var err error
		if turn, due, err = s.queueUp(q, c.Lane, now); err != nil {
			return nil, err
		}
	}
	seq := int64(0)
	err := q.rows(func(into func(...any) error) error { return into(&seq) }, insertCall,
		c.ID, string(c.Kind), c.Of, c.Provider, escaped(c.Client), escaped(c.Account), c.Endpoint, c.Method, c.Target, c.Lane, turn, notNil(c.Once), notNil(c.Key), notNil(c.Print),
		string(c.State), string(c.Outcome), int64(c.Status), escaped(c.Reason), now, due, micro(c.Expires), micro(c.Doubt))
	if err != nil || seq == 0 {
		return nil, err
	}
	if _, err := q.change("INSERT INTO postern_outbox_sealed (seq, request, result) VALUES ($1, $2, $3)", seq, notNil(c.Request), notNil(c.Result)); err != nil {
		return nil, err
	}
	return &stored, s.trail(q, seq, 0, now, "", &outbox.Transition{To: c.State, Outcome: c.Outcome, Status: c.Status, Reason: c.Reason})
}

// trail writes one move.
func (s outboxStore) trail(q sqlStatements, seq, fence, now int64, from outbox.State, t *outbox.Transition) error {
	_, err := q.change(`INSERT INTO postern_outbox_moves (seq, fence, at, from_state, to_state, attempt, outcome, status, took, reason, actor, replica)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		seq, fence, now, string(from), string(t.To), int64(t.Attempt), string(t.Outcome), int64(t.Status), t.Took.Microseconds(), escaped(t.Reason), escaped(t.By), escaped(s.who()))
	return err
}

func errIllegalCall(from, to outbox.State) error {
	return fmt.Errorf("there is no move from %s to %s", from, to)
}

var _ queue.Source[outbox.Call] = outboxStore{}
