package inbound

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/config/block"
)

// Deliver is a deliver block: one target in the application.
type Deliver struct {
	Name        string         `hcl:"name,label"` // "" if the block has no label
	Range       hcl.Range      `hcl:",def_range"`
	To          string         `hcl:"to,optional"`
	Pull        bool           `hcl:"pull,optional"`    // it is not called: its workers claim the events
	Timeout     block.Duration `hcl:"timeout,optional"` // for the whole answer
	Concurrency int            `hcl:"concurrency,optional"`
	Rate        *block.Rate    `hcl:"rate,optional"`    // of attempts, of all replicas together
	Poison      int            `hcl:"poison,optional"`  // attempts that end without an answer, and the event is isolated; 0: never
	Sign        []block.Secret `hcl:"sign,optional"`    // each signs; several are for rotation
	Applied     []int          `hcl:"applied,optional"` // statuses that mean applied, besides 2xx
	Failed      []int          `hcl:"failed,optional"`  // statuses that end the attempts, instead of 400, 410, 413, 415, 422

	When        *block.Expr             `hcl:"when,optional" scope:"delivery" type:"bool"` // otherwise it is ignored
	Body        *block.Expr             `hcl:"body,optional" scope:"delivery"`             // in place of the provider's
	ContentType string                  `hcl:"content_type,optional"`                      // of Body
	Header      map[string]block.Secret `hcl:"header,optional" literal:"allowed"`          // sent beside those of the event
	TLS         *application.TLS        `hcl:"tls,block"`
	Retry       *Retry                  `hcl:"retry,block"` // instead of the webhook's

	address *application.Address
}

// jsonType is what a body that an expression makes is, unless the policy says
// otherwise.
const jsonType = "application/json"

// Default sets timeout, concurrency and the type of a body.
func (d *Deliver) Default() {
	d.Timeout.Duration, d.Concurrency, d.ContentType, d.Poison = 10*time.Second, 16, jsonType, 3
}

// Check implements [block.Checker].
func (d *Deliver) Check() error {
	var errs []error
	errs = append(errs, d.place()...)
	if d.Timeout.Duration <= 0 {
		errs = append(errs, block.At("timeout", "timeout must be more than nothing"))
	}
	if d.Concurrency < 1 || d.Concurrency > 1000 {
		errs = append(errs, block.At("concurrency", "concurrency must be between 1 and 1000"))
	}
	if d.Poison < 0 || d.Poison > 1000 {
		errs = append(errs, block.At("poison", "poison must be between 0 and 1000"))
	}
	if d.Body == nil && d.ContentType != jsonType {
		errs = append(errs, block.At("content_type", "content_type is that of body, which is not given; the provider's own is passed on"))
	}
	for name := range d.Header {
		if textproto.CanonicalMIMEHeaderKey(name) != "Authorization" && !keepable(name) || slices.Contains(contentHeaders, textproto.CanonicalMIMEHeaderKey(name)) {
			errs = append(errs, block.At("header", "%s cannot be set: it is about the body or the connection, or set by Postern", name))
		}
	}
	return errors.Join(append(errs, d.statuses()...)...)
}

// perSecond is the rate in attempts a second, 0 if there is none.
func (d *Deliver) perSecond() float64 {
	if d.Rate == nil {
		return 0
	}
	return d.Rate.PerSecond()
}

// retry is how deliveries to t are repeated.
func (t target) retry() *Retry { return cmp.Or(t.deliver.Retry, t.hook.Retry) }

// place checks where the events go.
func (d *Deliver) place() (errs []error) {
	var plain Deliver
	plain.Default()
	if d.Pull {
		for _, part := range []struct {
			name  string
			given bool
		}{
			{"to", d.To != ""},
			{"tls", d.TLS != nil},
			{"rate", d.Rate != nil},
			{"timeout", d.Timeout != plain.Timeout},
			{"concurrency", d.Concurrency != plain.Concurrency},
			{"applied", d.Applied != nil},
			{"failed", d.Failed != nil},
		} {
			if part.given {
				errs = append(errs, block.At(part.name, "%s is about calling the application, and a target with pull is not called", part.name))
			}
		}
		return errs
	}
	var err error
	if d.To == "" {
		errs = append(errs, errors.New("to is required: it says where the events go; or write pull = true, and have them claimed"))
	} else if d.address, err = application.Parse(d.To); err != nil {
		errs = append(errs, block.At("to", "to: %w", err))
	} else if d.TLS != nil && !d.address.Secure() {
		errs = append(errs, block.At("tls", "%s is not called by TLS", d.To))
	}
	return errs
}

