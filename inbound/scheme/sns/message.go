package sns

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/inbound/claim"
)

// message is the fields of a message that are strings. The name of any other is
// there with "".
type message map[string]string

// unsigned are the fields that a message has beside the signed ones.
var unsigned = []string{"Signature", "SignatureVersion", "SigningCertURL", "UnsubscribeURL"}

// read reads the first level of a message.
func read(body []byte) (message, error) {
	o, err := claim.Read(body)
	if err != nil {
		return nil, fmt.Errorf("the body is no message of SNS: %w", err)
	}
	m := message{}
	for name, raw := range o {
		m[name] = ""
		if raw[0] == '"' {
			m[name] = o.Text(name)
		}
	}
	return m, nil
}

// fields are those that are signed, in their order; Subject only if it is there
// (docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html,
// 2026-11-29).
func (m message) fields() []string {
	switch m["Type"] {
	case "Notification":
		if m["Subject"] == "" {
			return []string{"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
		}
		return []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	return nil
}

// signed is the text that is signed. Line breaks divide its parts: but for the
// message itself, which is the first, no part may hold one.
func (m message) signed() ([]byte, error) {
	fields := m.fields()
	if fields == nil {
		return nil, fmt.Errorf("the Type %.40q is none of SNS", m["Type"])
	}
	var b bytes.Buffer
	for _, name := range fields {
		v, there := m[name]
		if !there || v == "" && name != "Message" {
			return nil, fmt.Errorf("the message has no %s", name)
		}
		if name != "Message" && strings.ContainsAny(v, "\r\n") {
			return nil, fmt.Errorf("%s holds a line break, so what is signed could be read in two ways", name)
		}
		b.WriteString(name + "\n" + v + "\n")
	}
	return b.Bytes(), nil
}

// more reports whether the message has fields that nobody signs, such as
// MessageAttributes.
func (m message) more() bool {
	signed := m.fields()
	for name := range m {
		if !slices.Contains(signed, name) && !slices.Contains(unsigned, name) {
			return true
		}
	}
	return false
}
