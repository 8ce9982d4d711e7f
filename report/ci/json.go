package ci

import (
	_ "embed"
	"io"

	"tcplife/report/policy"
)

// Schema is the JSON Schema of the report json.
//
//go:embed tcplife-check-1.schema.json
var Schema []byte

// jsonReport writes everything that is known.
func jsonReport(w io.Writer, v *policy.Verdict) error { return writeJSON(w, v.Record()) }
