// Package signing signs what Postern posts to the application, as Standard
// Webhooks (standardwebhooks.com) says.
package signing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// minKey is the least that Standard Webhooks allows for a key, in bytes.
const minKey = 24

// Keys are the keys of Standard Webhooks secrets: what follows whsec_ in Base64,
// or the value itself if it has no such prefix. All have to be usable.
func Keys(secrets []block.Secret) (keys [][]byte, err error) {
	for _, s := range secrets {
		key, err := key(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func key(s block.Secret) ([]byte, error) {
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
	if len(key) < minKey {
		return nil, fmt.Errorf("%v has %d bytes, and at least %d are needed", s, len(key), minKey)
	}
	return key, nil
}

// Sign adds the three headers of a message with this id, with a signature by each
// key: whoever verifies with one of them accepts it. The id is the same on every
// attempt. Without keys it adds nothing.
func Sign(h http.Header, keys [][]byte, id string, now time.Time, body []byte) {
	if len(keys) == 0 {
		return
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	all := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, stamp)
		mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", strings.Join(all, " "))
}
