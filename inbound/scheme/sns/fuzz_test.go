package sns

import (
	"strings"
	"testing"
)

// FuzzMessage: whatever comes, no panic; what is signed has one reading.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"Type":"Notification","MessageId":"m","TopicArn":"t","Message":"a\nb","Timestamp":"x"}`, `{"Type":"SubscriptionConfirmation"}`, `{"a":1,"A":2}`, `[]`, `{"Type":null}`, "{", `{"Message":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := read(body)
		if err != nil {
			return
		}
		m.more()
		text, err := m.signed()
		if err != nil {
			return
		}
		lines := strings.Split(strings.TrimPrefix(string(text), "Message\n"+m["Message"]), "\n")
		if want := 2 * len(m.fields()[1:]); len(lines) != want+2 {
			t.Errorf("%q has %d lines behind the message, want %d", text, len(lines), want+2)
		}
	})
}
