package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tcplife/internal/script"
	"tcplife/report/schema"
)

// TestSamples runs the commands on every sample capture: each record keeps to the
// schema, each connection can be explained, and its ladder read as a script.
func TestSamples(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.JSON))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tcplife.json", doc); err != nil {
		t.Fatal(err)
	}
	s := c.MustCompile("tcplife.json")
	files, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d samples: %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var out, stderr bytes.Buffer
			if status := run([]string{"-f", "jsonl", name}, &out, &stderr); status != statusOK || stderr.Len() > 0 {
				t.Fatalf("status %d, %q on stderr", status, stderr.String())
			}
			for line := range strings.Lines(out.String()) {
				record, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
				if err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if err := s.Validate(record); err != nil {
					t.Errorf("%v: %s", err, line)
				}
				var conn struct {
					Type           string
					ID             uint64
					Client, Server struct{ State string }
				}
				if err := json.Unmarshal([]byte(line), &conn); err != nil {
					t.Fatal(err)
				}
				if conn.Type == "connection" && conn.ID <= 5 { // a flood's are alike
					testLadder(t, name, conn.ID, conn.Client.State, conn.Server.State)
				}
			}
		})
	}
}

func testLadder(t *testing.T, name string, id uint64, client, server string) {
	t.Helper()
	var out, stderr bytes.Buffer
	if status := run([]string{"explain", name, "-c", fmt.Sprint(id)}, &out, &stderr); status != statusOK || stderr.Len() > 0 {
		t.Fatalf("connection %d: status %d, %q on stderr", id, status, stderr.String())
	}
	scripts, err := script.Parse(out.String())
	if err != nil {
		t.Fatalf("connection %d: %v in:\n%s", id, err, out.String())
	}
	steps := scripts[0].Steps
	if last := steps[len(steps)-1]; last.A != client || last.B != server {
		t.Errorf("connection %d: %s and %s at the end of the ladder, %s and %s in the record", id, last.A, last.B, client, server)
	}
}
