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

// TestDocsDependencies holds docs/dependencies.md to the modules that go.mod
// requires directly.
func TestDocsDependencies(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		told[m[1]] = false
	}
	if len(told) == 0 {
		t.Fatal("no module is required")
	}
	path := regexp.MustCompile(`[a-z0-9-]+\.[a-z]+/[A-Za-z0-9./-]+`)
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cell, _, _ := strings.Cut(line[2:], " | ")
		cell, _, _ = strings.Cut(cell, " (with ")
		for _, p := range path.FindAllString(cell, -1) {
			found := false
			for m := range told {
				if p == m || strings.HasPrefix(p, m+"/") {
					told[m], found = true, true
				}
			}
			if !found {
				t.Errorf("%s is told, but not required directly", p)
			}
		}
	}
	for m, ok := range told {
		if !ok {
			t.Errorf("%s is required, but not told", m)
		}
	}
}
