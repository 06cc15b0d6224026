package inbound

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/postern-proxy/postern/config/block"
)

// identify gives an event the id that duplicates are known by: the one that the
// policy names, else the one that the signature covers, else a digest. An id that
// is signed for a whole list is that of each item with its digest.
func (w *Webhook) identify(e *Event, names *Names, v Verdict) {
	switch id := text(w.Event.ID, names); {
	case id != "":
		e.EventID = id
	case v.EventID != "" && names.Item != nil:
		e.EventID = v.EventID + " " + hex.EncodeToString(e.SHA256[:])
	case v.EventID != "":
		e.EventID = v.EventID
	default:
		e.EventID, e.Weak = w.digest(e, names), true
		if every := w.Event.Repeat.Duration; every > 0 {
			e.EventID += " " + strconv.FormatInt(e.Received.UnixNano()/int64(every), 10)
		}
	}
	if len(e.EventID) > maxName {
		sum := sha256.Sum256([]byte(e.EventID))
		e.EventID = "sha256:" + hex.EncodeToString(sum[:])
	}
}

// same is a digest of what all sendings of an event have in common.
func (w *Webhook) same(names *Names, body []byte) [sha256.Size]byte {
	if len(w.Event.Varies) > 0 && (names.Item != nil || names.isJSON()) {
		body = block.Without(body, w.Event.Varies)
	}
	return sha256.Sum256(body)
}

// digest stands for an event that has no id: its bytes, and what the policy reads
// of it besides them. Nothing else of the request is in it, no signature and no
// date but one in the body, so that it is the same when the provider signs anew and
// sends it again. What whoever replays a request can choose is not in it either.
func (w *Webhook) digest(e *Event, names *Names) string {
	var words []byte
	for _, x := range []*block.Expr{w.Event.Type, w.Event.Account, w.Event.Key, w.Event.Time} {
		if x == nil || w.check.BodyOnly && w.unsigned(x) {
			continue
		}
		outside := x.Reads("header") || x.Reads("query") || x.Reads("url")
		if outside && x == w.Event.Time { // of when it was sent
			continue
		}
		if outside || x.Reads("group") || names.Item != nil && x.Reads("body") {
			t := text(x, names)
			words = append(binary.BigEndian.AppendUint64(words, uint64(len(t))), t...) // so that no two sets of texts are one
		}
	}
	sum := e.SHA256
	if words != nil {
		sum = sha256.Sum256(append(sum[:], words...))
	}
	return "sha256:" + hex.EncodeToString(sum[:])
}
