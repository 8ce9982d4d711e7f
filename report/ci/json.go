package ci

import (
	"io"

	"tcplife/report/policy"
)

// jsonReport writes everything that is known.
func jsonReport(w io.Writer, v *policy.Verdict) error { return writeJSON(w, v.Record()) }
