package inbound

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/signing"
)

// heading is the header of a delivery.
func heading(d *Delivery, msg *message, to *Deliver, now time.Time) (http.Header, error) {
	e, header := &d.Event, maps.Clone(msg.header)
	if header == nil {
		header = http.Header{}
	}
	for name, secret := range to.Header {
		value, err := secret.Reveal()
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		header.Set(name, value)
	}
	for name, value := range map[string]string{
		"Postern-Id": e.ID, "Postern-Event-Id": e.ID, "Postern-Provider-Event-Id": e.EventID, "Postern-Webhook": e.Webhook,
		"Postern-Account": e.Account, "Postern-Type": e.Type, "Postern-Attempt": strconv.Itoa(d.Attempt), "Postern-Origin": string(d.Origin),
	} {
		if value != "" {
			header.Set(name, printable(value))
		}
	}
	header.Set("Postern-Verified", msg.verified(e))
	header["User-Agent"] = []string{"Postern"}
	keys, err := signing.Keys(to.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the delivery: %w", err)
	}
	signing.Sign(header, keys, e.ID, now, msg.body)
	return header, nil
}

// printable makes any text fit for a header field: bytes that are not printable
// ASCII, and the percent sign, are percent-encoded.
func printable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
