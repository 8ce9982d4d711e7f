package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsFilters runs the commands in docs/filters.md, of which none is to fail.
func TestDocsFilters(t *testing.T) {
	page, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := filepath.Abs("../../testdata/pcaps/close-wait-stuck.pcap")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("web.pcap", data, 0o644); err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`'[^']*'|[^ ]+`)
	shown := 0
	for line := range strings.Lines(string(page)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ tcplife ")
		if !ok {
			continue
		}
		shown++
		var args []string
		for _, w := range word.FindAllString(command, -1) {
			args = append(args, strings.Trim(w, "'"))
		}
		var out bytes.Buffer
		if status := run(args, &out, &out); status != statusOK {
			t.Errorf("%s: status %d: %s", command, status, out.String())
		}
	}
	if shown == 0 {
		t.Error("no command is shown")
	}
}
