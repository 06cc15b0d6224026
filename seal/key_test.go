package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	text := Generate()
	if len(text) != len(keyPrefix)+43 || text == Generate() {
		t.Fatalf("Generate = %q", text)
	}
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := keyPrefix + base64.RawURLEncoding.EncodeToString(k.secret.bytes[:]); got != text {
		t.Errorf("%s was read as %s", text, got)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := Generate()
	digits := strings.TrimPrefix(whole, keyPrefix)
	for name, text := range map[string]string{
		"nothing":            "",
		"the prefix":         keyPrefix,
		"no prefix":          digits,
		"another prefix":     "postern-seal-2:" + digits,
		"an upper case one":  "Postern-Seal-1:" + digits,
		"a space before":     " " + whole,
		"a space after":      whole + " ",
		"a line break after": whole + "\n",
		"a line break in it": keyPrefix + digits[:20] + "\n" + digits[20:],
		"padding":            whole + "=",
		"a letter less":      whole[:len(whole)-1],
		"a letter more":      whole + "A",
		"16 bytes":           keyPrefix + base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
		"33 bytes":           keyPrefix + base64.RawURLEncoding.EncodeToString(make([]byte, 33)),
		"other base64":       keyPrefix + strings.Repeat("+/", 21) + "A",
		"left over bits":     keyPrefix + strings.Repeat("A", 42) + "B",
		"hexadecimal":        keyPrefix + strings.Repeat("0f", 32),
	} {
		k, err := Parse(text)
		if err == nil {
			t.Errorf("%s was read", name)
			continue
		}
		if !strings.Contains(err.Error(), "`postern secrets keygen`") || k != (Key{}) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(text); n > 24 && strings.Contains(err.Error(), text[n-8:]) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
}

func TestID(t *testing.T) {
	a, b := newKey(t), newKey(t)
	if len(a.ID()) != 8 || a.ID() == b.ID() || (Key{}).ID() != "none" {
		t.Errorf("%s, %s", a.ID(), b.ID())
	}
	if KeyID(newRing(t, a).Seal(nil)) != a.ID() {
		t.Error("a record has another id than its key")
	}
}

// TestC51KeyNeverPrintsItself prints a key in every way, alone and inside of
// what holds it.
func TestC51KeyNeverPrintsItself(t *testing.T) {
	text := Generate()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := "[seal key " + k.ID() + "]"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != want {
			t.Errorf("%s gives %s", verb, got)
		}
	}
	holder := struct {
		Key   Key
		Ptr   *Key
		Keys  []Key
		inner Key
		ring  *Ring
	}{k, &k, []Key{k}, k, newRing(t, k)}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		fmt.Fprintf(&out, verb, holder)
		fmt.Fprintf(&out, verb, holder.ring)
	}
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "holder", holder)
	fmt.Fprint(&out, fmt.Errorf("with %v", k))
	if !strings.Contains(out.String(), want) {
		t.Error("nothing was printed")
	}
	raw := string(k.secret.bytes[:])
	forms := []string{strings.TrimPrefix(text, keyPrefix), raw, base64.StdEncoding.EncodeToString([]byte(raw)), fmt.Sprintf("%x", raw), fmt.Sprint([]byte(raw)), fmt.Sprintf("%#v", []byte(raw))}
	for _, f := range forms {
		if strings.Contains(out.String(), strings.Trim(f, "[]{}")) {
			t.Errorf("it was printed as %s", f)
		}
	}
}
