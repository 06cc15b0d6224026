package block

import "testing"

// TestP40Fingerprint: it is the same at every start, tells values apart, and
// says nothing of a short one. The value is that of another program:
//
//	python3 -c "import hashlib;print(hashlib.pbkdf2_hmac('sha256',b'sk_live_0123456789',b'postern/fingerprint/1',4096,4).hex())"
func TestP40Fingerprint(t *testing.T) {
	if got := Fingerprint("sk_live_0123456789"); got != "d803dd50" {
		t.Error(got)
	}
	if Fingerprint("sk_live_0123456789") == Fingerprint("sk_live_0123456780") {
		t.Error("two keys have one fingerprint")
	}
	if got := Fingerprint("fifteen bytes.."); got != "" {
		t.Errorf("a short value has one: %s", got)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	for b.Loop() {
		Fingerprint("sk_live_0123456789")
	}
}
