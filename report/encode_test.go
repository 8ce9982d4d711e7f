package report

import (
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzQuoted: whatever a string holds, its JSON is valid, is one line, and means
// the string; octets that are no UTF-8 become U+FFFD.
func FuzzQuoted(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, s string) {
		b := appendQuoted(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, r := range string(b) {
			if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
				t.Errorf("%q in %q", r, b)
			}
		}
	})
}

// FuzzPrintable: nothing that a terminal obeys is left.
func FuzzPrintable(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, s string) {
		p := Printable(s)
		if !utf8.ValidString(p) {
			t.Errorf("%q is no UTF-8", p)
		}
		for _, r := range p {
			if !unicode.IsGraphic(r) {
				t.Errorf("%q in %q", r, p)
			}
		}
	})
}
