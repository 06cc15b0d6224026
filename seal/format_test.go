package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

const (
	knownKey = "postern-seal-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	knownID  = "d5e04f84"

	knownRecord = "01d5e04f84c8c9cacbcccdcecfd0d1d2d3751d07bceea5914b185171d16e77996794f29adf7c12d25f91d4459e5a10296ad5" +
		"6de8896ec2e66956197bc7fa0a8fdbdcdddedfe0e1e2e3e4e5e6e7d363ceded9d64c1db1452cb8b03fe7535c1301d7290cf0" +
		"e7526bea8644"
)

// TestKnownRecord opens a record that was written once: what is in databases
// must be readable by every later version. Another program made it as format.go
// says, with Python's cryptography.
func TestKnownRecord(t *testing.T) {
	k, err := Parse(knownKey)
	if err != nil {
		t.Fatal(err)
	}
	if k.ID() != knownID {
		t.Errorf("the id is %s", k.ID())
	}
	sealed, err := hex.DecodeString(knownRecord)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newRing(t, newKey(t), k).Open(sealed, "stripe", "acct_1", "access", "api.stripe.com")
	if err != nil || string(got) != "sk_test_known" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

// TestFormat takes a record apart as format.go says, with nothing of this
// package.
func TestFormat(t *testing.T) {
	k, err := Parse(knownKey)
	if err != nil {
		t.Fatal(err)
	}
	sealed := newRing(t, k).Seal([]byte("text"), "a", "")
	parts := func(parts ...string) (b []byte) {
		for _, p := range parts {
			b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
		}
		return b
	}
	open := func(key, nonce, text, data []byte) []byte {
		b, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(b)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := aead.Open(nil, nonce, text, data)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	if sealed[0] != 1 || hex.EncodeToString(sealed[1:5]) != k.ID() {
		t.Errorf("the head is %x", sealed[:5])
	}
	data := open(k.secret.bytes[:], sealed[5:17], sealed[17:65], parts("postern seal 1: data key", string(sealed[1:5]), "a", ""))
	if got := open(data, sealed[65:77], sealed[77:], parts("postern seal 1: text", "", "a", "")); string(got) != "text" {
		t.Errorf("the text is %q", got)
	}
}
