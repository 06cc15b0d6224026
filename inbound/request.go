package inbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/signing"
)

// opaque hides what kind of reader a body is, so that the transport can never
// send it a second time by itself.
type opaque struct{ io.Reader }

func (opaque) Close() error { return nil }

func request(ctx context.Context, d *Delivery, msg *message, t target, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.deliver.To, nil)
	if err != nil {
		return nil, errors.New("the address of the application is not usable")
	}
	e := &d.Event
	req.Body, req.ContentLength = opaque{bytes.NewReader(msg.body)}, int64(len(msg.body))
	maps.Copy(req.Header, msg.header)
	for name, value := range map[string]string{
		"Postern-Id": e.ID, "Postern-Event-Id": e.ID, "Postern-Provider-Event-Id": e.EventID, "Postern-Webhook": e.Webhook,
		"Postern-Account": e.Account, "Postern-Type": e.Type, "Postern-Attempt": strconv.Itoa(d.Attempt), "Postern-Origin": string(d.Origin),
	} {
		if value != "" {
			req.Header.Set(name, printable(value))
		}
	}
	req.Header["User-Agent"] = []string{"Postern"}
	if t.deliver.Sign.IsZero() {
		return req, nil
	}
	key, err := signing.Key(t.deliver.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the delivery: %w", err)
	}
	signing.Sign(req.Header, key, e.ID, now, msg.body)
	return req, nil
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
