package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tcplife/report/anomaly"
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

// TestDocsRules holds docs/rules.md to the rules there are.
func TestDocsRules(t *testing.T) {
	const name = "../../docs/rules.md"
	page := rulesPage()
	file, err := os.ReadFile(name)
	if err == nil && string(file) == page {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the rules say of themselves (%v); run go test ./cmd/tcplife -update", name, err)
	}
	if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rulesPage() string {
	var b strings.Builder
	b.WriteString(`# The rules

<!-- written by go test ./cmd/tcplife -update, from what each rule says of itself -->

What tcplife finds, in the order of reports. A finding names the end it is about, whom to suspect first, and the frames
that show it. Rules do not blame an end for what the capture may have missed: what could not be judged is told by
` + "`--verbose`" + ` and in ` + "`not_judged`" + `. Limits are changed by ` + "`--set RULE.SETTING=VALUE`" + `.

`)
	b.WriteString(ruleTable())
	for _, r := range anomaly.All {
		_, text, _ := strings.Cut(r.Doc, "\n\n")
		fmt.Fprintf(&b, "\n## %s\n\n%s: %s. %s\n\n%s\n", r.Name, r.Severity, r.Title(), r.Ref, text)
		if len(r.Settings) > 0 {
			b.WriteString("\n| setting | default | why |\n| --- | --- | --- |\n")
		}
		for _, s := range r.Settings {
			fmt.Fprintf(&b, "| `%s.%s` | %v | %s |\n", r.Name, s.Name, s, s.Why)
		}
		if len(r.Explains) > 0 {
			fmt.Fprintf(&b, "\nWhere it holds, its echoes are left out: %s.\n", strings.Join(r.Explains, ", "))
		}
	}
	return b.String()
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
	path := regexp.MustCompile(`[a-z0-9-]+\.[a-z]+/[A-Za-z0-9._/-]+`)
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
