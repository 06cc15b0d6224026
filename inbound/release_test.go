package inbound_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/inbound"
)

// inLanes is a webhook in lanes with a schema for every event.
func inLanes(to, file string) string {
	return hook(to, fmt.Sprintf("order { mode = \"lane\" }\nschema \"**\" { file = %q }", file))
}

// TestReleaseAfterSchemaEdit: what fits the schema in force is released, the rest
// stays and is counted, and in a lane the older ones come first again.
func TestReleaseAfterSchemaEdit(t *testing.T) {
	a := newApp(t, nil)
	file := schemaFile(t, `{"required":["email"]}`)
	b := serve(t, mustLoad(t, inLanes(a.URL, file)))
	for i, body := range []string{`{"id":"1","key":"k"}`, `{"id":"2","key":"k","n":"text"}`, `{"id":"3","key":"k"}`} {
		if got := b.post("/hook", body, nil); got.status != 200 {
			t.Fatal(i, got)
		}
	}
	ctx := context.Background()
	done, err := b.Release(ctx, inbound.Filter{State: inbound.Quarantined}, "me", false)
	if err != nil || len(done.Moved) != 0 || done.Misfits != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := os.WriteFile(file, []byte(`{"properties":{"n":{"type":"number"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Swap(mustLoad(t, inLanes(a.URL, file)))
	groups, err := b.Groups(ctx, inbound.Filter{})
	if err != nil || len(groups) != 1 || groups[0].Count != 3 {
		t.Fatalf("%+v, %v", groups, err)
	}
	var moved, misfits, pages int
	for f := (inbound.Filter{State: inbound.Quarantined, Misfit: groups[0].Misfit, Limit: 1}); ; { // a page each
		done, err := b.Release(ctx, f, "me", false)
		if err != nil {
			t.Fatal(err)
		}
		moved, misfits, pages = moved+len(done.Moved), misfits+done.Misfits, pages+1
		if f.Cursor = done.Next; f.Cursor == "" {
			break
		}
	}
	if moved != 2 || misfits != 1 || pages < 3 {
		t.Errorf("%d moved, %d still do not fit, %d pages", moved, misfits, pages)
	}
	b.post("/hook", `{"id":"4","key":"k","email":"e"}`, nil)
	b.run()
	a.nth(t, 3)
	var order []string
	for _, d := range a.deliveries() {
		order = append(order, string(d.body[7]))
	}
	if got := strings.Join(order, " "); got != "1 3 4" {
		t.Errorf("delivered as %s", got)
	}
	forced, err := b.Release(ctx, inbound.Filter{State: inbound.Quarantined}, "me", true)
	if err != nil || len(forced.Moved) != 1 {
		t.Fatalf("%+v, %v", forced, err)
	}
	if d := a.nth(t, 4); string(d.body[7]) != "2" {
		t.Errorf("%s", d.body)
	}
}

// TestQuarantineHoldsNobody: while an event is in quarantine the later ones of its
// lane go on.
func TestQuarantineHoldsNobody(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, inLanes(a.URL, schemaFile(t, `{"required":["email"]}`))))
	b.run()
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	b.post("/hook", `{"id":"2","key":"k","email":"e"}`, nil)
	if d := a.nth(t, 1); d.header.Get("Postern-Provider-Event-Id") != "2" {
		t.Errorf("%v", d.header)
	}
}

// TestConflictThatDoesNotFit: a conflict whose body does not fit the schema is no more
// released than another event.
func TestConflictThatDoesNotFit(t *testing.T) {
	a := newApp(t, nil)
	b := serve(t, mustLoad(t, inLanes(a.URL, schemaFile(t, `{"required":["email"]}`))))
	b.post("/hook", `{"id":"1","key":"k","email":"e"}`, nil)
	b.post("/hook", `{"id":"1","key":"k"}`, nil)
	for _, force := range []bool{false, true} {
		done, err := b.Release(t.Context(), inbound.Filter{State: inbound.Conflict}, "me", force)
		if err != nil || (len(done.Moved) == 1) != force || (done.Misfits == 0) != force {
			t.Errorf("by force %v: %+v, %v", force, done, err)
		}
	}
}
