package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcplife/report/anomaly"
)

// unshown are the rules that no sample capture shows, and why.
var unshown = map[string]string{
	"data-beyond-fin":    "no kernel sends it",
	"fin-wait-2":         "told as close-wait: close-wait-stuck",
	"port-exhaustion":    "it takes 22,000 connections",
	"time-wait-build-up": "it takes 10,000 connections",
	"predictable-isn":    "Linux's initial sequence numbers can't be guessed",
	"gaps":               "the lab's capture loses nothing",
	"cut-short":          "the lab captures packets whole",
	"clock-backwards":    "the lab's clock never goes back",
}

// sampleSettings are limits that a short sample can reach.
var sampleSettings = map[string]string{
	"never-closed": "never-closed.after=1m", // of 10 minutes
}

// TestSamplesRules holds the list in testdata/pcaps/README.md of what the rules find
// in each sample to what they find.
func TestSamplesRules(t *testing.T) {
	const begin, end = "<!-- what the rules find, written by go test ./cmd/tcplife -update -->\n", "<!-- end of what the rules find -->\n"
	files, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d samples: %v", len(files), err)
	}
	shown := map[string][]string{}
	for _, name := range files {
		args := []string{"-f", "jsonl", name}
		sample := strings.TrimSuffix(filepath.Base(name), ".pcap")
		if set, ok := sampleSettings[sample]; ok {
			args = append(args, "--set", set)
			sample += " (--set " + set + ")"
		}
		var out, stderr bytes.Buffer
		if status := run(args, &out, &stderr); status != statusOK {
			t.Fatalf("%s: status %d: %s", name, status, stderr.String())
		}
		for line := range strings.Lines(out.String()) {
			var record struct {
				Type, Rule string
				Findings   json.RawMessage
			}
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			found := []struct{ Rule string }{{record.Rule}}
			if record.Type == "connection" {
				if err := json.Unmarshal(record.Findings, &found); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range found {
				if !slices.Contains(shown[f.Rule], sample) {
					shown[f.Rule] = append(shown[f.Rule], sample)
				}
			}
		}
	}
	var table strings.Builder
	table.WriteString("| rule | samples in which it finds something |\n| --- | --- |\n")
	for _, r := range anomaly.All {
		text := strings.Join(shown[r.Name], ", ")
		if why, ok := unshown[r.Name]; text == "" && ok {
			text = "— (" + why + ")"
		} else if ok {
			t.Errorf("%s is shown by %s after all", r.Name, text)
		} else if text == "" {
			t.Errorf("no sample shows %s", r.Name)
		}
		fmt.Fprintf(&table, "| %s | %s |\n", r.Name, text)
	}
	const file = "../../testdata/pcaps/README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(readme), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: no place for the list", file)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s lists\n%s\nthe rules find\n%s", file, old, table.String())
	}
	if err := os.WriteFile(file, []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
