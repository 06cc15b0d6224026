package inbound

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// maxItems is how many events one request may bring. A list that is longer is kept
// whole, in quarantine.
const maxItems = 5000

// misplaced refuses item where there are no items.
func (w *Webhook) misplaced() (diags hcl.Diagnostics) {
	if w.Event.Split != nil {
		return nil
	}
	for _, x := range []*block.Expr{w.Event.ID, w.Event.Type, w.Event.Account, w.Event.Time, w.Event.Key, w.Accept, w.RevokedBy} {
		if x != nil && (x.Reads("item") || x.Reads("group")) {
			at := x.Range()
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unknown name", Subject: &at,
				Detail: "There is no item here: only a webhook whose event block has split cuts a list into items.",
			})
		}
	}
	return diags
}

// split makes an event of each item of the list that the policy names, after one
// of the request that brought them. What is no list is one event, held back, so
// that nothing is lost; an empty one brings none.
func (w *Webhook) split(names *Names, v Verdict, id func() string) []*Arrival {
	names.read = map[string]block.Value{}
	if len(bytes.TrimSpace(names.Body)) == 0 {
		return nil
	}
	list, err := w.Event.Split.Eval(names)
	groups, n, ok := list.Items(maxItems)
	switch {
	case list.Kind == block.Null && err == nil && nothing(names.body("")):
		return nil
	case err != nil || !ok:
		return []*Arrival{w.whole(names, v, id(), fmt.Sprintf("split: %s names no list", written(w.Event.Split)))}
	case n > maxItems:
		return []*Arrival{w.whole(names, v, id(), fmt.Sprintf("split: %s has more than %d items", written(w.Event.Split), maxItems))}
	case n == 0:
		return nil
	}
	items := w.nested(names, groups)
	if len(items) > maxItems {
		return []*Arrival{w.whole(names, v, id(), fmt.Sprintf("nested: %s makes more than %d items", written(w.Event.Nested), maxItems))}
	}
	parent := w.parent(names, v, len(items))
	if len(items) == 1 && string(items[0].Item) == string(names.Body) {
		parent = nil // the item is all there is
	}
	all := make([]*Arrival, 0, len(items)+1)
	if parent != nil {
		all = append(all, &Arrival{Event: parent})
	}
	seen := map[string]int{}
	for _, one := range items {
		all = append(all, w.item(one, v, id(), parent, seen))
	}
	return all
}

// nested are the names of each event of a list: of what is nested in its items, and of
// those items in which nothing is. It stops when there are too many.
func (w *Webhook) nested(names *Names, groups []string) (all []*Names) {
	for _, text := range groups {
		group := *names
		group.Item, group.Group, group.groupRead = []byte(text), []byte(text), map[string]block.Value{}
		inner := w.inner(&group)
		if len(inner) == 0 {
			all = append(all, &group)
		}
		for _, text := range inner {
			one := group
			one.Item = []byte(text)
			all = append(all, &one)
		}
		if len(all) > maxItems {
			break
		}
	}
	return all
}

// inner are the items that are nested in one; none where nested names no list, so
// that the item itself is kept.
func (w *Webhook) inner(group *Names) []string {
	if w.Event.Nested == nil {
		return nil
	}
	list, err := w.Event.Nested.Eval(group)
	if err != nil || list.Kind != block.JSON || list.Str == "" || list.Str[0] != '[' {
		return nil
	}
	items, _, _ := list.Items(maxItems + 1)
	return items
}

// item is one event of several. Items without an id of their own that are the same
// byte for byte are told apart by how many came before: a provider that sends a
// list again, in whatever order, sends as many of each.
func (w *Webhook) item(names *Names, v Verdict, id string, parent *Event, seen map[string]int) *Arrival {
	e := w.event(names, v, id, names.Item)
	e.Header.Set("Content-Type", itemType(names.Header))
	if parent != nil {
		e.Parent = parent.ID
	}
	if text(w.Event.ID, names) == "" {
		if seen[e.EventID]++; seen[e.EventID] > 1 {
			e.EventID += " " + strconv.Itoa(seen[e.EventID])
		}
	}
	return w.arrival(e, names)
}

// itemType is the media type of an item: that of the body it was cut out of, unless
// that was a form.
func itemType(h http.Header) string {
	if t := h.Get("Content-Type"); t != "" && !isForm(h) {
		return t
	}
	return "application/json"
}

// parent is the request that brought n events, with all its bytes. Its id follows
// from them: the same bytes are the same parent, whoever stored it.
func (w *Webhook) parent(names *Names, v Verdict, n int) *Event {
	sum := sha256.Sum256(names.Body)
	return &Event{
		ID: uuid.NewHash(sha256.New(), uuid.NameSpaceOID, append([]byte(w.Name+"\x00"), sum[:]...), 8).String(), Webhook: w.Name, Items: n,
		EventID: "batch sha256:" + hex.EncodeToString(sum[:]), Weak: true, Verified: !w.check.None, Proof: v.Proof, Received: names.Received,
		Header: w.kept(names.Header), Body: names.Body, SHA256: sum, Size: len(names.Body),
	}
}

// whole is a body that cannot be split, as one event that waits for a person.
func (w *Webhook) whole(names *Names, v Verdict, id, why string) *Arrival {
	e := w.event(names, v, id, names.Body)
	e.EventID, e.Weak = "sha256:"+hex.EncodeToString(e.SHA256[:]), true
	to := To(w.Targets()...)
	hold(to, Quarantined, why)
	return &Arrival{Event: e, To: to}
}

// hold has deliveries begin in a state that is not delivered.
func hold(to []Placement, in State, why string) {
	for i := range to {
		to[i].State, to[i].Reason = in, why
	}
}

// nothing reports whether v is an object without a field, as some heartbeats are.
func nothing(v block.Value) bool {
	_, n, ok := v.Items(1)
	return ok && n == 0
}
