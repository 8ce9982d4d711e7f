package ci

import (
	"io"

	"tcplife/report/policy"
)

// text writes for a person who reads a log: what is broken, with evidence, then
// what is worth telling, and the verdict at the end, where a log is open.
func text(w io.Writer, v *policy.Verdict) error {
	p := &printer{w: w}
	for _, r := range problems(v) {
		p.printf("%-7s %s: %s", r.Status, title(r), plain(r.Message))
		if !v.Policy.BuiltIn() {
			p.printf(" (%s:%d)", plain(v.Policy.Name), r.Line)
		}
		p.printf("\n")
		for _, line := range details(r) {
			p.printf("        %s\n", line)
		}
	}
	for _, n := range notes(v) {
		p.printf("note    %s\n", n)
	}
	p.printf("%s\n", headline(v))
	return p.err
}
