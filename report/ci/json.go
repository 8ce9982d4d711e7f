package ci

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"

	"tcplife/report/policy"
)

// Schema is the JSON Schema of the report json.
//
//go:embed tcplife-check-1.schema.json
var Schema []byte

// jsonReport writes everything that is known.
func jsonReport(w io.Writer, v *policy.Verdict) error { return writeJSON(w, v.Record()) }

// writeJSON writes doc so that nothing in it reaches a terminal: what can't be printed
// stands in strings only, where JSON has an escape for it.
func writeJSON(w io.Writer, doc any) error {
	var b, safe bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	for _, r := range b.String() {
		if r == '\n' || unicode.IsPrint(r) {
			safe.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&safe, `\u%04x`, unit)
		}
	}
	_, err := w.Write(safe.Bytes())
	return err
}
