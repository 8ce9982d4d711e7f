// Package schema holds the JSON Schema of tcplife's output. A program that reads
// the output learns from it which fields there are.
package schema

import _ "embed"

// JSON is the schema of one line of --format jsonl.
//
//go:embed tcplife-1.schema.json
var JSON []byte