// statuses checks the lists of what answers mean.
func (d *Deliver) statuses() (errs []error) {
	for _, list := range []struct {
		attr     string
		statuses []int
	}{{"applied", d.Applied}, {"failed", d.Failed}} {
		for _, status := range list.statuses {
			if status < 200 || status > 599 {
				errs = append(errs, block.At(list.attr, "%d is no status that ends a request", status))
			}
		}
	}
	for _, status := range d.Applied {
		if slices.Contains(d.Failed, status) {
			errs = append(errs, block.At("applied", "%d cannot mean both applied and failed", status))
		}
	}
	return errs
}

// Dialled is the host and port that are called, "" if there are none.
func (d *Deliver) Dialled() string {
	if d.address == nil {
		return ""
	}
	return d.address.HostPort()
}

// target is the name of d in the store. It is made of names only, so that
// deliveries survive a change of the URL.
func (w *Webhook) target(d *Deliver) string {
	if d.Name == "" {
		return w.Name
	}
	return w.Name + "/" + d.Name
}

// readable refuses expressions about deliveries that read headers which are not
// kept.
func (w *Webhook) readable() (diags hcl.Diagnostics) {
	for _, d := range w.Deliver {
		for _, x := range []*block.Expr{d.When, d.Body} {
			if x == nil {
				continue
			}
			for _, r := range x.Refs() {
				if r.Name == "header" && r.Key != "" && !w.keeps(r.Key) {
					at := x.Range()
					diags = append(diags, &hcl.Diagnostic{
						Severity: hcl.DiagError, Summary: "Unknown header", Subject: &at,
						Detail: fmt.Sprintf("%s is not kept with the event: name it in headers of the webhook.", r.Key),
					})
				}
			}
		}
	}
	return diags
}

// keeps reports whether a header is stored with the event.
func (w *Webhook) keeps(name string) bool {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	return slices.Contains(contentHeaders, canonical) ||
		slices.ContainsFunc(w.Keep, func(k string) bool { return textproto.CanonicalMIMEHeaderKey(k) == canonical })
}

// about answers names about an event as it is stored.
func about(e *Event, header http.Header, body []byte) *Names {
	return &Names{Request: &Request{Header: header, Body: body, Received: e.Received}, Event: e}
}

// undecided begins the reason of a delivery that is ignored because when failed.
const undecided = "not for this target: when cannot be told: "

// declines says why the event is none for d, "" if it is one.
func (d *Deliver) declines(n *Names) string {
	if d.When == nil {
		return ""
	}
	v, err := d.When.Eval(n)
	switch {
	case err != nil:
		return undecided + err.Error()
	case v.Kind != block.Bool:
		return "not for this target: when is neither true nor false: " + d.When.Source()
	case !v.Bool:
		return "not for this target: when is false: " + d.When.Source()
	}
	return ""
}

// worded maps a message to the application's own contract. What cannot be worded
// has failed: half a message is never sent.
func (d *Deliver) worded(of *Delivery, m *message) (*message, *Move) {
	if d.Body == nil {
		return m, nil
	}
	v, err := d.Body.Eval(about(&of.Event, m.header, m.body))
	text, ok := v.Text()
	switch {
	case err != nil:
	case !ok:
		err = errors.New("it is null")
	case d.ContentType == jsonType && !block.ValidJSON([]byte(text)):
		err = errors.New("it is not JSON; use jsonencode, or another content_type")
	}
	if err != nil {
		return nil, &Move{To: Failed, Attempt: of.Attempt, Reason: "body cannot be made of this event: " + err.Error()}
	}
	header := m.header.Clone()
	for _, name := range contentHeaders {
		header.Del(name)
	}
	header.Set("Content-Type", d.ContentType)
	return &message{header: header, body: []byte(text), confirmed: m.confirmed}, nil
}
