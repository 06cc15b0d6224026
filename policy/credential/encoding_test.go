package credential

import "testing"

func TestKeyEncodings(t *testing.T) {
	p := "\xfb\xff\x0a"
	for text, want := range map[string]string{"hex": "fbff0a", "base64": "+/8K", "base64url": "-_8K", "utf8": p} {
		var e KeyEncoding
		if err := e.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Key(want); err != nil || string(got) != p {
			t.Errorf("%s: key %q, %v", e, got, err)
		}
	}
	for e, text := range map[KeyEncoding]string{Hex: "xy", Base64: "a", Base64URL: "+/8K", UTF8: ""} {
		if _, err := e.Key(text); err == nil {
			t.Errorf("%s: %q is a key", e, text)
		}
	}
	if got, err := Base64URL.Key("-_8="); err != nil || len(got) != 2 {
		t.Errorf("padded: %v %v", got, err)
	}
	if err := new(KeyEncoding).UnmarshalText([]byte("raw")); err == nil {
		t.Error("raw is no encoding of a key")
	}
}
