package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"tcplife/report/anomaly"
)

var (
	consoleRE = regexp.MustCompile("(?s)```console\n(\\$ tcplife [^\n]*)\n.*?```\n")
	rulesRE   = regexp.MustCompile(`(?s)(<!-- rules[^\n]*-->\n).*?(<!-- end of rules -->)`)
)

// TestREADME holds the README to what the program prints and to the rules there
// are.
func TestREADME(t *testing.T) {
	t.Chdir("../..")
	t.Setenv("COLUMNS", "80")
	file, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	got := consoleRE.ReplaceAllStringFunc(string(file), func(block string) string {
		shown++
		command := consoleRE.FindStringSubmatch(block)[1]
		var out bytes.Buffer
		if status := run(strings.Fields(command)[2:], &out, &out); status != statusOK {
			t.Errorf("%s: status %d: %s", command, status, out.String())
		}
		return "```console\n" + command + "\n" + out.String() + "```\n"
	})
	if shown < 2 {
		t.Errorf("%d commands are shown", shown)
	}
	if !rulesRE.MatchString(got) {
		t.Fatal("no place for the rules")
	}
	got = rulesRE.ReplaceAllString(got, "${1}"+ruleTable()+"${2}")
	if got == string(file) {
		return
	}
	if !*update {
		want := strings.Split(string(file), "\n")
		for i, line := range strings.Split(got, "\n") {
			if i >= len(want) || line != want[i] {
				t.Fatalf("README.md, line %d: the program has %q; run go test ./cmd/tcplife -update", i+1, line)
			}
		}
		t.Fatal("README.md has more lines than the program prints; run go test ./cmd/tcplife -update")
	}
	if err := os.WriteFile("README.md", []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

func ruleTable() string {
	var b strings.Builder
	b.WriteString("| rule | severity | fires when | departs from |\n| --- | --- | --- | --- |\n")
	for _, r := range anomaly.All {
		fmt.Fprintf(&b, "| %s | %v | %s | %s |\n", r.Name, r.Severity, r.Title(), r.Ref)
	}
	return b.String()
}
