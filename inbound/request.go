package inbound

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// opaque hides what kind of reader a body is, so that the transport can never
// send it a second time by itself.
type opaque struct{ io.Reader }

func (opaque) Close() error { return nil }

func request(ctx context.Context, d *Delivery, t target, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.deliver.To, nil)
	if err != nil {
		return nil, errors.New("the address of the application is not usable")
	}
	e := &d.Event
	req.Body, req.ContentLength = opaque{bytes.NewReader(e.Body)}, int64(len(e.Body))
	maps.Copy(req.Header, e.Header)
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
	key, err := signingKey(t.deliver.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the delivery: %w", err)
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", e.ID, stamp)
	mac.Write(e.Body)
	req.Header.Set("Webhook-Id", e.ID)
	req.Header.Set("Webhook-Timestamp", stamp)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return req, nil
}

// minSigningKey is the least that Standard Webhooks allows for a key, in bytes.
const minSigningKey = 24

// signingKey is the key of a Standard Webhooks secret: what follows whsec_ in
// Base64, or the value itself if it has no such prefix.
func signingKey(s block.Secret) ([]byte, error) {
	v, err := s.Reveal()
	if err != nil {
		return nil, err
	}
	key := []byte(v)
	if coded, ok := strings.CutPrefix(v, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, fmt.Errorf("%v is not Base64 after whsec_", s)
		}
	}
	if len(key) < minSigningKey {
		return nil, fmt.Errorf("%v has %d bytes, and at least %d are needed", s, len(key), minSigningKey)
	}
	return key, nil
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
